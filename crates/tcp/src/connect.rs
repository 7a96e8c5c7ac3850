//! Connecting: to one address, to a name with several, or with a socket that is connected already.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nix::errno::Errno;
use socket2::SockAddr;
use wharf_core::driver::{Readiness, StreamOptions};
use wharf_core::stream::Interest;
use wharf_core::{Address, IntoProtocol, TransportRef};
use wharf_reactor::source::{Registration, Source};
use wharf_reactor::stream::Origin;
use wharf_reactor::{Handle, LoopClosed, LoopHandle, oneshot, stream};

use crate::options::stream_setters;
use crate::race::{Failures, Racing, interleave, race};
use crate::socket::{Socket, domain};
use wharf_reactor::{EndpointList, Endpoints};

/// What connecting gives: the transport, and the protocol as the user keeps it.
pub type Connected<P> = (TransportRef, <P as IntoProtocol>::Shared);

/// Connects to `to` and puts the protocol of `factory` on the connection.
///
/// Await it, after any of the settings of [`Connect`].
/// It ends after `connection_made` has returned and before the first `data_received`.
/// Dropping the future takes everything back.
#[doc(alias = "create_connection")]
pub fn connect<P, F>(handle: &LoopHandle, to: impl Endpoints, factory: F) -> Connect<F>
where
    P: IntoProtocol,
    F: FnOnce() -> P,
{
    Connect {
        handle: handle.clone(),
        to: to.endpoints(),
        factory,
        timeout: None,
        local_addr: None,
        racing: Racing::DEFAULT,
        stream: StreamOptions::default(),
    }
}

/// Puts the protocol of `factory` on a socket that is connected already: accepted elsewhere, inherited, one end of a
/// socket pair. TCP or Unix, client or server side.
///
/// # Errors
/// `InvalidInput` when it is no stream socket, `NotConnected` when it is not connected.
#[doc(alias = "sock")]
#[doc(alias = "connect_accepted_socket")]
pub async fn adopt<P, F>(
    handle: &LoopHandle,
    socket: impl Into<OwnedFd>,
    factory: F,
) -> io::Result<Connected<P>>
where
    P: IntoProtocol,
    F: FnOnce() -> P,
{
    let socket = Socket::adopt(socket.into())?;
    let peer = socket.as_raw().peer_addr()?;
    let peer = crate::socket::address(&peer);
    // Whose maker may have kept a duplicate.
    let origin = Origin { peer, exclusive: false };
    establish(handle, socket, origin, factory, &StreamOptions::default()).await
}

/// A connection to be: its settings. Awaiting it connects.
#[must_use = "a connection is made when this is awaited"]
pub struct Connect<F> {
    handle: LoopHandle,
    to: io::Result<EndpointList>,
    factory: F,
    timeout: Option<Duration>,
    local_addr: Option<SocketAddr>,
    racing: Racing,
    stream: StreamOptions,
}

impl<F> Connect<F> {
    stream_setters!(stream);

    /// Gives up with `TimedOut` when resolving and connecting take longer than this together.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Connects from this address. Addresses of the other family are left out.
    pub fn local_addr(mut self, address: SocketAddr) -> Self {
        self.local_addr = Some(address);
        self
    }

    /// How long an address has before the next one is tried beside it; a quarter of a second unless said otherwise,
    /// `None` to wait until it fails.
    pub fn happy_eyeballs_delay(mut self, delay: Option<Duration>) -> Self {
        self.racing.delay = delay;
        self
    }

    /// How many addresses of the first family are tried before the families alternate; one unless said otherwise, zero
    /// for the resolver's order.
    pub fn interleave(mut self, first_family: usize) -> Self {
        self.racing.interleave = first_family;
        self
    }

    async fn socket(&self, to: &EndpointList) -> io::Result<(Socket, Address)> {
        let mut addresses = to.resolve(&self.handle).await?;
        if let Some(local) = self.local_addr {
            addresses.retain(|address| address.is_ipv4() == local.is_ipv4());
            if addresses.is_empty() {
                let text = format!("no address of the peer is of the family of {local}");
                return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
            }
        }
        let addresses = interleave(&addresses, self.racing.interleave);
        let attempt = |address| connect_one(&self.handle, address, self.local_addr);
        race(&self.handle, &addresses, self.racing.delay, attempt).await.map_err(all_failed)
    }

    async fn start<P: IntoProtocol>(mut self) -> io::Result<Connected<P>>
    where
        F: FnOnce() -> P,
    {
        let to = std::mem::replace(&mut self.to, Err(io::ErrorKind::Other.into()))?;
        let connecting = self.socket(&to);
        let (socket, peer) = match self.timeout {
            None => connecting.await?,
            Some(timeout) => {
                self.handle.timeout(timeout, connecting).await.unwrap_or_else(|_| {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "connecting took too long"))
                })?
            }
        };
        let origin = Origin { peer: Some(peer), exclusive: true };
        establish(&self.handle, socket, origin, self.factory, &self.stream).await
    }
}

impl<P, F> IntoFuture for Connect<F>
where
    P: IntoProtocol + 'static,
    F: FnOnce() -> P + 'static,
{
    type Output = io::Result<Connected<P>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl<F> fmt::Debug for Connect<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("to", &self.to).finish_non_exhaustive()
    }
}

