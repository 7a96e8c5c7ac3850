//! Giving up: timeouts, and futures that are dropped at every stage, leave nothing behind.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use wharf::tcp;

use super::naming::Known;
use crate::servers::process::{alone, open};
use crate::servers::rig::{BlackHole, End, Peer, Story, TestLoop};
use crate::support::loop_builder;

#[test]
fn c_07_a_connection_in_the_making_is_waited_for_and_waking_it_early_changes_nothing() {
    let mut ev = TestLoop::new();
    let hole = BlackHole::new([127, 0, 0, 1]);
    let connect = tcp::connect(&ev.handle, hole.address, Story::new().factory());
    let handle = ev.handle.clone();
    let waking = async move {
        let mut connecting = std::pin::pin!(connect.into_future());
        for _ in 0..10 {
            let early = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(connecting.as_mut().poll(cx).is_ready())
            });
            assert!(!early.await, "it is not connected");
            handle.sleep(Duration::ZERO).await;
        }
        connecting.await
    };
    let task = ev.spawn(waking);
    ev.quieten();
    assert!(!task.is_finished());
    // Room in the backlog: the system tries again after a second, by its own clock.
    for _ in 0..2 {
        hole.listener.accept().unwrap();
    }
    let (transport, _) = ev.finish(task).unwrap().unwrap();
    assert_eq!(transport.peer_addr().unwrap().ip(), Some(hole.address));
}

#[test]
fn c_17_a_dropped_attempt_leaves_nothing_that_a_reused_number_could_wake() {
    const NAME: &str = "c_17_a_dropped_attempt_leaves_nothing_that_a_reused_number_could_wake";
    alone(module_path!(), NAME, || {
        let mut ev = TestLoop::new();
        let hole = BlackHole::new([127, 0, 0, 1]);
        let connect = tcp::connect(&ev.handle, hole.address, Story::new().factory());
        let task = ev.spawn(connect.into_future());
        ev.quieten();
        assert_eq!(ev.statistics().sources, 1);
        drop(task);
        ev.quieten();
        assert_eq!((ev.statistics().sources, ev.statistics().timers), (0, 0));
        // Whatever has the number now is ready all the time, and nobody's business.
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let _visitor = Peer::tcp(stranger.local_addr().unwrap());
        let events = ev.statistics().events;
        ev.quieten();
        assert_eq!(ev.statistics().events, events);
    });
}

#[test]
fn c_18_a_future_dropped_after_connection_made_loses_the_connection() {
    let mut ev = TestLoop::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let story = Story::new();
    let connect = tcp::connect(&ev.handle, listener.local_addr().unwrap(), story.factory());
    let task = ev.spawn(connect.into_future());
    ev.until(|| story.made() == 1);
    assert!(!task.is_finished(), "the caller has not gone on");
    drop(task);
    ev.until(|| story.lost() == 1);
    assert_eq!(story.lines(), ["0 made", "0 lost aborted"]);
    assert_eq!(ev.statistics().sources, 0);
    story.forget_transports();
    assert_eq!(story.alive(), 0);
}

#[test]
fn c_17_and_18_dropping_the_future_at_every_stage_leaks_nothing() {
    const NAME: &str = "c_17_and_18_dropping_the_future_at_every_stage_leaks_nothing";
    alone(module_path!(), NAME, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let known = Known::of([listener.local_addr().unwrap()]);
        let mut ev = TestLoop::of(loop_builder().resolver(known));
        let story = Story::new();
        ev.quieten();
        let before = open();
        let mut stages = 0;
        for turns in 0.. {
            let connect = tcp::connect(&ev.handle, "harbour.example:1", story.factory());
            let task = ev.spawn(connect.into_future());
            (0..turns).for_each(|_| ev.turn());
            let finished = task.is_finished();
            drop(task);
            if finished {
                // The connection is the loop's now, and ends by its own means.
                story.last_transport().abort();
            }
            ev.until(|| story.made() == story.lost());
            ev.quieten();
            story.forget_transports();
            while listener.accept().is_ok() {}
            assert_eq!((story.alive(), story.made()), (0, story.lost()), "after {turns} turns");
            assert_eq!((ev.statistics().sources, ev.statistics().timers), (0, 0));
            assert_eq!(open(), before, "after {turns} turns");
            stages = turns;
            if finished {
                break;
            }
        }
        assert!(stages >= 4, "resolving, connecting and beginning take a turn each");
    });
}

#[test]
fn c_21_connecting_gives_up_after_its_timeout() {
    let (mut ev, clock) = TestLoop::manual();
    let hole = BlackHole::new([127, 0, 0, 1]);
    let story = Story::new();
    let connect = tcp::connect(&ev.handle, hole.address, story.factory());
    let task = ev.spawn(connect.timeout(Duration::from_secs(5)).into_future());
    ev.quieten();
    clock.advance(Duration::from_millis(4999));
    ev.quieten();
    assert!(!task.is_finished());
    clock.advance(Duration::from_millis(1));
    let error = ev.finish(task).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!((story.born(), ev.statistics().sources, ev.statistics().timers), (0, 0, 0));
}

#[test]
fn c_21_a_timeout_around_connecting_takes_everything_back() {
    let (mut ev, clock) = TestLoop::manual();
    let holes = [BlackHole::new([127, 0, 0, 1]), BlackHole::new([127, 0, 0, 2])];
    let story = Story::new();
    let places = holes.iter().map(|hole| hole.address).collect::<Vec<_>>();
    let connect = tcp::connect(&ev.handle, places, story.factory());
    let handle = ev.handle.clone();
    let task = ev.spawn(async move {
        handle.timeout(Duration::from_secs(5), connect.into_future()).await.is_err()
    });
    ev.quieten();
    clock.advance(Duration::from_secs(1));
    ev.quieten();
    assert_eq!(ev.statistics().sources, 2);
    clock.advance(Duration::from_secs(4));
    assert!(ev.finish(task).unwrap());
    assert_eq!((story.born(), ev.statistics().sources, ev.statistics().timers), (0, 0, 0));
}

#[test]
fn c_21_there_is_no_timeout_unless_asked() {
    let (mut ev, clock) = TestLoop::manual();
    let hole = BlackHole::new([127, 0, 0, 1]);
    let connect = tcp::connect(&ev.handle, hole.address, Story::new().factory());
    let task = ev.spawn(connect.into_future());
    ev.quieten();
    clock.advance(Duration::from_secs(24 * 3600));
    ev.quieten();
    assert!(!task.is_finished());
}

#[test]
fn c_17_a_loop_that_is_dropped_takes_its_attempts_along() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let story = Story::new();
    for turns in 0..5 {
        let mut ev = TestLoop::new();
        let at = listener.local_addr().unwrap();
        let task = ev.spawn(tcp::connect(&ev.handle, at, story.factory()).into_future());
        (0..turns).for_each(|_| ev.turn());
        drop(ev);
        drop(task);
        while let Ok((socket, _)) = listener.accept() {
            let mut peer = Peer::of(socket);
            assert!(matches!(peer.end(), Some(End::Eof | End::Reset)), "after {turns} turns");
        }
        story.forget_transports();
        assert_eq!((story.alive(), story.made()), (0, story.lost()), "after {turns} turns");
    }
    assert!(story.made() > 0);
}
