//! [`Rig`]: protocols of ours above TLS, over any carrier, against a TLS peer worked by hand.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wharf::guard::FaultReport;
use wharf::memory::Pair;
use wharf::tls::{self, ClientConfig, ServerConfig, rustls};
use wharf::{IntoProtocol, TransportRef};

use crate::support::authority::{Authority, BOTH, NAME};
use crate::support::bench::Laid;
use crate::support::tls_peer::TlsPeer;
use crate::support::{Bench, Call, Log, Over, Peer, poll};

/// After this many rounds bytes that are still on their way are taken to move for ever.
const ROUNDS: usize = 5_000;

pub(crate) struct Rig {
    bench: RefCell<Bench>,
    pub(crate) authority: Authority,
    /// Those who connect, and have the transport when it stands.
    connecting: RefCell<Vec<Connecting>>,
}

/// Ends with the handshakes.
type Connecting = Pin<Box<dyn Future<Output = ()>>>;

/// A connection whose handshake is over.
pub(crate) struct Open {
    pub(crate) log: Log,
    pub(crate) transport: TransportRef,
    pub(crate) below: TransportRef,
    pub(crate) peer: Rc<TlsPeer>,
}

impl Rig {
    /// TLS on connections of this kind.
    pub(crate) fn new(carrier: Over) -> Self {
        Self {
            bench: RefCell::new(Bench::new(carrier)),
            authority: Authority::new(),
            connecting: RefCell::default(),
        }
    }

    // ---- connections ----