/// Why every address of several failed; inside the `io::Error` of [`connect`], whose kind is that of the last one.
#[derive(Debug, thiserror::Error)]
#[error("every address failed: {}", list(.attempts))]
pub struct ConnectError {
    /// Each address that was tried, and its error, in the order in which they failed.
    pub attempts: Vec<(SocketAddr, io::Error)>,
}

fn list(attempts: &Failures) -> String {
    let texts: Vec<String> =
        attempts.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    texts.join("; ")
}

/// One failure is itself; several are told together.
fn all_failed(mut attempts: Failures) -> io::Error {
    if attempts.len() == 1 {
        return attempts.remove(0).1;
    }
    let kind = attempts.last().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
    io::Error::new(kind, ConnectError { attempts })
}

async fn connect_one(
    handle: &LoopHandle,
    address: SocketAddr,
    local: Option<SocketAddr>,
) -> io::Result<(Socket, Address)> {
    let socket = Socket::new(domain(&address))?;
    if let Some(local) = local {
        socket.as_raw().bind(&local.into()).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot connect from {local}: {error}"))
        })?;
    }
    let socket = connect_socket(handle, socket, &address.into()).await?;
    Ok((socket, Address::Ip(address)))
}

/// Connects a socket without blocking.
pub(crate) async fn connect_socket(
    handle: &LoopHandle,
    socket: Socket,
    to: &SockAddr,
) -> io::Result<Socket> {
    match socket.as_raw().connect(to) {
        Ok(()) => return Ok(socket),
        // Interrupted or not, it goes on by itself; calling again would be an error.
        Err(error) if matches!(errno(&error), Some(Errno::EINPROGRESS | Errno::EINTR)) => {}
        // On a Unix socket EAGAIN is a full backlog and not a connection in the making.
        Err(error) => return Err(error),
    }
    let registration = Registration::new(handle);
    registration.set_interest(socket.as_fd(), Interest { read: false, write: true })?;
    let signal = Rc::new(Writable::default());
    registration.attach(Rc::clone(&signal) as Rc<dyn Source>);
    Connecting { socket: Some(socket), registration, signal }.await
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

/// Notes that a descriptor has become writable.
#[derive(Default)]
struct Writable {
    ready: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Source for Writable {
    fn ready(self: Rc<Self>, _: Readiness) {
        self.ready.set(true);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn shut(self: Rc<Self>) {}
}

/// A connection in the making. Dropping it deregisters the descriptor before it is closed.
struct Connecting {
    socket: Option<Socket>,
    registration: Registration,
    signal: Rc<Writable>,
}

impl Connecting {
    /// Whether the connection stands, or why it failed; `None` while it is still being made.
    fn outcome(socket: &Socket) -> Option<io::Result<()>> {
        match socket.as_raw().take_error() {
            Ok(Some(error)) | Err(error) => return Some(Err(error)),
            Ok(None) => {}
        }
        match socket.as_raw().peer_addr() {
            Ok(_) => Some(Ok(())),
            // Woken too early.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Future for Connecting {
    type Output = io::Result<Socket>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.signal.ready.take() {
            let outcome = this.socket.as_ref().and_then(Self::outcome);
            if let Some(outcome) = outcome {
                let Some(socket) = this.socket.take() else { return Poll::Pending };
                this.registration.close(socket.as_fd());
                return Poll::Ready(outcome.map(|()| socket));
            }
        }
        this.signal.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.registration.close(socket.as_fd());
        }
    }
}

/// Puts a protocol on a connected socket. Ends after `connection_made` has returned, and after the handshake of a layer.
pub(crate) async fn establish<P: IntoProtocol>(
    handle: &LoopHandle,
    socket: Socket,
    origin: Origin,
    factory: impl FnOnce() -> P,
    options: &StreamOptions,
) -> io::Result<Connected<P>> {
    let (shared, protocol) = factory().share();
    let layer = protocol.clone();
    let driver = stream::stream(handle, socket, origin, protocol, Rc::new(options.clone()));
    let (sender, receiver) = oneshot();
    let begun = Rc::clone(&driver);
    let begin = handle.call_soon(move || {
        // Nobody waits any more: the guard below has taken the stream back.
        let _ = sender.send(begun.begin());
    });
    let mut guard = TakeBack { driver: Some(driver), begin };
    let Some(begun) = receiver.await else {
        // It did not begin: the loop is gone. The guard takes the stream back.
        return Err(io::Error::other(LoopClosed));
    };
    let Some(below) = guard.driver.as_ref().map(|driver| driver.handle()) else {
        return Err(io::ErrorKind::Other.into());
    };
    let established = match begun {
        // A plain protocol stands by now; a layer such as TLS has its handshake before it.
        Ok(()) => poll_fn(|cx| layer.poll_established(&below, cx)).await,
        Err(fault) => Err(io::Error::other(fault)),
    };
    // Whatever came of it, the connection ends by itself: a layer that has failed may still have to say why to its peer.
    guard.driver = None;
    established.map(|transport| (transport, shared))
}

/// Takes a stream back whose maker has given up: without a word if its protocol knows nothing, else by an abort.
struct TakeBack {
    driver: Option<Rc<stream::StreamDriver<Socket>>>,
    begin: Handle,
}

impl Drop for TakeBack {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.begin.cancel();
            if !driver.abandon() {
                driver.handle().abort();
            }
        }
    }
}
