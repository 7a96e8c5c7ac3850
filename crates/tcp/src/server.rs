//! [`Server`]: listening sockets, the connections accepted from them, and how both end.

mod acceptor;
mod pace;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use wharf_core::driver::{Owner, Readiness, StreamOptions};
use wharf_core::guard::{self, FaultReport};
use wharf_core::{Address, Lost, StreamProtocol, TransportId, TransportRef};
use wharf_reactor::source::Source;
use wharf_reactor::stream::Origin;
use wharf_reactor::{
    Listening, LoopHandle, OneshotSender, SocketFile, TimerHandle, oneshot, stream,
};

use acceptor::Acceptor;

use crate::socket::Socket;

/// How long the listeners rest when the system cannot give a connection, most often for want of descriptors: asyncio's.
/// The trouble will last a while, and the listener stays ready meanwhile.
const REST: Duration = Duration::from_secs(1);

/// Makes the protocol of each accepted connection.
pub(crate) type Factory = Box<dyn FnMut() -> StreamProtocol>;

/// Is told of trouble in accepting.
pub(crate) type AcceptObserver = Box<dyn FnMut(&AcceptError)>;

/// Why a connection could not be accepted. The server goes on.
#[derive(Debug)]
#[non_exhaustive]
pub struct AcceptError {
    /// The listening address.
    pub address: Option<Address>,
    /// What the system said.
    pub error: io::Error,
    /// How long the listeners rest. The clients wait in the backlog meanwhile.
    pub resting: Duration,
}

/// How a server behaves.
pub(crate) struct ServerOptions {
    pub(crate) backlog: i32,
    pub(crate) max_connections: usize,
    /// The backlog, where it is not given.
    pub(crate) accept_budget: Option<usize>,
    pub(crate) serve: bool,
    pub(crate) keep_alive: bool,
    pub(crate) stream: StreamOptions,
    pub(crate) observer: Option<AcceptObserver>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            // asyncio's.
            backlog: 100,
            max_connections: usize::MAX,
            accept_budget: None,
            serve: true,
            keep_alive: false,
            stream: StreamOptions::default(),
            observer: None,
        }
    }
}

impl ServerOptions {
    fn accept_budget(&self) -> usize {
        self.accept_budget.unwrap_or_else(|| usize::try_from(self.backlog).unwrap_or(1).max(1))
    }
}

/// A listening socket, bound and perhaps not yet listening, and the file to remove when it goes.
pub(crate) struct Listener {
    pub(crate) socket: socket2::Socket,
    pub(crate) file: Option<SocketFile>,
}

/// A server: a cheap handle, equal by identity. Dropping it stops nothing; [`close`](Self::close) does.
#[derive(Clone)]
pub struct Server(Rc<ServerState>);

struct ServerState {
    me: Weak<Self>,
    handle: LoopHandle,
    /// Out of its place while it runs, and gone once the server is closed: it may hold the server itself.
    factory: RefCell<Option<Factory>>,
    options: ServerOptions,
    observer: RefCell<Option<AcceptObserver>>,
    stream: Rc<StreamOptions>,
    acceptors: RefCell<Vec<Rc<Acceptor>>>,
    live: Cell<usize>,
    phase: Cell<Phase>,
    resting: RefCell<Option<TimerHandle>>,
    forever: Cell<bool>,
    waiters: RefCell<Vec<Waiter>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Bound, not listening.
    Bound,
    /// Accepting.
    Serving,
    /// Listening, with accepting put off by the user.
    Paused,
    /// The listening sockets are closed.
    Closed,
}

struct Waiter {
    until: Until,
    sender: OneshotSender<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    ListenersClosed,
    ConnectionsGone,
}

/// How a [`Server::drain`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that ended by themselves within the time.
    pub finished: usize,
    /// Connections that were aborted when it was over.
    pub aborted: usize,
}

