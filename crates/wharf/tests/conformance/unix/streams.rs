//! Connections over Unix sockets, as far as they can differ from TCP's.

use std::io::ErrorKind;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use wharf::unix;

use crate::servers::rig::{End, Peer, Story, TestLoop};
use crate::support::{Folder, pattern};

#[test]
fn u_11_a_client_that_fills_its_buffer_and_closes_at_once_is_heard_to_the_end() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let story = Story::new();
    let _server = ev.finish(unix::listen(&ev.handle, &path, story.factory())).unwrap();
    for round in 0..3 {
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_nonblocking(true).unwrap();
        let chunk = pattern(4096);
        let mut sent = Vec::new();
        loop {
            match client.write(&chunk) {
                Ok(count) => sent.extend_from_slice(&chunk[..count]),
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        // The hang-up comes with the data, before a byte was read.
        drop(client);
        ev.until(|| story.lost() == round + 1);
        assert!(story.received(round) == sent, "{} of {}", story.received_len(round), sent.len());
        let lines = story.lines();
        let told: Vec<&str> = lines.iter().rev().take(4).rev().map(|line| &line[2..]).collect();
        assert_eq!(told, ["made", "data", "eof", "lost eof"]);
    }
}

#[test]
fn sv_14_and_15_unix_clients_are_closed_and_aborted_alike() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let story = Story::new();
    let listen = unix::listen(&ev.handle, &path, story.factory()).close_timeout(None);
    let server = ev.finish(listen).unwrap();
    let mut peers = [Peer::unix(&path), Peer::unix(&path)];
    ev.until(|| story.made() == 2);
    story.transport(0).write(&pattern(1024 * 1024));
    story.transport(1).write(&pattern(1024 * 1024));
    ev.quieten();
    server.close_clients();
    ev.until(|| peers[0].end() == Some(End::Eof));
    assert!(peers[0].received() == pattern(1024 * 1024));
    ev.until(|| story.count("lost closed") == 1);
    server.abort_clients();
    ev.until(|| story.count("lost aborted") == 1);
    assert_eq!(server.connections(), 0);
}

#[test]
fn sv_13_waiting_for_a_unix_server_ends_with_its_last_connection() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let story = Story::new();
    let server = ev.finish(unix::listen(&ev.handle, &path, story.factory())).unwrap();
    let peer = Peer::unix(&path);
    ev.until(|| story.made() == 1);
    let own = server.clone();
    let task = ev.spawn(async move { own.wait_closed().await });
    server.close();
    ev.quieten();
    assert!(!task.is_finished());
    drop(peer);
    ev.until(|| task.is_finished());
}

#[test]
fn sv_02_unix_servers_leave_clients_in_the_backlog_beyond_the_most() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let story = Story::new();
    let listen = unix::listen(&ev.handle, &path, story.echoes()).max_connections(2);
    let server = ev.finish(listen.accept_budget(10)).unwrap();
    let mut peers: Vec<Peer> = (0..5).map(|_| Peer::unix(&path)).collect();
    peers.iter().for_each(|peer| peer.send(b"hello"));
    let mut served = 0;
    while !peers.is_empty() {
        ev.until(|| peers[0].received() == b"hello");
        ev.quieten();
        served += 1;
        assert_eq!((server.connections(), story.made()), (peers.len().min(2), (served + 1).min(5)));
        peers.remove(0);
    }
    ev.until(|| server.connections() == 0);
}

#[test]
fn sv_29_the_backlog_of_a_unix_server_is_the_systems() {
    for backlog in [1, 7] {
        let (mut ev, folder) = (TestLoop::new(), Folder::new());
        let path = folder.join("s");
        let listen = unix::listen(&ev.handle, &path, Story::new().factory()).backlog(backlog);
        let server = ev.finish(listen).unwrap();
        server.pause_serving();
        let connect = || {
            let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
            let socket = socket.unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&socket2::SockAddr::unix(&path).unwrap()).is_ok().then_some(socket)
        };
        let waiting: Vec<_> = std::iter::from_fn(connect).take(20).collect();
        // Linux lets one more in than was asked for.
        assert_eq!(waiting.len(), usize::from(backlog) + 1);
    }
}

#[test]
fn c_21_connecting_to_a_unix_socket_needs_no_more_time_than_none() {
    let (mut ev, _clock) = TestLoop::manual();
    let folder = Folder::new();
    let path = folder.join("s");
    let story = Story::new();
    let _server = ev.finish(unix::listen(&ev.handle, &path, story.factory())).unwrap();
    let connect = unix::connect(&ev.handle, &path, story.factory()).timeout(Duration::ZERO);
    // It is connected before the clock is looked at.
    ev.finish(connect).unwrap();
    assert_eq!(ev.statistics().timers, 0);
}
