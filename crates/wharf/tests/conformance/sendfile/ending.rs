//! A sending that does not come to its own end: the peer leaves, we leave, or nobody waits for it any more.

use std::io::ErrorKind;
use std::time::Duration;

use super::ground::{Way, each_way, large, native, position};
use crate::servers::rig::End;

#[test]
fn sf_08_a_peer_that_leaves_in_the_middle_ends_it_with_an_error() {
    each_way(|mut ground| {
        let contents = large();
        let file = ground.file(&contents);
        let task = ground.send(&file, 1000..);
        ground.begin(&task);
        let mut peer = ground.take_peer();
        let seen = peer.received().len() as u64;
        drop(peer);
        let error = ground.finish_alone(task).unwrap_err();
        let gone =
            [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::ConnectionAborted];
        assert!(gone.contains(&error.kind()), "{error}");
        assert!(ground.transport.is_closing());
        let stands = position(&file);
        assert!((1000 + seen..contents.len() as u64).contains(&stands), "{stands} after {seen}");
        ground.ev.until(|| ground.story.lost() == 1);
    });
}

#[test]
fn sf_11_dropping_the_future_stops_the_sending_and_keeps_the_connection() {
    each_way(|mut ground| {
        let contents = large();
        let file = ground.file(&contents);
        ground.transport.write(b"before");
        let task = ground.send(&file, ..);
        ground.begin(&task);
        drop(task);
        ground.ev.quieten();
        let sent = usize::try_from(position(&file)).unwrap();
        assert!(sent < contents.len());
        ground.transport.write(b"after");
        ground.arrives(&[b"before", &contents[..sent], b"after"].concat());
        ground.peer.send(b"hello");
        ground.ev.until(|| ground.story.received(0) == b"hello");
        // It is as if nothing had been: another one can be sent.
        let task = ground.send(&file, ..100);
        assert_eq!(ground.finish(task).unwrap(), 100);
    });
}

#[test]
fn sf_11_dropping_the_future_before_its_file_began_sends_nothing_of_it() {
    native(|mut ground| {
        let contents = large();
        let file = ground.file(&contents[..1000]);
        ground.transport.write(&contents);
        ground.ev.turn();
        let task = ground.send(&file, ..);
        ground.ev.quieten();
        ground.transport.write(b"after");
        drop(task);
        ground.ev.quieten();
        assert_eq!(position(&file), 0);
        ground.arrives(&[&contents, &b"after"[..]].concat());
    });
}

#[test]
fn sf_12_close_during_the_sending_ends_it() {
    each_way(|mut ground| {
        let contents = large();
        let file = ground.file(&contents);
        let task = ground.send(&file, ..);
        ground.begin(&task);
        ground.transport.close();
        let outcome = ground.finish(task);
        let sent = usize::try_from(position(&file)).unwrap();
        match ground.way {
            // What the system sends is queued like everything else, and a close sends what is queued.
            Way::Native => assert_eq!(outcome.unwrap(), contents.len() as u64),
            // What is not read from the file yet is not queued.
            Way::Copied => {
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ConnectionAborted);
                assert!(sent < contents.len());
            }
        }
        ground.ev.until(|| ground.peer.end() == Some(End::Eof));
        ground.arrives(&contents[..sent]);
        assert_eq!(ground.story.count("lost closed"), 1);
    });
}

#[test]
fn sf_12_close_towards_a_peer_that_does_not_read_ends_it_too() {
    each_way(|mut ground| {
        let file = ground.file(&large());
        let task = ground.send(&file, ..);
        ground.begin(&task);
        ground.ev.quieten();
        ground.transport.close();
        // Each bit that the system still takes buys the close another timeout.
        for _ in 0..100 {
            ground.ev.quieten();
            ground.clock.advance(Duration::from_secs(30));
        }
        let error = ground.finish_alone(task).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        ground.ev.until(|| ground.story.lost() == 1);
        // A copy has little queued, and the system may take that bit yet; a file is queued whole.
        let closed = ground.way == Way::Copied && ground.story.count("lost closed") == 1;
        assert!(closed || ground.story.count("lost timed out") == 1, "{:?}", ground.story.lines());
    });
}

#[test]
fn sf_12_abort_during_the_sending_ends_it() {
    each_way(|mut ground| {
        let contents = large();
        let file = ground.file(&contents);
        let task = ground.send(&file, ..);
        ground.begin(&task);
        ground.transport.abort();
        let error = ground.finish_alone(task).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(ground.story.count("lost aborted"), 1);
        assert!(position(&file) < contents.len() as u64);
        ground.ev.until(|| ground.peer.end().is_some());
        assert!(contents.starts_with(ground.peer.received()));
    });
}

#[test]
fn sf_12_a_failure_of_the_users_ends_it() {
    each_way(|mut ground| {
        let file = ground.file(&large());
        let task = ground.send(&file, ..);
        ground.begin(&task);
        ground.transport.fail("enough".into());
        ground.finish_alone(task).unwrap_err();
        assert_eq!(ground.story.count("lost failed"), 1);
    });
}

#[test]
fn sf_12_a_loop_that_is_dropped_takes_the_sending_along() {
    each_way(|mut ground| {
        let file = ground.file(&large());
        let task = ground.send(&file, ..);
        ground.begin(&task);
        drop(ground.ev);
        drop(task);
        assert_eq!(ground.story.count("lost aborted"), 1);
        assert!(ground.peer.end().is_some());
    });
}