impl Server {
    pub(crate) fn new(
        handle: &LoopHandle,
        listeners: Vec<Listener>,
        factory: Factory,
        mut options: ServerOptions,
    ) -> io::Result<Self> {
        let serve = options.serve;
        let state = Rc::new_cyclic(|me| ServerState {
            me: me.clone(),
            handle: handle.clone(),
            factory: RefCell::new(Some(factory)),
            observer: RefCell::new(options.observer.take()),
            stream: Rc::new(StreamOptions { owner: Some(owner(me)), ..options.stream.clone() }),
            options,
            acceptors: RefCell::default(),
            live: Cell::new(0),
            phase: Cell::new(Phase::Bound),
            resting: RefCell::default(),
            forever: Cell::new(false),
            waiters: RefCell::default(),
        });
        for listener in listeners {
            state.acceptors.borrow_mut().push(Acceptor::new(&state, listener));
        }
        let server = Self(state);
        if serve {
            if let Err(error) = server.start_serving() {
                server.close();
                return Err(error);
            }
        }
        Ok(server)
    }

    /// The addresses it listens on, with the ports that the system chose; empty once closed.
    #[doc(alias = "sockets")]
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.0.acceptors.borrow().iter().filter_map(|acceptor| acceptor.address()).collect()
    }

    /// Whether it accepts connections.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.phase.get() == Phase::Serving
    }

    /// How many of its connections are alive.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.live.get()
    }

    /// Its live connections, as their protocols know them: where a layer such as TLS stands on one, the transport above it.
    #[must_use]
    pub fn clients(&self) -> Vec<TransportRef> {
        let owner = self.0.as_owner();
        let sources = self.0.handle.sources();
        sources
            .iter()
            .filter_map(|source| source.as_connection())
            .filter(|connection| connection.is_owned_by(&owner))
            .filter_map(|connection| connection.transport())
            .map(|transport| transport.uppermost())
            .collect()
    }

    /// Starts accepting; without effect when it does already.
    ///
    /// # Errors
    /// `NotConnected` on a server that was closed; else what the system says to `listen`.
    pub fn start_serving(&self) -> io::Result<()> {
        let state = &*self.0;
        match state.phase.get() {
            Phase::Closed => {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the server is closed"));
            }
            Phase::Serving => return Ok(()),
            Phase::Bound => {
                for acceptor in &*state.acceptors.borrow() {
                    acceptor.listen(state.options.backlog)?;
                }
            }
            Phase::Paused => {}
        }
        let before = state.phase.replace(Phase::Serving);
        state.update_polling().inspect_err(|_| state.phase.set(before))
    }

    /// Stops accepting and goes on listening: clients wait in the backlog until
    /// [`start_serving`](Self::start_serving).
    pub fn pause_serving(&self) {
        if self.0.phase.get() == Phase::Serving {
            self.0.phase.set(Phase::Paused);
            // Polling for less cannot fail on a registered descriptor.
            let _ = self.0.update_polling();
        }
    }

    /// Closes the listening sockets before it returns, and leaves the connections alone. Idempotent.
    pub fn close(&self) {
        self.0.close();
    }

    /// Closes every connection: each flushes and ends, and says goodbye where its layers have a way to. One that is in the
    /// handshake of a layer ends without.
    pub fn close_clients(&self) {
        self.clients().iter().for_each(|client| client.close());
    }

    /// Aborts every connection.
    pub fn abort_clients(&self) {
        self.clients().iter().for_each(|client| client.abort());
    }

    /// Ends when the server is closed and every accepted connection is gone, whichever comes last.
    pub async fn wait_closed(&self) {
        self.0.wait(Until::ConnectionsGone).await;
    }

    /// Ends when the server is closed, whatever its connections do.
    pub async fn wait_listeners_closed(&self) {
        self.0.wait(Until::ListenersClosed).await;
    }

    /// Closes the listening sockets, gives the connections up to `deadline` from now on to end by themselves, and aborts
    /// the rest. Call [`close_clients`](Self::close_clients) first to ask them to.
    ///
    /// To stop gracefully on a signal, let its callback fill a one-shot:
    ///
    /// ```no_run
    /// use std::cell::RefCell;
    /// use std::time::Duration;
    /// use wharf_core::{Protocol, TransportRef};
    /// use wharf_reactor::{EventLoop, oneshot};
    ///
    /// # struct Echo;
    /// # impl Protocol for Echo {
    /// #     fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
    /// #         transport.write(data);
    /// #     }
    /// # }
    /// const SIGTERM: i32 = 15; // or libc's, nix's, signal-hook's
    ///
    /// let mut ev = EventLoop::new()?;
    /// let handle = ev.handle().clone();
    /// let (stop, stopped) = oneshot();
    /// let stop = RefCell::new(Some(stop));
    /// ev.add_signal_handler(SIGTERM, move || {
    ///     if let Some(stop) = stop.take() {
    ///         let _ = stop.send(());
    ///     }
    /// })?;
    /// let report = ev.block_on(async {
    ///     let server = wharf_tcp::listen(&handle, "127.0.0.1:7000", || Echo).await?;
    ///     stopped.await;
    ///     server.close_clients();
    ///     Ok::<_, std::io::Error>(server.drain(Duration::from_secs(10)).await)
    /// })?;
    /// println!("{report}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// The report counts the connections that are alive when this begins.
    /// Several servers are drained at the same time by spawning their drains, each after its `close_clients`.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        self.close();
        let before = self.connections();
        let handle = self.0.handle.clone();
        if handle.timeout(deadline, self.wait_closed()).await.is_ok() {
            return DrainReport { finished: before, aborted: 0 };
        }
        let aborted = self.connections();
        self.abort_clients();
        self.wait_closed().await;
        DrainReport { finished: before - aborted, aborted }
    }

    /// Serves until the server is closed and its connections are gone. Dropping the future closes the server, as cancelling asyncio's does.
    ///
    /// # Errors
    /// When the server is closed already or is being served forever by somebody else, and as
    /// [`start_serving`](Self::start_serving).
    pub async fn serve_forever(&self) -> io::Result<()> {
        struct CloseOnDrop<'a>(&'a Server);
        impl Drop for CloseOnDrop<'_> {
            fn drop(&mut self) {
                self.0.0.forever.set(false);
                self.0.close();
            }
        }
        if self.0.forever.get() {
            return Err(io::Error::other("the server is served forever already"));
        }
        self.start_serving()?;
        self.0.forever.set(true);
        let _close = CloseOnDrop(self);
        self.wait_closed().await;
        Ok(())
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connections: {} finished, {} aborted", self.finished, self.aborted)
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Server {}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses())
            .field("phase", &self.0.phase.get())
            .field("connections", &self.connections())
            .finish()
    }
}

