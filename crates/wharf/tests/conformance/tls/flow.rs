//! Flow control through the layers (rows T-31 to T-35, T-48, T-54, T-57, BP-07).

use std::io::IoSlice;

use wharf::{Flow, Limits};

use super::rig::Rig;
use crate::support::{Call, Log, Over, limits, over_each_carrier, pattern};

over_each_carrier!(t_31_a_pause_stops_plaintext_at_once_and_resume_needs_no_new_bytes);
fn t_31_a_pause_stops_plaintext_at_once_and_resume_needs_no_new_bytes(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.pause_reading();
    open.peer.send(b"pending");
    rig.run();
    assert_eq!(open.log.story(), ["made"]);
    open.transport.resume_reading();
    rig.run();
    assert_eq!(open.log.story(), ["made", "data pending"]);
}

over_each_carrier!(t_31_a_pause_within_a_batch_keeps_the_rest);
fn t_31_a_pause_within_a_batch_keeps_the_rest(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let open = rig.open_as(rig.authority.server(), &log, log.buffered(4));
    log.on(Call::Data, |transport| transport.pause_reading());
    open.peer.send(b"0123456789");
    rig.run();
    assert_eq!(log.data(), b"0123");
    open.transport.resume_reading();
    rig.run();
    assert_eq!(log.data(), b"01234567");
    open.transport.resume_reading();
    rig.run();
    assert_eq!(log.data(), b"0123456789");
}

over_each_carrier!(
    t_32_a_paused_reader_takes_in_a_bounded_amount
    on memory, tls_in_tls: "a kernel takes what it likes"
);
fn t_32_a_paused_reader_takes_in_a_bounded_amount(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.pause_reading();
    rig.run();
    open.peer.send(&pattern(4_000_000));
    let before = open.peer.below().as_wire().unread();
    rig.run();
    assert!(before - open.peer.below().as_wire().unread() <= 256 * 1024, "it goes on reading");
    open.transport.resume_reading();
    rig.run();
    assert!(open.log.data() == pattern(4_000_000));
}

over_each_carrier!(
    t_33_one_rule_for_the_whole_stack_and_pause_comes_strictly_above_high
    on memory, tls_in_tls: "a kernel takes what it likes"
);
fn t_33_one_rule_for_the_whole_stack_and_pause_comes_strictly_above_high(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    assert_eq!(open.transport.write_buffer_limits(), Limits::DEFAULT);
    open.peer.below().as_wire().set_capacity(0);
    open.transport.write(b"x");
    rig.run();
    let one = open.transport.write_buffer_len();
    open.transport.set_write_buffer_limits(limits(one, 0));
    rig.run();
    assert_eq!(open.log.story(), ["made"], "exactly high pauses");
    assert_eq!(open.transport.write(b"y"), Flow::Full);
    rig.run();
    assert_eq!(open.log.story(), ["made", "pause"]);
    open.peer.below().as_wire().set_capacity(1 << 20);
    rig.run();
    assert_eq!(open.log.story(), ["made", "pause", "resume"]);
}

over_each_carrier!(t_33_a_writer_is_resumed_whatever_the_marks_are);
fn t_33_a_writer_is_resumed_whatever_the_marks_are(carrier: Over) {
    // Between the marks of the transport below nobody would say a word.
    for (high, low) in
        [(0, 0), (1, 0), (100, 50), (16 * 1024, 4096), (64 * 1024, 60_000), (1 << 20, 3)]
    {
        let rig = Rig::new(carrier);
        let open = rig.open();
        open.transport.set_write_buffer_limits(limits(high, low));
        let mut sent = 0;
        let mut received = Vec::new();
        for round in 1..=4 {
            let size = round * 13_001 % 150_000;
            while open.transport.write(&pattern(size)) == Flow::Open && sent < round * 200_000 {
                sent += size;
            }
            sent += size;
            for _ in 0..30 {
                rig.run();
                open.peer.receive(&mut received);
            }
            assert_eq!(received.len(), sent, "marks {high}, {low}");
            assert_eq!(open.log.count(Call::Pause), open.log.count(Call::Resume));
        }
    }
}

