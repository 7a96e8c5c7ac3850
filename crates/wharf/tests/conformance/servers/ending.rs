//! Ending servers: close, wait, drain, and serving for ever.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use wharf::{JoinHandle, Server, tcp};

use super::rig::{End, Peer, Story, TestLoop, address};
use crate::support::pattern;

/// A server that echoes, and one client of it that has heard its echo.
fn served(ev: &mut TestLoop) -> (Server, Story, Peer) {
    let story = Story::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.echoes()).close_timeout(None);
    let server = ev.finish(listen).unwrap();
    let mut peer = Peer::tcp(address(&server));
    peer.send(b"one");
    ev.until(|| peer.received() == b"one");
    (server, story, peer)
}

/// A task that waits, and whether it has ended.
fn waiting(ev: &TestLoop, server: &Server) -> JoinHandle<()> {
    let server = server.clone();
    ev.spawn(async move { server.wait_closed().await })
}

#[test]
fn sv_10_close_ends_listening_before_it_returns_and_leaves_connections_alone() {
    let mut ev = TestLoop::new();
    let (server, story, mut peer) = served(&mut ev);
    let at = address(&server);
    let sources = ev.statistics().sources;
    server.close();
    assert_eq!((server.addresses(), server.is_serving()), (vec![], false));
    assert_eq!(ev.statistics().sources, sources - 1);
    // Not one turn was taken.
    assert_eq!(Peer::try_tcp(at).err().unwrap().kind(), ErrorKind::ConnectionRefused);
    peer.send(b"two");
    ev.until(|| peer.received() == b"onetwo");
    assert_eq!((story.lost(), server.connections()), (0, 1));
}

#[test]
fn sv_11_closing_twice_is_closing_once() {
    let mut ev = TestLoop::new();
    let (server, _story, mut peer) = served(&mut ev);
    server.close();
    server.close();
    peer.send(b"two");
    ev.until(|| peer.received() == b"onetwo");
    server.close();
    assert_eq!(server.connections(), 1);
}

#[test]
fn sv_12_a_closed_server_refuses_at_once_also_whoever_waits_in_the_backlog() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    let at = address(&server);
    let mut waiting = Peer::tcp(at);
    server.close();
    assert_eq!(Peer::try_tcp(at).err().unwrap().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(waiting.end(), Some(End::Reset));
    ev.quieten();
    assert_eq!(story.born(), 0);
}

#[test]
fn sv_13_waiting_ends_when_the_last_connection_goes_after_the_close() {
    let mut ev = TestLoop::new();
    let (server, _story, peer) = served(&mut ev);
    let before = waiting(&ev, &server);
    ev.quieten();
    server.close();
    let after = waiting(&ev, &server);
    ev.quieten();
    assert!(!before.is_finished() && !after.is_finished(), "a connection lives");
    drop(peer);
    ev.until(|| before.is_finished() && after.is_finished());
    assert_eq!(server.connections(), 0);
}

#[test]
fn sv_13_waiting_ends_when_the_close_comes_after_the_last_connection_went() {
    let mut ev = TestLoop::new();
    let (server, story, peer) = served(&mut ev);
    let waiters = [waiting(&ev, &server), waiting(&ev, &server), waiting(&ev, &server)];
    drop(peer);
    ev.until(|| story.lost() == 1);
    ev.quieten();
    assert!(waiters.iter().all(|task| !task.is_finished()), "the server is open");
    server.close();
    ev.until(|| waiters.iter().all(JoinHandle::is_finished));
}

#[test]
fn sv_13_waiting_for_what_is_over_returns_at_once() {
    let mut ev = TestLoop::new();
    let (server, story, peer) = served(&mut ev);
    drop(peer);
    ev.until(|| story.lost() == 1);
    server.close();
    for _ in 0..2 {
        let mut wait = std::pin::pin!(server.wait_closed());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_ready());
    }
}

#[test]
fn sv_13_the_last_connection_is_told_its_loss_before_waiting_ends() {
    let mut ev = TestLoop::new();
    let (server, story, peer) = served(&mut ev);
    let lost = Rc::new(Cell::new(0));
    let (seen, tale, own) = (Rc::clone(&lost), story.clone(), server.clone());
    let task = ev.spawn(async move {
        own.wait_closed().await;
        seen.set(tale.lost());
    });
    server.close();
    drop(peer);
    ev.until(|| task.is_finished());
    assert_eq!(lost.get(), 1);
}