/// The server as its connections refer to it.
fn owner(server: &Weak<ServerState>) -> Weak<dyn Owner> {
    Weak::<ServerState>::clone(server)
}

impl ServerState {
    fn as_owner(&self) -> Rc<dyn Owner> {
        self.me.upgrade().expect("a server that is asked is alive") as Rc<dyn Owner>
    }

    /// Whether the listeners accept, and if not, why; `None` when there are none any more.
    fn listening(&self) -> Option<Listening> {
        match self.phase.get() {
            Phase::Bound => Some(Listening::Bound),
            Phase::Paused => Some(Listening::Paused),
            Phase::Serving if self.resting.borrow().is_some() => Some(Listening::Resting),
            Phase::Serving if self.live.get() >= self.options.max_connections => {
                Some(Listening::Full)
            }
            Phase::Serving => Some(Listening::Accepting),
            Phase::Closed => None,
        }
    }

    /// Polls the listeners while they accept, and only then.
    fn update_polling(&self) -> io::Result<()> {
        let wanted = self.listening() == Some(Listening::Accepting);
        for acceptor in &*self.acceptors.borrow() {
            acceptor.poll(wanted)?;
        }
        Ok(())
    }

    fn close(&self) {
        if self.phase.replace(Phase::Closed) == Phase::Closed {
            return;
        }
        if let Some(timer) = self.resting.take() {
            timer.cancel();
        }
        let acceptors = self.acceptors.take();
        for acceptor in acceptors {
            acceptor.close();
        }
        self.wake_waiters();
        // Neither is called again, and either may hold the server. Last, because they are the user's.
        drop(self.factory.take());
        drop(self.observer.take());
    }

