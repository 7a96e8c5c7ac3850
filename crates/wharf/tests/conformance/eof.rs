//! The peer's end: `eof_received` and its answers (rows E-01 to E-10).

use wharf::{Flow, Limits};

use crate::support::{Bench, Call, Seen, over_each, pattern};

over_each!(e_01_eof_comes_once_and_after_all_data and read);
fn e_01_eof_comes_once_and_after_all_data(bench: &mut Bench) {
    for close in [false, true] {
        let (log, _transport, peer) = bench.connect_buffered(3);
        peer.send(b"0123456789");
        if close {
            peer.close()
        } else {
            peer.shutdown()
        };
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story(), ["made", "data 0123456789", "eof", "lost eof"]);
    }
}

over_each!(e_02_answered_no_it_closes_after_what_was_written);
fn e_02_answered_no_it_closes_after_what_was_written(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    log.on(Call::Eof, |transport| {
        assert_eq!(transport.write(b"last "), Flow::Open);
        assert_ne!(transport.write(&pattern(300_000)), Flow::Closed);
    });
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    assert!(transport.is_closing());
    assert_eq!(transport.write(b"too late"), Flow::Closed);
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert!(peer.bytes() == [b"last ", &pattern(300_000)[..]].concat());
    assert_eq!(log.story().first().map(String::as_str), Some("made"));
    assert_eq!(log.story().last().map(String::as_str), Some("lost eof"));
}

over_each!(e_03_answered_yes_our_direction_stays_open);
fn e_03_answered_yes_our_direction_stays_open(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    log.keep_open();
    peer.send(b"question");
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    bench.settle();
    assert!(!transport.is_closing() && !transport.is_reading());
    assert_ne!(transport.write(&pattern(300_000)), Flow::Closed);
    bench.run_until(|| peer.read() == 300_000);
    bench.settle();
    assert!(!transport.is_closing());
    transport.close();
    bench.run_until(|| log.is_lost());
    bench.run_until(|| peer.seen() == Seen::Eof);
    let story = log.story();
    assert_eq!(story[..3], ["made", "data question", "eof"]);
    assert_eq!(story.last().map(String::as_str), Some("lost closed"));
}

over_each!(e_04_a_kept_end_does_not_spin);
fn e_04_a_kept_end_does_not_spin(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    log.keep_open();
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    bench.settle();
    assert_eq!(bench.stirrings(), 0, "idle");
    bench.fill(&transport);
    assert_eq!(bench.stirrings(), 0, "with bytes queued");
}

over_each!(e_04_a_kept_end_whose_peer_closes_does_not_spin);
fn e_04_a_kept_end_whose_peer_closes_does_not_spin(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    log.keep_open();
    peer.close();
    bench.run_until(|| log.has(Call::Eof));
    bench.settle();
    assert_eq!(bench.stirrings(), 0);
    bench.run_until(|| {
        transport.write(b"x");
        log.is_lost()
    });
    assert_eq!(log.story(), ["made", "eof", "lost io"]);
}

over_each!(e_05_pause_and_resume_do_not_repeat_it);
fn e_05_pause_and_resume_do_not_repeat_it(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    log.keep_open();
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    for _ in 0..3 {
        transport.pause_reading();
        bench.settle();
        transport.resume_reading();
        assert!(!transport.is_reading(), "there is nothing to read any more");
        bench.settle();
    }
    assert_eq!(log.story(), ["made", "eof"]);
    assert_eq!(bench.stirrings(), 0);
    transport.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "eof", "lost closed"]);
}

over_each!(e_06_both_halves_shut_is_the_end);
fn e_06_both_halves_shut_is_the_end(bench: &mut Bench) {
    let (theirs_first, transport, peer) = bench.connect();
    theirs_first.keep_open();
    peer.shutdown();
    bench.run_until(|| theirs_first.has(Call::Eof));
    bench.settle();
    let total = bench.fill(&transport);
    transport.write_eof();
    bench.settle();
    assert!(!theirs_first.is_lost(), "what is queued goes out first");
    bench.run_until(|| {
        peer.read();
        theirs_first.is_lost()
    });
    assert_eq!(
        (peer.read(), theirs_first.story().join(", ")),
        (total, "made, eof, lost eof".into())
    );

    let (ours_first, transport, peer) = bench.connect();
    ours_first.keep_open();
    transport.write_eof();
    bench.run_until(|| peer.seen() == Seen::Eof);
    peer.shutdown();
    bench.run_until(|| ours_first.is_lost());
    assert_eq!(ours_first.story(), ["made", "eof", "lost eof"]);
    assert_eq!(bench.sources(), 0);
}

over_each!(e_07_the_flush_goes_on_although_the_peer_has_ended);
fn e_07_the_flush_goes_on_although_the_peer_has_ended(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let total = bench.fill(&transport);
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    bench.settle();
    assert!(!log.is_lost() && transport.is_closing());
    assert_eq!(bench.stirrings(), 0, "the ended read side spins");
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert!(peer.bytes() == pattern(total));
    assert_eq!(log.story(), ["made", "eof", "lost eof"]);
}

over_each!(e_07_a_peer_that_is_fully_gone_makes_an_error_of_the_flush);
fn e_07_a_peer_that_is_fully_gone_makes_an_error_of_the_flush(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    bench.fill(&transport);
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    peer.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "eof", "lost io"]);
}

over_each!(e_08_there_is_no_eof_after_close_abort_or_an_error and written);
fn e_08_there_is_no_eof_after_close_abort_or_an_error(bench: &mut Bench) {
    for end in ["closed", "aborted", "failed", "io"] {
        let (log, transport, peer) = bench.connect();
        transport.pause_reading();
        bench.settle();
        peer.shutdown();
        match end {
            "closed" => transport.close(),
            "aborted" => transport.abort(),
            "failed" => transport.fail("mine".into()),
            _ => {
                transport.write(b"unread");
                bench.settle();
                peer.close();
                bench.run_until(|| {
                    transport.write(b"x");
                    log.is_lost()
                });
            }
        }
        transport.resume_reading();
        bench.run_until(|| log.is_lost());
        bench.settle();
        assert_eq!(log.story(), ["made", &format!("lost {end}")]);
    }
}

over_each!(e_09_a_paused_reader_hears_the_end_after_resume and read);
fn e_09_a_paused_reader_hears_the_end_after_resume(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.pause_reading();
    bench.settle();
    peer.send(b"data");
    peer.shutdown();
    bench.settle();
    assert_eq!((log.story(), bench.stirrings()), (vec!["made".to_owned()], 0));
    transport.resume_reading();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data data", "eof", "lost eof"]);
}

over_each!(e_09_a_pause_with_the_last_data_holds_the_end_back and read);
fn e_09_a_pause_with_the_last_data_holds_the_end_back(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    log.on(Call::Data, |transport| transport.pause_reading());
    peer.send(b"data");
    peer.shutdown();
    bench.run_until(|| log.has(Call::Data));
    bench.settle();
    assert_eq!(log.story(), ["made", "data data"]);
    transport.resume_reading();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data data", "eof", "lost eof"]);
}

over_each!(e_10_answered_no_while_paused_it_still_closes_and_flushes);
fn e_10_answered_no_while_paused_it_still_closes_and_flushes(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let total = bench.fill(&transport);
    transport.set_write_buffer_limits(Limits::high(0));
    bench.settle();
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    assert!(transport.is_closing());
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
    assert_eq!(log.story(), ["made", "pause", "eof", "resume", "lost eof"]);
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert!(peer.bytes() == pattern(total));
}
