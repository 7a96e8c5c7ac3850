//! What the system cannot send by itself is copied: pipes, odd files, and files for odd transports.

use std::fs::File;
use std::io::{ErrorKind, Write};

use super::ground::{Ground, Way, native, position};
use crate::support::pattern;

/// A pipe: no position, no length, and the system does not send it.
fn pipe() -> (File, File) {
    let (read, write) = nix::unistd::pipe().unwrap();
    (read.into(), write.into())
}

#[test]
fn sf_06_a_pipe_is_copied_to_its_end() {
    native(|mut ground| {
        let (source, mut sink) = pipe();
        let contents = pattern(50_000);
        sink.write_all(&contents).unwrap();
        drop(sink);
        ground.transport.write(b"before");
        let task = ground.send(&source, ..);
        assert_eq!(ground.finish(task).unwrap(), 50_000);
        ground.transport.write(b"after");
        ground.arrives(&[&b"before"[..], &contents, b"after"].concat());
        assert_eq!(ground.story.lines(), ["0 made"]);
    });
}

#[test]
fn sf_06_no_more_is_taken_out_of_a_pipe_than_was_asked_for() {
    native(|mut ground| {
        let (source, mut sink) = pipe();
        let contents = pattern(1000);
        sink.write_all(&contents).unwrap();
        for (count, wanted) in [(100, 100), (900, 1000)] {
            let task = ground.send(&source, ..count);
            assert_eq!(ground.finish(task).unwrap(), count);
            ground.arrives(&contents[..wanted]);
        }
    });
}

#[test]
fn sf_06_a_named_pipe_is_copied_as_it_fills() {
    native(|mut ground| {
        let path = ground.folder.join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opened for both at first, so that neither end waits for the other.
        let mut sink = File::options().read(true).write(true).open(&path).unwrap();
        let source = File::open(&path).unwrap();
        let contents = pattern(300_000);
        let task = ground.send(&source, ..);
        let mut filled = 0;
        for piece in contents.chunks(30_000) {
            sink.write_all(piece).unwrap();
            filled += piece.len();
            ground.ev.until(|| ground.peer.received().len() == filled);
        }
        assert!(!task.is_finished());
        drop(sink);
        assert_eq!(ground.finish(task).unwrap(), 300_000);
        ground.arrives(&contents);
    });
}

#[test]
fn sf_06_a_file_that_the_system_only_makes_up_is_sent_all_the_same() {
    native(|mut ground| {
        let contents = std::fs::read("/proc/version").unwrap();
        let task = ground.send(&File::open("/proc/version").unwrap(), ..);
        assert_eq!(ground.finish(task).unwrap(), contents.len() as u64);
        ground.arrives(&contents);
    });
}

#[test]
fn sf_10_a_protocol_that_was_paused_before_the_copy_is_resumed_after_it() {
    let mut ground = Ground::new(true, Way::Copied);
    let before = pattern(1024 * 1024);
    ground.transport.write(&before);
    ground.ev.quieten();
    assert_eq!(ground.story.lines(), ["0 made", "0 pause"]);
    let file = ground.file(&pattern(100_000));
    let task = ground.send(&file, ..);
    ground.finish(task).unwrap();
    ground.arrives(&[before, pattern(100_000)].concat());
    ground.ev.quieten();
    assert_eq!(ground.transport.write_buffer_len(), 0);
    assert_eq!(ground.story.lines(), ["0 made", "0 pause", "0 resume"]);
}

#[test]
fn sf_10_a_protocol_hears_nothing_of_the_copys_own_flow_control() {
    let mut ground = Ground::new(true, Way::Copied);
    let contents = pattern(2 * 1024 * 1024);
    let file = ground.file(&contents);
    let task = ground.send(&file, ..);
    ground.finish(task).unwrap();
    ground.arrives(&contents);
    ground.ev.quieten();
    let lines = ground.story.lines();
    // The last piece may leave a full buffer behind, which is the protocol's again.
    let quiet = ["0 made"];
    let full = ["0 made", "0 pause", "0 resume"];
    assert!(lines == quiet || lines == full, "{lines:?}");
}

#[test]
fn sf_10_a_protocol_that_comes_during_the_copy_stays() {
    let mut ground = Ground::new(true, Way::Copied);
    let file = ground.file(&pattern(2 * 1024 * 1024));
    let task = ground.send(&file, ..);
    ground.begin(&task);
    let newcomer = crate::servers::rig::Story::new();
    let _ = ground.transport.set_protocol(newcomer.teller(), b"");
    // Whether the copy goes on without its flow control or ends, it does not hang.
    let _ = ground.finish(task);
    ground.peer.send(b"hello");
    ground.ev.until(|| newcomer.received(0) == b"hello");
    assert_eq!(ground.story.received_len(0), 0);
}

#[test]
fn sf_12_abort_ends_the_copy_of_a_pipe_that_gives_nothing() {
    native(|mut ground| {
        let (source, sink) = pipe();
        let task = ground.send(&source, ..);
        ground.ev.quieten();
        ground.transport.abort();
        ground.ev.until(|| task.is_finished());
        let error = ground.finish_alone(task).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(ground.story.count("lost aborted"), 1);
        drop(sink);
    });
}

#[test]
fn sf_12_close_ends_the_copy_of_a_pipe_that_gives_nothing() {
    native(|mut ground| {
        let (source, sink) = pipe();
        let task = ground.send(&source, ..);
        ground.ev.quieten();
        ground.transport.close();
        ground.ev.until(|| task.is_finished());
        ground.finish_alone(task).unwrap_err();
        assert_eq!(ground.story.count("lost closed"), 1);
        drop(sink);
    });
}

#[test]
fn sf_11_dropping_the_copy_of_a_pipe_that_gives_nothing_keeps_the_connection() {
    native(|mut ground| {
        let (source, sink) = pipe();
        let task = ground.send(&source, ..);
        ground.ev.quieten();
        drop(task);
        ground.transport.write(b"after");
        ground.arrives(b"after");
        ground.peer.send(b"hello");
        ground.ev.until(|| ground.story.received(0) == b"hello");
        drop(sink);
    });
}

#[test]
fn sf_03_the_position_tells_how_much_was_copied() {
    let mut ground = Ground::new(false, Way::Copied);
    let contents = pattern(300_000);
    let file = ground.file(&contents);
    let task = ground.send(&file, 100_000..);
    assert_eq!(ground.finish(task).unwrap(), 200_000);
    assert_eq!(position(&file), 300_000);
    ground.arrives(&contents[100_000..]);
}
