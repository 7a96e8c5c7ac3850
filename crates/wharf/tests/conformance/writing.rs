//! Writing: what is sent, in which order, and what becomes of it (rows W-01, W-02, W-12 to W-27, W-30).

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice};
use std::process::Command;
use std::rc::Rc;

use bytes::Bytes;
use nix::libc;
use wharf::{Flow, Limits, TransportRef, unix};

use crate::support::{
    Bench, Call, Method, Peer, Seen, Stubborn, new_loop, over_each, pattern, pattern_from,
};

/// Reads at the peer until `total` bytes have come.
#[track_caller]
fn drain(bench: &mut Bench, peer: &Peer, total: usize) {
    bench.run_until(|| peer.read() >= total);
    assert_eq!(peer.read(), total);
}

over_each!(w_01_a_write_never_blocks_and_tries_at_once and written);
fn w_01_a_write_never_blocks_and_tries_at_once(bench: &mut Bench) {
    const LEN: usize = 4 * 1024 * 1024;
    let (_log, transport, peer) = bench.connect();
    assert_eq!(transport.write(&pattern(LEN)), Flow::Full);
    let queued = transport.write_buffer_len();
    assert!(0 < queued && queued < LEN, "the kernel got a part at once: {queued} are left");
    drain(bench, &peer, LEN);
    assert!(peer.bytes() == pattern(LEN));
}

over_each!(w_01_small_writes_leave_before_the_turn_ends and written);
fn w_01_small_writes_leave_before_the_turn_ends(bench: &mut Bench) {
    let (_log, transport, peer) = bench.connect();
    for byte in *b"12345678" {
        assert_eq!(transport.write(&[byte]), Flow::Open);
    }
    bench.turn();
    assert_eq!(transport.write_buffer_len(), 0);
    drain(bench, &peer, 8);
    assert_eq!(peer.bytes(), b"12345678");
}

over_each!(w_02_the_order_of_bytes_is_the_order_of_calls and written);
fn w_02_the_order_of_bytes_is_the_order_of_calls(bench: &mut Bench) {
    let (_log, transport, peer) = bench.connect();
    let sent = bench.fill(&transport);
    let mut next = sent;
    let mut chunk = |len| {
        next += len;
        pattern_from(next - len, len)
    };
    // Small ones that are gathered, large ones that would go straight out if nothing were queued before them.
    transport.write(&chunk(5));
    transport.write(&chunk(20_000));
    transport.write_bytes(chunk(70).into());
    transport.write_bytes(chunk(70_000).into());
    transport.writelines(&[IoSlice::new(&chunk(3)), IoSlice::new(&chunk(30_000))]);
    transport.write(&chunk(1));
    drain(bench, &peer, next);
    assert!(peer.bytes() == pattern(next));
}

over_each!(w_02_a_large_write_does_not_overtake_a_small_one);
fn w_02_a_large_write_does_not_overtake_a_small_one(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect();
    log.on(Call::Data, |transport| {
        transport.write(&pattern_from(0, 10));
        transport.write(&pattern_from(10, 30_000));
        transport.write_bytes(pattern_from(30_010, 30_000).into());
        transport.write(&pattern_from(60_010, 10));
    });
    peer.send(b"go");
    drain(bench, &peer, 60_020);
    assert!(peer.bytes() == pattern(60_020));
}

over_each!(w_12_writelines_obeys_the_marks and written);
fn w_12_writelines_obeys_the_marks(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let half = pattern(500_000);
    let flow = transport.writelines(&[IoSlice::new(&half), IoSlice::new(&half)]);
    assert_eq!(flow, Flow::Full);
    bench.run_until(|| log.has(Call::Pause));
    drain(bench, &peer, 1_000_000);
    bench.settle();
    assert_eq!(log.story(), ["made", "pause", "resume"]);
    assert!(peer.bytes() == [&half[..], &half[..]].concat());
}

