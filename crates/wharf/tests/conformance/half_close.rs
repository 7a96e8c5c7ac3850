//! Half close by us: `write_eof` (rows H-01 to H-08).

use wharf::Flow;

use crate::support::{Bench, Call, Seen, over_each, pattern};

over_each!(h_01_streams_can_write_eof);
fn h_01_streams_can_write_eof(bench: &mut Bench) {
    let (_log, transport, _peer) = bench.connect();
    assert!(transport.can_write_eof());
}

over_each!(h_02_write_eof_ends_our_direction_and_reading_goes_on);
fn h_02_write_eof_ends_our_direction_and_reading_goes_on(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.write(b"request");
    transport.write_eof();
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert_eq!(peer.bytes(), b"request");
    assert!(transport.is_reading());
    peer.send(b"answer");
    bench.run_until(|| log.has(Call::Data));
    peer.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data answer", "eof", "lost eof"]);
}

over_each!(h_03_the_end_follows_the_last_byte);
fn h_03_the_end_follows_the_last_byte(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let total = bench.fill(&transport);
    transport.write_eof();
    bench.settle();
    assert!(transport.write_buffer_len() > 0);
    let mut read = 0;
    bench.run_until(|| {
        let seen = peer.seen();
        read = peer.read();
        assert!(seen == Seen::Open || read == total, "the end after {read} of {total} bytes");
        seen == Seen::Eof
    });
    assert_eq!(read, total);
    assert!(peer.bytes() == pattern(total));
    assert_eq!(log.story(), ["made"]);
}

over_each!(h_04_a_second_write_eof_and_one_after_close_do_nothing);
fn h_04_a_second_write_eof_and_one_after_close_do_nothing(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.write_eof();
    transport.write_eof();
    bench.run_until(|| peer.seen() == Seen::Eof);
    transport.write_eof();
    bench.settle();
    assert_eq!((log.story(), transport.is_closing()), (vec!["made".to_owned()], false));
    transport.close();
    transport.write_eof();
    bench.run_until(|| log.is_lost());
    transport.write_eof();
    bench.settle();
    assert_eq!(log.story(), ["made", "lost closed"]);
}

over_each!(h_04_write_eof_after_close_does_not_cut_the_drain_short);
fn h_04_write_eof_after_close_does_not_cut_the_drain_short(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let total = bench.fill(&transport);
    transport.close();
    transport.write_eof();
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert_eq!(peer.read(), total);
}

over_each!(h_05_writes_after_write_eof_are_refused);
fn h_05_writes_after_write_eof_are_refused(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let total = bench.fill(&transport);
    let left = transport.write_buffer_len();
    transport.write_eof();
    assert_eq!(transport.write(b"late"), Flow::Closed);
    assert_eq!(transport.write_bytes(vec![0; 20_000].into()), Flow::Closed);
    assert_eq!(transport.writelines(&[std::io::IoSlice::new(b"late")]), Flow::Closed);
    assert_eq!(transport.write_buffer_len(), left);
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert_eq!(peer.read(), total);
    assert_eq!(transport.write(b"late"), Flow::Closed);
    bench.settle();
    assert_eq!(log.story(), ["made"]);
}

over_each!(h_06_write_eof_does_not_close);
fn h_06_write_eof_does_not_close(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.write_eof();
    assert!(!transport.is_closing() && transport.is_reading());
    bench.run_until(|| peer.seen() == Seen::Eof);
    bench.settle();
    assert!(!transport.is_closing() && transport.is_reading());
    assert_eq!((log.story(), bench.stirrings()), (vec!["made".to_owned()], 0));
    transport.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost closed"]);
}

over_each!(h_07_close_after_write_eof_still_sends_everything);
fn h_07_close_after_write_eof_still_sends_everything(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let total = bench.fill(&transport);
    transport.write_eof();
    transport.close();
    bench.settle();
    assert_eq!(log.story(), ["made"], "the drain is not over");
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert!(peer.bytes() == pattern(total));
    assert_eq!(log.story(), ["made", "lost closed"]);
}

over_each!(
    h_08_a_failing_shutdown_is_told_by_connection_lost
    on memory, tcp: "a Unix socket whose peer is gone can still be shut down"
);
fn h_08_a_failing_shutdown_is_told_by_connection_lost(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.connect();
    transport.pause_reading();
    bench.settle();
    peer.reset(&transport);
    bench.settle();
    assert_eq!(log.story(), ["made"], "nobody has looked");
    transport.write_eof();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost io"]);
    assert!(bench.faults().is_empty());
}
