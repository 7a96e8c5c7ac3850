//! What of a file is sent, and in which order with everything else.

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom};
use std::ops::Bound;

use super::ground::{each_way, large, native, position};
use crate::servers::sockets::Held;
use crate::support::pattern;

#[test]
fn sf_01_a_file_goes_out_after_what_was_written_before_and_before_what_is_written_after() {
    each_way(|mut ground| {
        let (before, contents) = (large(), large());
        let file = ground.file(&contents);
        ground.transport.write(&before);
        ground.ev.turn();
        assert!(ground.transport.write_buffer_len() > 0, "some of it is still queued");
        let task = ground.send(&file, ..);
        assert_eq!(ground.finish(task).unwrap(), contents.len() as u64);
        ground.transport.write(b"after");
        ground.arrives(&[&before, &contents, &b"after"[..]].concat());
    });
}

#[test]
fn sf_02_what_is_written_during_the_sending_goes_out_after_the_file() {
    native(|mut ground| {
        let contents = large();
        let file = ground.file(&contents);
        let task = ground.send(&file, ..);
        ground.begin(&task);
        ground.transport.write(b"one");
        ground.transport.write_bytes(pattern(100 * 1024).into());
        ground.transport.writelines(&[std::io::IoSlice::new(b"two")]);
        assert_eq!(ground.finish(task).unwrap(), contents.len() as u64);
        ground.arrives(&[&contents, &b"one"[..], &pattern(100 * 1024), b"two"].concat());
    });
}

#[test]
fn sf_02_the_end_written_during_the_sending_comes_after_the_file() {
    native(|mut ground| {
        let contents = large();
        let file = ground.file(&contents);
        let task = ground.send(&file, ..);
        ground.begin(&task);
        ground.transport.write_eof();
        assert_eq!(ground.finish(task).unwrap(), contents.len() as u64);
        ground.ev.until(|| ground.peer.end().is_some());
        ground.arrives(&contents);
        assert_eq!(ground.story.lost(), 0, "the peer's direction is open");
    });
}

#[test]
fn sf_03_the_position_is_behind_what_was_sent() {
    each_way(|mut ground| {
        let contents = pattern(200 * 1024);
        let mut file = ground.file(&contents);
        file.seek(SeekFrom::Start(17)).unwrap();
        let task = ground.send(&file, 1000..150_000);
        assert_eq!(ground.finish(task).unwrap(), 149_000);
        assert_eq!(position(&file), 150_000);
        ground.arrives(&contents[1000..150_000]);
    });
}

#[test]
fn sf_04_any_range_of_a_file_is_sent() {
    each_way(|mut ground| {
        let contents = pattern(1000);
        let file = ground.file(&contents);
        let mut wanted = Vec::new();
        let ranges = [
            (Bound::Unbounded, Bound::Unbounded, 0..1000),
            (Bound::Included(100), Bound::Unbounded, 100..1000),
            (Bound::Excluded(100), Bound::Unbounded, 101..1000),
            (Bound::Included(100), Bound::Excluded(200), 100..200),
            (Bound::Unbounded, Bound::Included(99), 0..100),
            // The file ends before the range does.
            (Bound::Included(500), Bound::Excluded(10_000), 500..1000),
            (Bound::Included(5000), Bound::Unbounded, 0..0),
            (Bound::Included(5), Bound::Excluded(5), 0..0),
        ];
        for (start, end, expected) in ranges {
            let task = ground.send(&file, (start, end));
            assert_eq!(ground.finish(task).unwrap(), expected.len() as u64);
            wanted.extend_from_slice(&contents[expected]);
            ground.arrives(&wanted);
        }
        assert_eq!(ground.story.lines(), ["0 made"]);
    });
}

#[test]
fn sf_04_an_empty_file_is_nothing() {
    each_way(|mut ground| {
        let file = ground.file(b"");
        let task = ground.send(&file, ..);
        assert_eq!(ground.finish(task).unwrap(), 0);
        ground.transport.write(b"after");
        ground.arrives(b"after");
    });
}

#[test]
fn sf_04_a_file_that_shrinks_meanwhile_is_sent_as_far_as_it_goes() {
    each_way(|mut ground| {
        let contents = large();
        let file = ground.file(&contents);
        let task = ground.send(&file, ..);
        ground.begin(&task);
        let writer = File::options().write(true).open(ground.folder.join("file")).unwrap();
        writer.set_len(contents.len() as u64 / 2).unwrap();
        let sent = ground.finish(task).unwrap();
        assert!(sent <= contents.len() as u64 / 2 && sent > 0, "{sent}");
        ground.transport.write(b"after");
        let sent = usize::try_from(sent).unwrap();
        ground.arrives(&[&contents[..sent], &b"after"[..]].concat());
    });
}