#[test]
fn sv_13_the_listeners_can_be_waited_for_alone() {
    let mut ev = TestLoop::new();
    let (server, _story, _peer) = served(&mut ev);
    let own = server.clone();
    let task = ev.spawn(async move { own.wait_listeners_closed().await });
    ev.quieten();
    assert!(!task.is_finished());
    server.close();
    ev.until(|| task.is_finished());
    assert_eq!(server.connections(), 1);
}

/// More than the system takes of a connection whose peer does not read, and less than one write may be.
const STALLED: usize = 15 * 1024 * 1024;

/// Two clients of an echo server who read nothing, and what is still buffered for each.
fn stalled(ev: &mut TestLoop) -> (Server, Story, Vec<Peer>) {
    let (server, story, first) = served(ev);
    let second = Peer::tcp(address(&server));
    ev.until(|| story.made() == 2);
    for place in 0..2 {
        let transport = story.transport(place);
        transport.write(&pattern(STALLED));
        ev.until(|| transport.write_buffer_len() > 0);
    }
    (server, story, vec![first, second])
}

#[test]
fn sv_14_closing_the_clients_flushes_and_ends_each() {
    let mut ev = TestLoop::new();
    let (server, story, mut peers) = stalled(&mut ev);
    server.close_clients();
    assert!((0..2).all(|place| story.transport(place).is_closing()));
    ev.quieten();
    assert_eq!((story.lost(), server.connections()), (0, 2), "nobody has read yet");
    ev.until(|| peers.iter_mut().all(|peer| peer.end() == Some(End::Eof)));
    let sent = pattern(STALLED);
    assert!(peers[0].received().ends_with(&sent) && peers[1].received() == sent);
    ev.until(|| story.count("lost closed") == 2);
    assert!(server.is_serving(), "new clients are still welcome");
}

#[test]
fn sv_15_aborting_the_clients_ends_also_those_who_read_nothing() {
    let mut ev = TestLoop::new();
    let (server, story, mut peers) = stalled(&mut ev);
    server.abort_clients();
    ev.until(|| story.count("lost aborted") == 2);
    assert_eq!(server.connections(), 0);
    ev.until(|| peers.iter_mut().all(|peer| peer.end().is_some()));
    assert!(peers.iter_mut().all(|peer| peer.received().len() < STALLED));
}

#[test]
fn sv_17_starting_twice_is_starting_once_and_after_the_close_an_error() {
    let mut ev = TestLoop::new();
    let (server, _story, mut peer) = served(&mut ev);
    server.start_serving().unwrap();
    server.start_serving().unwrap();
    peer.send(b"two");
    ev.until(|| peer.received() == b"onetwo");
    server.close();
    assert_eq!(server.start_serving().unwrap_err().kind(), ErrorKind::NotConnected);
    server.pause_serving();
    assert_eq!(server.start_serving().unwrap_err().kind(), ErrorKind::NotConnected);
}

fn forever(ev: &TestLoop, server: &Server) -> JoinHandle<std::io::Result<()>> {
    let server = server.clone();
    ev.spawn(async move { server.serve_forever().await })
}

#[test]
fn sv_18_serving_for_ever_ends_with_the_server_and_its_connections() {
    let mut ev = TestLoop::new();
    let (server, _story, peer) = served(&mut ev);
    let task = forever(&ev, &server);
    ev.quieten();
    assert!(!task.is_finished());
    server.close();
    ev.quieten();
    assert!(!task.is_finished(), "a connection lives");
    drop(peer);
    ev.finish(task).unwrap().unwrap();
}

#[test]
fn sv_18_dropping_the_future_closes_the_server_and_leaves_connections_alone() {
    let mut ev = TestLoop::new();
    let (server, story, mut peer) = served(&mut ev);
    let task = forever(&ev, &server);
    ev.quieten();
    let at = address(&server);
    drop(task);
    ev.until(|| !server.is_serving());
    assert_eq!(Peer::try_tcp(at).err().unwrap().kind(), ErrorKind::ConnectionRefused);
    peer.send(b"two");
    ev.until(|| peer.received() == b"onetwo");
    let wait = waiting(&ev, &server);
    drop(peer);
    ev.until(|| wait.is_finished());
    assert_eq!(story.lost(), 1);
}