    async fn wait(&self, until: Until) {
        if !self.is_over(until) {
            let (sender, receiver) = oneshot();
            self.enlist_waiter(Waiter { until, sender });
            receiver.await;
        }
    }

    /// Takes one in, and those out that have given up.
    fn enlist_waiter(&self, waiter: Waiter) {
        let mut waiters = self.waiters.borrow_mut();
        waiters.retain(|waiter| !waiter.sender.is_closed());
        waiters.push(waiter);
    }

    fn is_over(&self, until: Until) -> bool {
        self.phase.get() == Phase::Closed
            && (until == Until::ListenersClosed || self.live.get() == 0)
    }

    fn wake_waiters(&self) {
        if self.waiters.borrow().is_empty() {
            return;
        }
        let waiters = self.waiters.take();
        let (over, waiting): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|waiter| self.is_over(waiter.until));
        self.waiters.borrow_mut().extend(waiting);
        for waiter in over {
            let _ = waiter.sender.send(());
        }
    }

    /// Makes a connection of a socket that was accepted `by` one of the listeners. Its descriptor is closed on every way
    /// out.
    fn welcome(&self, socket: socket2::Socket, peer: Option<Address>, by: &Acceptor) {
        let factory = self.factory.take();
        let Some(mut factory) = factory else { return };
        let made = guard::call("factory", &mut factory);
        let unused = if self.phase.get() == Phase::Closed {
            Some(factory)
        } else {
            self.factory.replace(Some(factory))
        };
        drop(unused);
        let protocol = match made {
            Ok(protocol) => protocol,
            Err(caught) => return self.handle.report(FaultReport::caught(caught)),
        };
        self.live.set(self.live.get() + 1);
        self.handle.count_accepted();
        by.count_accepted();
        let socket = Socket::accepted(socket);
        let origin = Origin { peer, exclusive: true };
        let options = Rc::clone(&self.stream);
        let driver = stream::stream(&self.handle, socket, origin, protocol, options);
        // A fault has been reported, and has ended the connection.
        if driver.begin().is_ok() {
            // Most clients speak first, and are faster than we are: what they have said spares an event, and often a turn.
            Source::ready(driver, Readiness { read: true, write: false });
        }
    }

    /// Rests after the system refused; once for all listeners, with one report.
    fn rest(&self, address: Option<&Address>, error: io::Error) {
        let me = self.me.clone();
        let timer = self.handle.call_later(REST, move || {
            if let Some(me) = me.upgrade() {
                me.resting.take();
                // Fails only for a descriptor that is not registered.
                let _ = me.update_polling();
            }
        });
        self.resting.replace(Some(timer));
        let _ = self.update_polling();
        self.handle.note_accept_trouble(address, &error, REST);
        self.observe(AcceptError { address: address.cloned(), error, resting: REST });
    }

    fn observe(&self, trouble: AcceptError) {
        let observer = self.observer.take();
        if let Some(mut observer) = observer {
            if let Err(caught) = guard::call("accept observer", || observer(&trouble)) {
                self.handle.report(FaultReport::caught(caught));
            }
            if self.phase.get() != Phase::Closed {
                self.observer.borrow_mut().get_or_insert(observer);
            }
        }
    }
}

impl Owner for ServerState {
    fn connection_lost(&self, _: TransportId, _: &Lost) {
        let live = self.live.get() - 1;
        self.live.set(live);
        if live + 1 == self.options.max_connections {
            let _ = self.update_polling();
        }
        if live == 0 {
            self.wake_waiters();
        }
    }
}