over_each!(w_13_empty_chunks_leave_no_trace and written);
fn w_13_empty_chunks_leave_no_trace(bench: &mut Bench) {
    let empty = || IoSlice::new(b"");
    let calls: [Method; 3] = [
        ("write", |transport| {
            transport.write(b"");
        }),
        ("write_bytes", |transport| {
            transport.write_bytes(Bytes::new());
        }),
        ("writelines", |transport| {
            transport.writelines(&[]);
        }),
    ];
    for (name, call) in calls {
        let (log, transport, peer) = bench.connect();
        call(&transport);
        assert_eq!(transport.write_buffer_len(), 0, "{name}");
        transport.write(b"abc");
        call(&transport);
        transport.writelines(&[empty(), IoSlice::new(b"def"), empty(), empty()]);
        transport.writelines(&[empty()]);
        bench.settle();
        assert_eq!(bench.stirrings(), 0, "an empty {name} spins");
        transport.write(b"ghi");
        call(&transport);
        transport.close();
        bench.run_until(|| log.is_lost());
        assert_eq!(peer.bytes(), b"abcdefghi", "{name}");
        assert_eq!(log.story(), ["made", "lost closed"], "{name}");
    }
}

over_each!(w_14_writelines_is_refused_where_write_is and written);
fn w_14_writelines_is_refused_where_write_is(bench: &mut Bench) {
    let refused = |transport: &TransportRef| {
        let lines = [IoSlice::new(b"late"), IoSlice::new(b"")];
        assert_eq!(transport.writelines(&lines), Flow::Closed);
        assert_eq!(transport.write(b"late"), Flow::Closed);
        assert_eq!(transport.write_bytes(Bytes::from_static(b"late")), Flow::Closed);
    };
    let (log, transport, peer) = bench.connect();
    transport.write_eof();
    refused(&transport);
    transport.close();
    refused(&transport);
    bench.run_until(|| log.is_lost());
    refused(&transport);
    bench.settle();
    assert_eq!((peer.bytes(), peer.seen()), (vec![], Seen::Eof));
}

over_each!(w_15_the_caller_may_reuse_its_buffer and written);
fn w_15_the_caller_may_reuse_its_buffer(bench: &mut Bench) {
    let (_log, transport, peer) = bench.connect();
    let sent = bench.fill(&transport);
    let mut buffer = vec![b'A'; 20_000];
    transport.write(&buffer);
    buffer.fill(b'B');
    transport.writelines(&[IoSlice::new(&buffer)]);
    buffer.fill(b'C');
    drain(bench, &peer, sent + 40_000);
    assert!(peer.bytes()[sent..sent + 20_000] == *vec![b'A'; 20_000]);
    assert!(peer.bytes()[sent + 20_000..] == *vec![b'B'; 20_000]);
}

