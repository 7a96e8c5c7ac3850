//! Errors of the system: resets, hang-ups, interruptions (rows ER-01 to ER-10).

use std::io::ErrorKind;

use wharf::Limits;

use crate::support::{Bench, Call, Plain, Stubborn, over_each, pattern};

over_each!(
    er_01_a_reset_of_an_idle_connection_is_the_end_without_eof
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls, read_socket:
    "a pipe is never reset"
);
fn er_01_a_reset_of_an_idle_connection_is_the_end_without_eof(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    bench.settle();
    peer.reset(&transport);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost io"]);
    assert_eq!(log.why().unwrap().kind, Some(ErrorKind::ConnectionReset));
    assert!(transport.is_closing());
}

over_each!(
    er_02_data_then_reset_is_data_then_loss
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls, read_socket:
    "a pipe is never reset"
);
fn er_02_data_then_reset_is_data_then_loss(bench: &mut Bench) {
    for size in [None, Some(2)] {
        let log = bench.log();
        let (transport, peer) = match size {
            None => bench.open(log.plain()),
            Some(size) => bench.open(log.buffered(size)),
        };
        peer.send(b"data");
        peer.reset(&transport);
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story(), ["made", "data data", "lost io"]);
    }
}

over_each!(
    er_03_a_paused_reader_that_writes_nothing_sees_no_reset
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls, read_socket:
    "a pipe is never reset"
);
fn er_03_a_paused_reader_that_writes_nothing_sees_no_reset(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.pause_reading();
    bench.settle();
    peer.reset(&transport);
    bench.settle();
    assert_eq!((log.story(), transport.is_closing()), (vec!["made".to_owned()], false));
    assert_eq!(bench.stirrings(), 0);
    transport.resume_reading();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost io"]);
}

over_each!(er_04_the_first_failing_write_is_the_end);
fn er_04_the_first_failing_write_is_the_end(bench: &mut Bench) {
    for len in [1, 20_000] {
        let (log, transport, peer) = bench.connect();
        transport.pause_reading();
        bench.settle();
        peer.reset(&transport);
        bench.settle();
        transport.write(&pattern(len));
        bench.turn();
        assert_eq!(log.story(), ["made", "lost io"], "{len} bytes");
        let kind = log.why().unwrap().kind.unwrap();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
    }
}

over_each!(
    er_05_a_peer_that_closes_with_our_bytes_unread_resets
    on memory, tcp, unix: "a peer by TLS says goodbye before the reset"
);
fn er_05_a_peer_that_closes_with_our_bytes_unread_resets(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.write(b"unread");
    bench.settle();
    peer.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost io"]);
    assert_eq!(log.why().unwrap().kind, Some(ErrorKind::ConnectionReset));
}

over_each!(er_06_errors_of_the_system_are_no_faults_and_faults_say_whose_they_are);
fn er_06_errors_of_the_system_are_no_faults_and_faults_say_whose_they_are(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.connect();
    peer.reset(&transport);
    bench.run_until(|| log.is_lost());
    assert!(bench.faults().is_empty());

    let (log, transport, peer) = bench.connect();
    log.on(Call::Data, |_| panic!("on purpose"));
    peer.send(b"x");
    bench.run_until(|| log.is_lost());
    let faults = bench.faults();
    assert_eq!(faults.len(), 1);
    let fault = &faults[0];
    assert_eq!((fault.fault.callback(), fault.fault.message()), ("data_received", "on purpose"));
    assert_eq!(fault.transport, Some(transport.id()));
    assert_eq!(fault.protocol, Some(std::any::type_name::<Plain>()));
    let payload = fault.payload.as_ref().unwrap();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
}

over_each!(er_07_a_read_and_a_write_that_fail_together_are_one_loss and written);
fn er_07_a_read_and_a_write_that_fail_together_are_one_loss(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    bench.fill(&transport);
    peer.reset(&transport);
    // One more from outside, into the same turn.
    transport.write(&pattern(100));
    bench.run_until(|| log.is_lost());
    transport.write(&pattern(100));
    bench.settle();
    assert_eq!(log.story(), ["made", "lost io"]);
    assert_eq!(bench.sources(), 0);
}

over_each!(er_08_interruptions_are_never_seen on unix: "the failing socket is a Unix one");
fn er_08_interruptions_are_never_seen(bench: &mut Bench) {
    use ErrorKind::Interrupted;
    let log = bench.log();
    let (transport, peer, script) = Stubborn::open(bench, log.plain());
    script.fail_reads(&[Interrupted; 5]);
    script.fail_writes(&[Interrupted; 5]);
    log.on(Call::Data, |transport| {
        transport.write(b"answer");
    });
    peer.send(b"question");
    bench.run_until(|| peer.read() == 6);
    // A large write goes another way.
    script.fail_writes(&[Interrupted; 5]);
    transport.write(&pattern(20_000));
    bench.run_until(|| peer.read() == 20_006);
    assert!(script.is_done());
    assert_eq!(log.story(), ["made", "data question"]);
}

over_each!(
    er_09_a_hang_up_without_data_is_one_loss_with_the_sockets_error
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls:
    "a pipe is never reset"
);
fn er_09_a_hang_up_without_data_is_one_loss_with_the_sockets_error(bench: &mut Bench) {
    // Nothing is read any more, so only the hang-up itself can tell.
    let (log, transport, peer) = bench.connect();
    log.keep_open();
    transport.write(b"unread");
    bench.settle();
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    bench.settle();
    assert_eq!(bench.stirrings(), 0);
    peer.reset(&transport);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "eof", "lost io"]);
    let kind = log.why().unwrap().kind.unwrap();
    assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
}

over_each!(er_10_a_hang_up_with_data_is_all_the_data_then_the_end and read);
fn er_10_a_hang_up_with_data_is_all_the_data_then_the_end(bench: &mut Bench) {
    for size in [None, Some(1000)] {
        let log = bench.log();
        let (transport, peer) = match size {
            None => bench.open(log.plain()),
            Some(size) => bench.open(log.buffered(size)),
        };
        transport.pause_reading();
        bench.settle();
        let total = peer.fill();
        peer.close();
        bench.settle();
        transport.set_write_buffer_limits(Limits::high(0));
        transport.resume_reading();
        bench.run_until(|| log.is_lost());
        assert!(log.data() == pattern(total), "{} of {total} bytes", log.data_len());
        assert_eq!(log.story_without_data(), ["made", "eof", "lost eof"]);
    }
    assert!(!bench.is_in_memory() || bench.sources() == 0);
}