#[test]
fn sf_05_a_transport_that_takes_no_writes_takes_no_file() {
    each_way(|mut ground| {
        let file = ground.file(&pattern(1000));
        ground.transport.pause_reading();
        ground.transport.close();
        for _ in 0..2 {
            let task = ground.send(&file, 100..);
            assert_eq!(ground.finish(task).unwrap_err().kind(), ErrorKind::NotConnected);
            // Once closing, and once lost.
            ground.ev.until(|| ground.story.lost() == 1);
        }
        assert_eq!((ground.peer.received().len(), position(&file)), (0, 0));
    });
}

#[test]
fn sf_05_after_write_eof_no_file_is_taken() {
    each_way(|mut ground| {
        let file = ground.file(&pattern(1000));
        ground.transport.write_eof();
        let task = ground.send(&file, ..);
        ground.finish(task).unwrap_err();
        ground.ev.until(|| ground.peer.end().is_some());
        assert_eq!(ground.peer.received(), b"");
        assert_eq!(ground.story.lines(), ["0 made"], "the connection is half open");
        ground.peer.send(b"hello");
        ground.ev.until(|| ground.story.received(0) == b"hello");
    });
}

#[test]
fn sf_05_a_second_file_is_refused_while_one_is_being_sent() {
    each_way(|mut ground| {
        let contents = large();
        let file = ground.file(&contents);
        let first = ground.send(&file, ..);
        ground.begin(&first);
        let other = ground.folder.join("other");
        std::fs::write(&other, "another file").unwrap();
        let second = ground.send(&File::open(other).unwrap(), ..);
        ground.ev.until(|| second.is_finished());
        let refused = ground.ev.finish(second).unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        assert_eq!(ground.finish(first).unwrap(), contents.len() as u64);
        ground.arrives(&contents);
        // The protocol in place is the user's own.
        ground.peer.send(b"hello");
        ground.ev.until(|| ground.story.received(0) == b"hello");
    });
}

#[test]
fn sf_09_reading_goes_on_while_a_file_is_sent() {
    each_way(|mut ground| {
        let file = ground.file(&large());
        let task = ground.send(&file, ..);
        ground.begin(&task);
        ground.peer.send(b"hello");
        ground.ev.until(|| ground.story.received(0) == b"hello");
        assert!(!task.is_finished() && ground.transport.is_reading());
        ground.finish(task).unwrap();
        ground.peer.send(b", again");
        ground.ev.until(|| ground.story.received(0) == b"hello, again");
    });
}

#[test]
fn sf_09_reading_that_was_paused_stays_paused() {
    each_way(|mut ground| {
        let file = ground.file(&pattern(100_000));
        ground.transport.pause_reading();
        ground.peer.send(b"hello");
        let task = ground.send(&file, ..);
        ground.finish(task).unwrap();
        ground.ev.quieten();
        assert_eq!((ground.story.received_len(0), ground.transport.is_reading()), (0, false));
        ground.transport.resume_reading();
        ground.ev.until(|| ground.story.received(0) == b"hello");
    });
}

#[test]
fn sf_03_a_file_that_cannot_be_read_is_an_error_and_costs_no_connection() {
    each_way(|mut ground| {
        let _ = ground.file(&pattern(1000));
        let unreadable = File::options().write(true).open(ground.folder.join("file")).unwrap();
        let task = ground.send(&unreadable, ..);
        ground.finish(task).unwrap_err();
        let folder = File::open(ground.folder.path()).unwrap();
        let task = ground.send(&folder, ..);
        ground.finish(task).unwrap_err();
        ground.transport.write(b"after");
        ground.arrives(b"after");
        assert_eq!(ground.story.lines(), ["0 made"]);
    });
}

#[test]
fn sf_08_sending_to_a_peer_that_is_gone_never_raises_sigpipe() {
    let held = Held::new();
    each_way(|mut ground| {
        let file = ground.file(&large());
        ground.transport.pause_reading();
        ground.ev.turn();
        drop(ground.take_peer());
        // A TCP socket learns by a first answer that there is nobody.
        for _ in 0..2 {
            let task = ground.send(&file, ..);
            ground.finish_alone(task).unwrap_err();
        }
        ground.ev.until(|| ground.story.lost() == 1);
        assert!(!held.was_raised(), "{:?}", ground.way);
    });
}