over_each!(
    w_17_the_size_counts_what_the_kernel_has_not_taken
    on memory, tcp, unix, pipes, written_pipe, written_fifo, written_socket:
    "records are longer than what they carry"
);
fn w_17_the_size_counts_what_the_kernel_has_not_taken(bench: &mut Bench) {
    let (_log, transport, peer) = bench.connect();
    assert_eq!(transport.write_buffer_len(), 0);
    let mut total = bench.fill(&transport);
    let taken = total - transport.write_buffer_len();
    for len in [1, 100, 20_000, 70_000] {
        transport.write(&pattern(len));
        total += len;
        assert_eq!(transport.write_buffer_len(), total - taken, "nothing moves between turns");
    }
    // Without a turn the peer gets what the kernel had taken and not a byte more.
    for _ in 0..1_000_000 {
        if peer.read() == taken {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(peer.read(), taken);
    drain(bench, &peer, total);
    assert_eq!(transport.write_buffer_len(), 0);
}

over_each!(w_17_the_size_is_zero_after_an_abort_and_an_error and written);
fn w_17_the_size_is_zero_after_an_abort_and_an_error(bench: &mut Bench) {
    let (_log, transport, _peer) = bench.connect();
    bench.fill(&transport);
    transport.abort();
    assert_eq!(transport.write_buffer_len(), 0);

    let (log, transport, peer) = bench.connect();
    bench.fill(&transport);
    peer.reset(&transport);
    bench.run_until(|| log.is_lost());
    assert_eq!(transport.write_buffer_len(), 0);
}

over_each!(w_18_a_flush_gathers_any_number_of_pieces);
fn w_18_a_flush_gathers_any_number_of_pieces(bench: &mut Bench) {
    // More pieces than any system gathers in one call, of sizes that leave tails behind.
    let (log, _transport, peer) = bench.connect();
    let total = (0..3000).map(|index| index % 200 + 1).sum();
    log.on(Call::Data, |transport| {
        let mut next = 0;
        for index in 0..3000 {
            let len = index % 200 + 1;
            transport.write_bytes(pattern_from(next, len).into());
            next += len;
        }
    });
    peer.send(b"go");
    drain(bench, &peer, total);
    assert!(peer.bytes() == pattern(total));
}

over_each!(w_18_a_partial_send_keeps_the_tail_in_place on unix: "the failing socket is a Unix one");
fn w_18_a_partial_send_keeps_the_tail_in_place(bench: &mut Bench) {
    let log = bench.log();
    let (transport, peer, script) = Stubborn::open(bench, log.plain());
    script.limit_writes(&[1, 3, 50, 2, 40, 99, 1, 0, 7, 1]);
    for index in 0..30 {
        transport.write_bytes(pattern_from(index * 10, 10).into());
    }
    drain(bench, &peer, 300);
    assert!(peer.bytes() == pattern(300) && script.is_done());
}

over_each!(
    w_19_a_flush_that_would_block_keeps_everything on unix: "the failing socket is a Unix one"
);
fn w_19_a_flush_that_would_block_keeps_everything(bench: &mut Bench) {
    use ErrorKind::{Interrupted, WouldBlock};
    for len in [10, 20_000] {
        let log = bench.log();
        let (transport, peer, script) = Stubborn::open(bench, log.plain());
        script.fail_writes(&[WouldBlock, Interrupted, Interrupted, WouldBlock]);
        script.limit_writes(&[0, 1]);
        assert_ne!(transport.write(&pattern(len)), Flow::Closed);
        assert_eq!(transport.write_buffer_len(), len);
        drain(bench, &peer, len);
        assert!(peer.bytes() == pattern(len) && script.is_done());
        assert!(!log.is_lost());
    }
}

over_each!(w_20_a_writable_idle_stream_does_not_spin and written);
fn w_20_a_writable_idle_stream_does_not_spin(bench: &mut Bench) {
    let (_log, transport, peer) = bench.connect();
    bench.settle();
    assert_eq!(bench.stirrings(), 0, "before any write");
    let total = bench.fill(&transport);
    assert_eq!(bench.stirrings(), 0, "while the kernel is full");
    drain(bench, &peer, total);
    bench.settle();
    assert_eq!((transport.write_buffer_len(), bench.stirrings()), (0, 0), "after the drain");
}

over_each!(w_21_what_callbacks_write_leaves_in_the_same_turn);
fn w_21_what_callbacks_write_leaves_in_the_same_turn(bench: &mut Bench) {
    let log = bench.log();
    log.on(Call::Made, |transport| {
        transport.write(b"hello");
    });
    log.on(Call::Data, |transport| {
        transport.write(b" again");
    });
    let (transport, peer) = bench.open(log.plain());
    assert_eq!(transport.write_buffer_len(), 0);
    drain(bench, &peer, 5);
    peer.send(b"x");
    let mut left = usize::MAX;
    bench.run_until(|| {
        left = transport.write_buffer_len();
        log.has(Call::Data)
    });
    assert_eq!(left, 0, "the turn of data_received has ended");
    drain(bench, &peer, 11);
    assert_eq!(peer.bytes(), b"hello again");
}

over_each!(
    w_22_a_write_error_is_told_by_connection_lost_only
    on unix: "the failing socket is a Unix one"
);
fn w_22_a_write_error_is_told_by_connection_lost_only(bench: &mut Bench) {
    bench.contain_faults();
    for kind in [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::TimedOut] {
        for len in [10, 20_000] {
            let log = bench.log();
            let (transport, peer, script) = Stubborn::open(bench, log.plain());
            script.fail_writes(&[kind]);
            transport.write(&pattern(len));
            assert_eq!(log.story(), ["made"]);
            bench.turn();
            assert_eq!(log.story(), ["made", "lost io"]);
            assert_eq!(log.why().unwrap().kind, Some(kind));
            assert_eq!((transport.write_buffer_len(), peer.bytes()), (0, vec![]));
        }
    }
    assert!(bench.faults().is_empty());
}

over_each!(
    w_23_writes_after_an_error_are_dropped_without_a_word
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls:
    "a pipe is never reset"
);
fn w_23_writes_after_an_error_are_dropped_without_a_word(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.connect();
    peer.reset(&transport);
    bench.run_until(|| log.is_lost());
    for _ in 0..20 {
        assert_eq!(transport.write(&[0; 20_000]), Flow::Closed);
        assert_eq!(transport.write_buffer_len(), 0);
    }
    bench.settle();
    assert_eq!(log.story(), ["made", "lost io"]);
    assert!(bench.faults().is_empty());
}

/// Set in the process that `w_24` starts, so that no other test's SIGPIPE is counted.
const ALONE: &str = "WHARF_TEST_ALONE";

#[test]
fn w_24_no_sigpipe_is_raised() {
    let name = "writing::w_24_no_sigpipe_is_raised";
    if std::env::var_os(ALONE).is_none() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        return;
    }
    let mut bench = new_loop();
    let raised = Rc::new(Cell::new(0));
    let counter = Rc::clone(&raised);
    bench.add_signal_handler(libc::SIGPIPE, move || counter.set(counter.get() + 1)).unwrap();
    for len in [1, 100_000] {
        for lines in [false, true] {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let handle = bench.handle().clone();
            let log = crate::support::Log::new();
            let (transport, _) = bench
                .block_on(unix::adopt(&handle, ours, || log.plain()))
                .expect("a connection can be made");
            transport.pause_reading();
            drop(theirs);
            while !log.is_lost() {
                let bytes = vec![0; len];
                if lines {
                    transport.writelines(&[IoSlice::new(&bytes), IoSlice::new(&bytes)]);
                } else {
                    transport.write(&bytes);
                }
                bench.turn(Some(std::time::Duration::ZERO)).unwrap();
            }
            assert_eq!(log.story(), ["made", "lost io"]);
        }
    }
    bench.turn(Some(std::time::Duration::ZERO)).unwrap();
    assert_eq!(raised.get(), 0);
    // A plain write shows that the count would have shown it.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(theirs);
    assert!(socket2::SockRef::from(&ours).send_with_flags(b"x", 0).is_err());
    for _ in 0..100 {
        bench.turn(Some(std::time::Duration::from_millis(1))).unwrap();
    }
    assert_eq!(raised.get(), 1);
}

over_each!(w_26_an_empty_write_is_nothing_until_the_write_side_is_over);
fn w_26_an_empty_write_is_nothing_until_the_write_side_is_over(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    assert_eq!(transport.write(b""), Flow::Open);
    let total = bench.fill(&transport);
    let before = transport.write_buffer_len();
    assert_eq!(transport.write(b""), Flow::Open);
    assert_eq!(transport.write_buffer_len(), before);
    transport.set_write_buffer_limits(Limits::high(0));
    assert_eq!(transport.write(b""), Flow::Full);
    transport.write_eof();
    assert_eq!(transport.write(b""), Flow::Closed);
    drain(bench, &peer, total);
    bench.settle();
    assert_eq!(log.story(), ["made", "pause", "resume"]);
}

over_each!(w_30_a_closed_peer_shows_by_a_write_in_the_end);
fn w_30_a_closed_peer_shows_by_a_write_in_the_end(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.pause_reading();
    bench.settle();
    peer.close();
    bench.settle();
    assert!(!transport.is_closing(), "nothing was written");
    // Whether the first write fails already is the kernel's business.
    bench.run_until(|| {
        transport.write(b"x");
        log.is_lost()
    });
    assert_eq!(log.story(), ["made", "lost io"]);
    let kind = log.why().unwrap().kind.unwrap();
    assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
}