    /// Puts a protocol, which may be a layer, on a connection of the carrier.
    pub(crate) fn lay<P: IntoProtocol + 'static>(&self, protocol: P) -> (TransportRef, Peer) {
        let Laid { lowest, peer, established } = self.begin(protocol);
        self.connecting.borrow_mut().push(Box::pin(async { drop(established.await) }));
        (lowest, peer)
    }

    /// The same, for one who awaits the transport.
    pub(crate) fn begin<P: IntoProtocol + 'static>(&self, protocol: P) -> Laid<P::Shared> {
        self.bench.borrow_mut().lay(protocol)
    }

    /// The peer as a client.
    pub(crate) fn client(&self, below: Peer, config: rustls::ClientConfig) -> Rc<TlsPeer> {
        self.bench.borrow().tls_client(below, &Arc::new(config))
    }

    /// The peer as a server.
    pub(crate) fn server(&self, below: Peer, config: rustls::ServerConfig) -> Rc<TlsPeer> {
        self.bench.borrow().attend(TlsPeer::server(below, config))
    }

    /// Our server, and a client that has said nothing yet.
    pub(crate) fn serve<P: IntoProtocol + 'static>(
        &self,
        config: ServerConfig,
        protocol: P,
    ) -> (TransportRef, Rc<TlsPeer>) {
        let client = self.authority.rustls_client(BOTH);
        self.serve_client(config, protocol, client)
    }

    pub(crate) fn serve_client<P: IntoProtocol + 'static>(
        &self,
        config: ServerConfig,
        protocol: P,
        client: rustls::ClientConfig,
    ) -> (TransportRef, Rc<TlsPeer>) {
        let mut protocol = Some(protocol);
        let mut factory = tls::server(config, move || protocol.take().expect("one connection"));
        let (below, peer) = self.lay(factory());
        (below, self.client(peer, client))
    }

    /// Our client, and a server.
    pub(crate) fn connect<P: IntoProtocol + 'static>(
        &self,
        config: ClientConfig,
        protocol: P,
        server: rustls::ServerConfig,
    ) -> (TransportRef, Rc<TlsPeer>) {
        let factory = tls::client(config, NAME, || protocol);
        let (below, peer) = self.lay(factory());
        (below, self.server(peer, server))
    }

    /// A logging server of ours whose handshake is over.
    pub(crate) fn open(&self) -> Open {
        self.open_with(self.authority.server())
    }

    pub(crate) fn open_with(&self, config: ServerConfig) -> Open {
        let log = Log::new();
        self.open_as(config, &log, log.plain())
    }

    pub(crate) fn open_as<P: IntoProtocol + 'static>(
        &self,
        config: ServerConfig,
        log: &Log,
        protocol: P,
    ) -> Open {
        self.open_to(config, log, protocol, self.authority.rustls_client(BOTH))
    }

    pub(crate) fn open_to<P: IntoProtocol + 'static>(
        &self,
        config: ServerConfig,
        log: &Log,
        protocol: P,
        client: rustls::ClientConfig,
    ) -> Open {
        let made = catch(log);
        let (below, peer) = self.serve_client(config, protocol, client);
        self.exchange(&peer);
        let transport = made.borrow_mut().take().expect("the handshake is over");
        Open { log: log.clone(), transport, below, peer }
    }

    /// A logging client of ours whose handshake is over.
    pub(crate) fn open_client(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Open {
        let log = Log::new();
        let made = catch(&log);
        let config = ClientConfig::from(Arc::new(self.authority.rustls_client(versions)));
        let server = self.authority.rustls_server(BOTH);
        let (below, peer) = self.connect(config, log.plain(), server);
        self.exchange(&peer);
        let transport = made.borrow_mut().take().expect("the handshake is over");
        Open { log, transport, below, peer }
    }

    /// Connects two protocols of ours in memory.
    pub(crate) fn pair<P: IntoProtocol, Q: IntoProtocol>(&self, first: P, second: Q) -> Pair<P, Q> {
        self.bench.borrow().stage().pair(first, second)
    }

    // ---- turns ----

    /// Takes one turn.
    pub(crate) fn turn(&self) {
        self.bench.borrow_mut().turn();
        self.poll_connecting();
    }

    /// Takes turns until nothing happens any more.
    #[track_caller]
    pub(crate) fn run(&self) {
        self.bench.borrow_mut().settle();
        while self.poll_connecting() {
            self.bench.borrow_mut().settle();
        }
    }

    /// Gives their transports to those who connect. Says whether anybody got one.
    fn poll_connecting(&self) -> bool {
        let mut connecting = self.connecting.borrow_mut();
        let before = connecting.len();
        connecting.retain_mut(|connecting| poll(connecting).is_pending());
        connecting.len() < before
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.advance_by(Duration::from_secs(seconds));
    }

    pub(crate) fn advance_by(&self, time: Duration) {
        self.bench.borrow_mut().advance(time);
        self.run();
    }

    /// Moves bytes both ways until nothing moves any more, or the peer has reason to complain.
    pub(crate) fn exchange(&self, peer: &TlsPeer) {
        for _ in 0..ROUNDS {
            let sent = peer.flush();
            self.run();
            match peer.try_receive(&mut Vec::new()) {
                Ok(came) if came || sent => {}
                _ => return,
            }
        }
        panic!("bytes go to and fro for ever");
    }

    /// Moves bytes until the peer has received `count`, which it gives.
    pub(crate) fn receive(&self, peer: &TlsPeer, count: usize) -> Vec<u8> {
        let mut received = Vec::new();
        for _ in 0..ROUNDS {
            peer.receive(&mut received);
            if received.len() >= count {
                return received;
            }
            self.turn();
        }
        panic!("only {} bytes have come", received.len());
    }

    /// Writes a pattern until the kernel takes no more and some of it stays buffered. Says how much it was.
    pub(crate) fn fill(&self, transport: &TransportRef) -> usize {
        self.bench.borrow_mut().fill(transport)
    }

    /// Takes turns until `condition` is true.
    #[track_caller]
    pub(crate) fn run_until(&self, mut condition: impl FnMut() -> bool) {
        for _ in 0..ROUNDS {
            if condition() {
                return;
            }
            self.turn();
        }
        panic!("the condition did not come true in {ROUNDS} turns");
    }

    // ---- the loop ----

    /// How many connections are on the loop.
    pub(crate) fn connections(&self) -> usize {
        self.bench.borrow().sources()
    }

    /// Keeps panics of callbacks for [`faults`](Self::faults); otherwise they fail the test.
    pub(crate) fn contain_faults(&self) {
        self.bench.borrow().contain_faults();
    }

    pub(crate) fn faults(&self) -> Vec<FaultReport> {
        self.bench.borrow().faults()
    }
}

/// Where the transport of the next `connection_made` goes.
pub(crate) fn catch(log: &Log) -> Rc<RefCell<Option<TransportRef>>> {
    let made = Rc::new(RefCell::new(None));
    let caught = Rc::clone(&made);
    log.on(Call::Made, move |transport| {
        caught.replace(Some(transport.clone()));
    });
    made
}