over_each_carrier!(
    t_34_the_size_counts_plaintext_and_records_that_the_system_has_not_taken
    on memory, tls_in_tls: "a kernel takes what it likes"
);
fn t_34_the_size_counts_plaintext_and_records_that_the_system_has_not_taken(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.peer.below().as_wire().set_capacity(0);
    let mut written = 0;
    for size in [1, 1000, 50_000, 200_000] {
        open.transport.write(&pattern(size));
        rig.run();
        written += size;
        let len = open.transport.write_buffer_len();
        assert!((written..written + written / 100 + 100).contains(&len), "{len} of {written}");
        assert!(open.below.write_buffer_len() <= 16 * 1024 + 70_000, "it fills up below");
    }
    open.peer.below().as_wire().set_capacity(1 << 20);
    rig.run();
    assert_eq!(open.transport.write_buffer_len(), 0);
}

over_each_carrier!(
    t_34_a_protocol_that_ignores_full_is_ended
    on memory, tls_in_tls: "a kernel takes what it likes"
);
fn t_34_a_protocol_that_ignores_full_is_ended(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.peer.below().as_wire().set_capacity(0);
    open.transport.set_write_buffer_limits(Limits::high(10_000).max(100_000));
    for _ in 0..1000 {
        open.transport.write(&pattern(1000));
        rig.turn();
    }
    rig.run();
    assert_eq!(open.log.story(), ["made", "pause", "lost overflow"]);
}

over_each_carrier!(t_35_a_buffered_protocol_receives_plaintext_into_its_own_buffer);
fn t_35_a_buffered_protocol_receives_plaintext_into_its_own_buffer(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let open = rig.open_as(rig.authority.server(), &log, log.buffered(100_000));
    open.peer.send(&pattern(50_000));
    rig.run();
    assert_eq!(log.chunks(), [50_000]);
    assert!(log.data() == pattern(50_000));
}

over_each_carrier!(bp_07_a_small_buffer_over_tls_gets_everything_without_new_bytes);
fn bp_07_a_small_buffer_over_tls_gets_everything_without_new_bytes(carrier: Over) {
    for size in [1, 7, 1000] {
        let rig = Rig::new(carrier);
        let log = Log::new();
        let open = rig.open_as(rig.authority.server(), &log, log.buffered(size));
        open.peer.send(&pattern(7_000));
        open.peer.send(&pattern(7_000));
        rig.run();
        assert!(log.data() == pattern(7_000).repeat(2), "buffers of {size} bytes");
        assert_eq!(log.chunks().len(), 14_000_usize.div_ceil(size), "they are filled");
    }
}

over_each_carrier!(t_48_empty_writes_are_nothing_and_lines_keep_their_order);
fn t_48_empty_writes_are_nothing_and_lines_keep_their_order(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.write(b"");
    open.transport.write_bytes(bytes::Bytes::new());
    open.transport.writelines(&[]);
    rig.run();
    assert_eq!(open.peer.below().read(), 0, "not even a record");
    let large = pattern(100_000);
    let lines = [b"one ".as_slice(), b"", b"two ", &large, b"", b" three"];
    open.transport.writelines(&lines.map(IoSlice::new));
    open.transport.write_bytes(bytes::Bytes::from_static(b" four"));
    let mut received = Vec::new();
    for _ in 0..10 {
        rig.run();
        open.peer.receive(&mut received);
    }
    assert!(received == [&lines.concat()[..], b" four"].concat());
}

over_each_carrier!(t_48_what_a_callback_writes_is_one_record_and_one_send);
fn t_48_what_a_callback_writes_is_one_record_and_one_send(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.log.on(Call::Data, |transport| {
        for _ in 0..8 {
            transport.write(b"12345678");
        }
    });
    open.peer.send(b"x");
    rig.run();
    assert_eq!(open.peer.below().take().len(), 64 + 22, "one record");
}

over_each_carrier!(t_54_keys_change_unseen_in_both_directions);
fn t_54_keys_change_unseen_in_both_directions(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    let keys = open.transport.extra::<wharf::tls::Keys>().unwrap();
    for round in 0..3 {
        open.peer.with_engine(|engine| engine.refresh_traffic_keys()).unwrap();
        open.peer.send(b"ping");
        rig.run();
        // What the engine has to answer goes out with what is written next.
        assert_eq!(open.log.data_len(), 4 * (round + 1));
        keys.refresh().unwrap();
        open.transport.write(b"pong");
        rig.run();
        assert_eq!(open.peer.take(), b"pong");
    }
    assert_eq!(open.log.story(), ["made", "data pingpingping"]);
}
