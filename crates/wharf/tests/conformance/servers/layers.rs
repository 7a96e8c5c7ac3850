//! Servers whose connections have a layer above them (rows SV-10, SV-14, SV-15, SV-19): their ends are those of TLS.

use std::rc::Rc;
use std::time::Duration;

use wharf::memory::{ManualClock, Seen};
use wharf::{Server, tcp, tls, unix};

use super::rig::{Story, TestLoop, address};
use crate::support::authority::{Authority, BOTH};
use crate::support::tls_peer::TlsPeer;
use crate::support::{Folder, Peer, pattern};

/// A TLS server on a loop whose time stands still.
struct Served {
    ev: TestLoop,
    clock: ManualClock,
    authority: Authority,
    server: Server,
    story: Story,
    /// Where it listens, if that is a file.
    folder: Option<Folder>,
}

impl Served {
    fn new(over_unix: bool) -> Self {
        let (mut ev, clock) = TestLoop::manual();
        let (authority, story) = (Authority::new(), Story::new());
        let factory = tls::server(authority.server(), story.factory());
        let folder = over_unix.then(Folder::new);
        let server = match &folder {
            Some(folder) => ev.finish(unix::listen(&ev.handle, folder.path().join("s"), factory)),
            None => ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", factory)),
        };
        Self { ev, clock, authority, server: server.unwrap(), story, folder }
    }

    /// A client that has not said anything.
    fn silent(&mut self) -> Rc<TlsPeer> {
        let before = self.server.connections();
        let socket = match &self.folder {
            Some(folder) => Peer::socket(
                std::os::unix::net::UnixStream::connect(folder.path().join("s")).unwrap(),
            ),
            None => Peer::socket(std::net::TcpStream::connect(address(&self.server)).unwrap()),
        };
        self.ev.until(|| self.server.connections() > before);
        TlsPeer::client(socket, self.authority.rustls_client(BOTH).into())
    }

    /// A client whose handshake is over.
    fn client(&mut self) -> Rc<TlsPeer> {
        let (peer, before) = (self.silent(), self.story.made());
        self.ev.until(|| {
            peer.flush();
            peer.receive(&mut Vec::new());
            self.story.made() > before
        });
        peer
    }

    /// Drains the server in the background; the report comes in the end.
    fn drain(&self, deadline: Duration) -> wharf::JoinHandle<tcp::DrainReport> {
        let server = self.server.clone();
        self.ev.spawn(async move { server.drain(deadline).await })
    }
}

/// Whether the peer has been told that nothing more comes.
fn has_heard_goodbye(peer: &TlsPeer) -> bool {
    peer.receive(&mut Vec::new());
    peer.with_engine(|engine| {
        engine.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    })
}

#[test]
fn sv_10_the_clients_are_the_transports_that_their_protocols_know() {
    for over_unix in [false, true] {
        let mut served = Served::new(over_unix);
        let shaking_hands = served.silent();
        let known = served.server.clients();
        let _peer = served.client();
        let clients = served.server.clients();
        assert_eq!(clients.len(), 2);
        assert!(clients.contains(&served.story.transport(0)) && clients.contains(&known[0]));
        drop(shaking_hands);
    }
}

#[test]
fn sv_14_closing_clients_of_tls_says_goodbye_after_everything_else() {
    for over_unix in [false, true] {
        let mut served = Served::new(over_unix);
        let (reading, shaking_hands) = (served.client(), served.silent());
        served.story.transport(0).write(&pattern(2_000_000));
        served.server.close_clients();
        let (ev, server) = (&mut served.ev, &served.server);
        ev.until(|| server.connections() == 1);
        assert_ne!(shaking_hands.below().seen(), Seen::Open, "there was nobody to say goodbye to");
        let mut received = Vec::new();
        ev.until(|| {
            reading.receive(&mut received);
            has_heard_goodbye(&reading)
        });
        assert!(received == pattern(2_000_000));
        assert_eq!(server.connections(), 1, "the answer is waited for");
        reading.say_goodbye();
        ev.until(|| server.connections() == 0);
        assert_eq!(served.story.lines(), ["0 made", "0 lost closed"]);
    }
}

#[test]
fn sv_15_aborting_clients_of_tls_says_nothing() {
    for over_unix in [false, true] {
        let mut served = Served::new(over_unix);
        let (peer, leaving) = (served.client(), served.client());
        served.story.transport(1).close();
        served.ev.until(|| has_heard_goodbye(&leaving));
        let _shaking_hands = served.silent();
        served.server.abort_clients();
        // In the same turn, whatever the layers wait for.
        served.ev.turn();
        assert_eq!(served.server.connections(), 0);
        assert!(!has_heard_goodbye(&peer));
        assert_ne!(peer.below().seen(), Seen::Open);
        assert_eq!((served.story.count("lost aborted"), served.story.lost()), (2, 2));
    }
}

#[test]
fn sv_19_a_drained_server_of_tls_has_said_goodbye_to_everybody() {
    for over_unix in [false, true] {
        let mut served = Served::new(over_unix);
        let (answering, gone) = (served.client(), served.client());
        let draining = served.drain(Duration::from_secs(60));
        served.ev.until(|| !served.server.is_serving());
        served.server.close_clients();
        served.ev.until(|| has_heard_goodbye(&answering) && has_heard_goodbye(&gone));
        answering.say_goodbye();
        // Whoever has closed already may just go.
        gone.close_below();
        served.ev.until(|| draining.is_finished());
        let report = served.ev.finish(draining).unwrap();
        assert_eq!((report.finished, report.aborted), (2, 0));
        assert_eq!(served.story.count("lost closed"), 2);
    }
}

#[test]
fn sv_19_a_drain_of_tls_ends_although_a_goodbye_is_not_answered() {
    for (deadline, report) in [(60, (1, 0)), (3, (0, 1))] {
        let mut served = Served::new(false);
        let silent = served.client();
        let draining = served.drain(Duration::from_secs(deadline));
        served.ev.until(|| !served.server.is_serving());
        served.server.close_clients();
        served.ev.until(|| has_heard_goodbye(&silent));
        served.clock.advance(Duration::from_secs(5).min(Duration::from_secs(deadline)));
        served.ev.until(|| draining.is_finished());
        let drained = served.ev.finish(draining).unwrap();
        assert_eq!((drained.finished, drained.aborted), report);
    }
}