#[test]
fn sv_18_a_server_is_served_for_ever_by_one_at_a_time() {
    let mut ev = TestLoop::new();
    let (server, _story, mut peer) = served(&mut ev);
    let first = forever(&ev, &server);
    ev.quieten();
    ev.finish(forever(&ev, &server)).unwrap().unwrap_err();
    assert!(!first.is_finished() && server.is_serving(), "the first is not disturbed");
    peer.send(b"two");
    ev.until(|| peer.received() == b"onetwo");
}

#[test]
fn sv_18_a_closed_server_cannot_be_served_for_ever() {
    let mut ev = TestLoop::new();
    let (server, _story, _peer) = served(&mut ev);
    server.close();
    let error = ev.finish(forever(&ev, &server)).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

/// The report of a drain, once it is over.
type Report = Rc<RefCell<Option<tcp::DrainReport>>>;

fn drain(ev: &TestLoop, server: &Server, deadline: Duration) -> Report {
    let report = Report::default();
    let (slot, server) = (Rc::clone(&report), server.clone());
    let draining = async move {
        let report = server.drain(deadline).await;
        slot.replace(Some(report));
    };
    ev.spawn(draining).detach();
    report
}

#[test]
fn sv_19_draining_waits_for_the_connections_and_counts_them() {
    let (mut ev, clock) = TestLoop::manual();
    let (server, story, peer) = served(&mut ev);
    let report = drain(&ev, &server, Duration::from_secs(10));
    ev.until(|| !server.is_serving());
    clock.advance(Duration::from_secs(9));
    ev.quieten();
    assert!(report.borrow().is_none());
    drop(peer);
    ev.until(|| report.borrow().is_some());
    let report = report.take().unwrap();
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert_eq!(story.count("lost eof"), 1);
    assert_eq!(ev.statistics().timers, 0, "the deadline is taken back");
}

#[test]
fn sv_19_draining_aborts_who_is_left_at_the_deadline() {
    let (mut ev, clock) = TestLoop::manual();
    let (server, story, mut peers) = stalled(&mut ev);
    let gone = Peer::tcp(address(&server));
    ev.until(|| story.made() == 3);
    let report = drain(&ev, &server, Duration::from_secs(10));
    ev.until(|| !server.is_serving());
    drop(gone);
    ev.until(|| server.connections() == 2);
    // Those with full buffers wait for their peers.
    server.close_clients();
    clock.advance(Duration::from_secs(10));
    ev.until(|| report.borrow().is_some());
    let report = report.take().unwrap();
    assert_eq!((report.finished, report.aborted), (1, 2));
    assert_eq!((story.count("lost aborted"), story.count("lost eof")), (2, 1));
    ev.until(|| peers.iter_mut().all(|peer| peer.end().is_some()));
}

#[test]
fn sv_19_draining_a_server_without_connections_ends_at_once() {
    let (mut ev, _clock) = TestLoop::manual();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    let report = drain(&ev, &server, Duration::from_secs(10));
    ev.until(|| report.borrow().is_some());
    let report = report.take().unwrap();
    assert_eq!((report.finished, report.aborted), (0, 0));
}

#[test]
fn sv_23_a_server_that_nobody_refers_to_goes_on_serving() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.echoes())).unwrap();
    let at = address(&server);
    drop(server);
    ev.quieten();
    let mut peer = Peer::tcp(at);
    peer.send(b"hello");
    ev.until(|| peer.received() == b"hello");
}

#[test]
fn sv_10_the_connections_of_another_server_are_nobodys_but_its_own() {
    let mut ev = TestLoop::new();
    let (one, one_story, _one_peer) = served(&mut ev);
    let (two, two_story, _two_peer) = served(&mut ev);
    assert_eq!(one.clients(), [one_story.transport(0)]);
    one.abort_clients();
    ev.until(|| one_story.lost() == 1);
    assert_eq!((two_story.lost(), one.connections(), two.connections()), (0, 0, 1));
    assert!(one.clients().is_empty());
}
