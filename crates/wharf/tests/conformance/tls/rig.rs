//! [`Rig`]: protocols of ours above TLS in memory, against a TLS peer worked by hand.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wharf::memory::Stage;
use wharf::tls::{self, ClientConfig, ServerConfig, rustls};
use wharf::{IntoProtocol, TransportRef};

use crate::support::authority::{Authority, BOTH, NAME};
use crate::support::tls_peer::TlsPeer;
use crate::support::{Call, Log};

pub(crate) struct Rig {
    pub(crate) stage: Stage,
    pub(crate) authority: Authority,
}

/// A connection whose handshake is over.
pub(crate) struct Open {
    pub(crate) log: Log,
    pub(crate) transport: TransportRef,
    pub(crate) below: TransportRef,
    pub(crate) peer: TlsPeer,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self { stage: Stage::new(), authority: Authority::new() }
    }

    /// Our server, and a client that has said nothing yet.
    pub(crate) fn serve<P: IntoProtocol>(
        &self,
        config: ServerConfig,
        protocol: P,
    ) -> (TransportRef, TlsPeer) {
        let client = self.authority.rustls_client(BOTH);
        self.serve_client(config, protocol, client)
    }

    pub(crate) fn serve_client<P: IntoProtocol>(
        &self,
        config: ServerConfig,
        protocol: P,
        client: rustls::ClientConfig,
    ) -> (TransportRef, TlsPeer) {
        let mut protocol = Some(protocol);
        let mut factory = tls::server(config, || protocol.take().expect("one connection"));
        let (below, _, wire) = self.stage.wire(factory());
        (below, TlsPeer::new(wire, &[Arc::new(client)]))
    }

    /// Our client, and a server.
    pub(crate) fn connect<P: IntoProtocol + 'static>(
        &self,
        config: ClientConfig,
        protocol: P,
        server: rustls::ServerConfig,
    ) -> (TransportRef, TlsPeer) {
        let factory = tls::client(config, NAME, || protocol);
        let (below, _, wire) = self.stage.wire(factory());
        (below, TlsPeer::server(wire, server))
    }

    /// Moves bytes both ways until nothing moves any more.
    pub(crate) fn exchange(&self, peer: &TlsPeer) {
        for _ in 0..20 {
            peer.flush();
            self.stage.run();
            if peer.try_receive(&mut Vec::new()).is_err() {
                return;
            }
        }
    }

    /// A logging server of ours whose handshake is over.
    pub(crate) fn open(&self) -> Open {
        self.open_with(self.authority.server())
    }

    pub(crate) fn open_with(&self, config: ServerConfig) -> Open {
        let log = Log::new();
        self.open_as(config, &log, log.plain())
    }

    pub(crate) fn open_as<P: IntoProtocol>(
        &self,
        config: ServerConfig,
        log: &Log,
        protocol: P,
    ) -> Open {
        self.open_to(config, log, protocol, self.authority.rustls_client(BOTH))
    }

    pub(crate) fn open_to<P: IntoProtocol>(
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

    pub(crate) fn advance(&self, by: u64) {
        self.stage.advance(Duration::from_secs(by));
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
