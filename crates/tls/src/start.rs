//! How TLS begins: with the connection ([`client`], [`server`]) or on one that lives already ([`start_tls`]).

use std::cell::OnceCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use wharf_core::{IntoProtocol, Scheduler, StreamProtocol, TransportRef};

use crate::error::Error;
use crate::layer::Layer;
use crate::settings::{ClientConfig, ServerConfig};
use crate::side::{Name, Side};

/// Makes a factory of TLS clients of a factory of protocols, for `tcp::connect` and its like.
///
/// `server_name` is what the server's certificate is to bear: a DNS name or an IP address.
/// The protocol hears `connection_made` when the handshake is over, with the TLS transport, which is also what connecting
/// gives.
/// A handshake that fails is an error of connecting, an [`Error`] inside; the protocol hears nothing of it.
#[doc(alias = "ssl")]
pub fn client<P, F>(
    config: impl Into<ClientConfig>,
    server_name: impl Name,
    factory: F,
) -> impl FnOnce() -> Tls<P> + 'static
where
    P: IntoProtocol + 'static,
    F: FnOnce() -> P + 'static,
{
    let side = Arc::new(Side::Client(config.into(), server_name.name()));
    move || Tls { side, protocol: factory() }
}

/// Makes a factory of TLS servers of a factory of protocols, for `tcp::listen` and its like.
///
/// Each protocol hears `connection_made` when its handshake is over, with the TLS transport.
/// A client whose handshake fails is told why by an alert and dropped; see
/// [`on_handshake_failure`](ServerConfig::on_handshake_failure).
#[doc(alias = "ssl")]
pub fn server<P, F>(config: impl Into<ServerConfig>, mut factory: F) -> impl FnMut() -> Tls<P>
where
    P: IntoProtocol,
    F: FnMut() -> P,
{
    let side = Arc::new(Side::Server(config.into()));
    move || Tls { side: Arc::clone(&side), protocol: factory() }
}

/// A protocol with TLS below it: what the factories of [`client`] and [`server`] make.
#[derive(Debug)]
pub struct Tls<P> {
    side: Arc<Side>,
    protocol: P,
}

impl<P: IntoProtocol> IntoProtocol for Tls<P> {
    type Shared = P::Shared;

    fn share(self) -> (Self::Shared, StreamProtocol) {
        let (shared, protocol) = self.protocol.share();
        (shared, StreamProtocol::from_layer(Layer::new(self.side, protocol)))
    }
}

/// Starts TLS on a connection that lives already, as after STARTTLS. Legal in a callback and outside of one.
///
/// `side` is a [`ServerConfig`], or a pair of a [`ClientConfig`] and the server's name.
/// `leftover` is the rest of what the running callback was given: bytes of the peer's handshake that came together with
/// its last plain ones.
/// Whatever was written before goes out before the handshake, as plain bytes.
///
/// The protocol stays; it hears no second `connection_made`, and its next callback has the TLS transport, after the
/// handshake. The transport that it had before would write past TLS, and is to be forgotten.
/// If the handshake fails, the connection ends, and the protocol is told so by `connection_lost`, with an [`Error`]
/// inside.
///
/// Awaiting the answer gives the TLS transport, before any data comes by it; see also
/// [`on_established`](StartTls::on_established).
/// Dropping the answer changes nothing: the handshake goes on.
///
/// # Errors
/// The answer is an error at once, and nothing happens to the connection, when it is closing already, or when the side
/// cannot be set up, as with a server's name that is none.
///
/// Plain bytes behind the request to start TLS may be somebody else's, meant to be taken for the peer's own once it is
/// trusted. They end the connection: a leftover must be the beginning of the client's handshake, and a client has none.
pub fn start_tls(transport: &TransportRef, side: impl Into<Side>, leftover: &[u8]) -> StartTls {
    StartTls(begin(transport, side.into(), leftover))
}

/// The type of a record that carries a handshake.
const HANDSHAKE: u8 = 22;

fn begin(transport: &TransportRef, side: Side, leftover: &[u8]) -> Result<Rc<Begun>, Failed> {
    let injected = match &side {
        Side::Client(..) => !leftover.is_empty(),
        Side::Server(_) => leftover.first().is_some_and(|first| *first != HANDSHAKE),
    };
    let engine = side.engine().map_err(|error| Failed(Some(error.into())))?;
    let protocol = transport.protocol().filter(|_| !transport.is_closing());
    let Some(protocol) = protocol else {
        return Err(Failed(Some(io::ErrorKind::NotConnected.into())));
    };
    if injected {
        transport.fail(Box::new(Error::Injected));
        return Err(Failed(Some(Error::Injected.into())));
    }
    let layer = Layer::new(Arc::new(side), protocol);
    transport.interpose(StreamProtocol::from_layer(Rc::clone(&layer) as Rc<_>));
    layer.begin(transport, Ok(engine), Some(leftover));
    Ok(Rc::new(Begun { layer, scheduler: transport.scheduler(), told: OnceCell::new() }))
}

/// TLS that was begun. What comes by it waits as long as somebody has this and has yet to be given the transport.
struct Begun {
    layer: Rc<Layer>,
    scheduler: Rc<dyn Scheduler>,
    /// What whoever has awaited it was told.
    told: OnceCell<Result<TransportRef, Error>>,
}

impl Begun {
    /// What has come of the handshake, if it is over.
    fn outcome(&self) -> Option<Result<TransportRef, Error>> {
        self.told.get().cloned().or_else(|| self.layer.outcome())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.layer.forget_waiter();
    }
}

/// Why TLS was not even begun; told once.
#[derive(Debug)]
struct Failed(Option<io::Error>);

/// The answer of [`start_tls`]: the TLS transport, once the handshake is over. Dropping it changes nothing.
pub struct StartTls(Result<Rc<Begun>, Failed>);

impl StartTls {
    /// Runs `callback` when the handshake is over, with the TLS transport and before any data comes by it, or with what
    /// went wrong. For protocols that live without futures.
    ///
    /// Called from the loop, before this callback's successors; a panic in it is reported as a fault.
    /// Where the handshake is over by now it is called in the next turn; data that nobody waited for has come by then.
    /// It is not called where TLS was not begun; await the answer, or ask [`error`](Self::error).
    pub fn on_established(
        self,
        callback: impl FnOnce(Result<&TransportRef, &Error>) + 'static,
    ) -> Self {
        if let Ok(begun) = &self.0 {
            match begun.outcome() {
                None => begun.layer.on_established(Box::new(callback)),
                Some(outcome) => {
                    let held = Rc::clone(begun);
                    begun.scheduler.call_soon(Box::new(move || {
                        callback(outcome.as_ref());
                        drop(held);
                    }));
                }
            }
        }
        self
    }

    /// Why TLS was not begun, if it was not.
    #[must_use]
    pub fn error(&self) -> Option<&io::Error> {
        self.0.as_ref().err().and_then(|failed| failed.0.as_ref())
    }
}

impl Future for StartTls {
    type Output = io::Result<TransportRef>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(begun) => {
                let outcome = ready!(begun.layer.poll_outcome(cx));
                let told = begun.told.get_or_init(|| outcome);
                Poll::Ready(told.clone().map_err(io::Error::from))
            }
            Err(failed) => match failed.0.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
        }
    }
}

impl fmt::Debug for StartTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartTls").field("error", &self.error()).finish_non_exhaustive()
    }
}
