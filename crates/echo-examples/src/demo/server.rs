//! The server's thread: one loop, one echo server.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::{io, thread};

use wharf::{
    Address, Buffered, BufferedProtocol, EventLoop, IntoProtocol, LoopHandle, Lost, Protocol,
    Remote, Server, Statistics, TransportRef, tcp, tls, unix,
};

use super::cat::Visitor;
use super::place::Kind;
use super::upgrade::Upgrading;
use super::{Error, PATIENCE, datagrams, secrets};

/// Sends back what comes, and reads no faster than the peer does.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }

    fn pause_writing(&mut self, transport: &TransportRef) {
        transport.pause_reading();
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        transport.resume_reading();
    }
}

/// The same out of a buffer of its own.
struct BufferedEcho(Box<[u8]>);

impl BufferedProtocol for BufferedEcho {
    fn get_buffer(&mut self, _: Option<usize>) -> &mut [u8] {
        &mut self.0
    }

    fn buffer_updated(&mut self, transport: &TransportRef, count: usize) {
        transport.write(&self.0[..count]);
    }

    fn pause_writing(&mut self, transport: &TransportRef) {
        transport.pause_reading();
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        transport.resume_reading();
    }
}

/// The buffer of a [`BufferedEcho`]: each connection has one, so it is not as large as the largest message.
const BUFFER: usize = 16 * 1024;

/// Listens at `place` with the protocol of `kind`. `backlog` clients may come at once; certificates are in `folder`.
pub(super) async fn listen(
    handle: &LoopHandle,
    kind: Kind,
    place: Address,
    backlog: u16,
    folder: &Path,
) -> io::Result<Server> {
    match kind {
        Kind::Tls | Kind::TlsUnix => {
            let factory = tls::server(secrets::of_server(folder)?, || Echo);
            listen_with(handle, place, backlog, factory).await
        }
        Kind::StartTls => {
            let config = secrets::of_server(folder)?;
            listen_with(handle, place, backlog, move || Upgrading::new(config.clone())).await
        }
        Kind::Buffered => {
            let factory = || Buffered(BufferedEcho(vec![0; BUFFER].into()));
            listen_with(handle, place, backlog, factory).await
        }
        Kind::Cat => {
            let on = handle.clone();
            listen_with(handle, place, backlog, move || Visitor(on.clone())).await
        }
        _ => listen_with(handle, place, backlog, || Echo).await,
    }
}

async fn listen_with<P: IntoProtocol + 'static>(
    handle: &LoopHandle,
    place: Address,
    backlog: u16,
    factory: impl FnMut() -> P + 'static,
) -> io::Result<Server> {
    match place {
        Address::Ip(address) => tcp::listen(handle, address, factory).backlog(backlog).await,
        Address::Unix(name) => unix::listen(handle, name, factory).backlog(backlog).await,
        other => Err(io::Error::new(io::ErrorKind::Unsupported, other.to_string())),
    }
}

/// A server in a thread of its own.
pub(super) struct ServerThread {
    pub(super) address: Address,
    remote: Remote,
    news: Receiver<News>,
}

enum News {
    Listening(Address, Remote),
    Ended(Result<Statistics, Error>),
}

impl ServerThread {
    /// Starts it, and waits until it listens.
    pub(super) fn start(kind: Kind, folder: &Path, backlog: u16) -> Result<Self, Error> {
        let (sender, news) = channel();
        let folder = folder.to_owned();
        thread::Builder::new().name("server".into()).spawn(move || {
            let outcome = serve(kind, folder, backlog, &sender);
            // The main thread may have given up; then nobody is left to tell.
            let _ = sender.send(News::Ended(outcome.map_err(Error::from)));
        })?;
        match wait(&news)? {
            News::Listening(address, remote) => Ok(Self { address, remote, news }),
            News::Ended(outcome) => {
                Err(outcome.err().unwrap_or_else(|| "the server never listened".into()))
            }
        }
    }

    /// Ends it when its clients are gone; gives what its loop has counted.
    pub(super) fn stop(self) -> Result<Statistics, Error> {
        self.remote.stop();
        match wait(&self.news)? {
            News::Ended(outcome) => outcome,
            News::Listening(..) => Err("the server listens twice".into()),
        }
    }
}

fn wait(news: &Receiver<News>) -> Result<News, Error> {
    // Twice, because the thread itself waits that long for its clients to go.
    news.recv_timeout(PATIENCE * 2).map_err(|error| match error {
        RecvTimeoutError::Timeout => "the server's thread does not answer".into(),
        RecvTimeoutError::Disconnected => "the server's thread has panicked".into(),
    })
}

fn serve(kind: Kind, folder: PathBuf, backlog: u16, news: &Sender<News>) -> io::Result<Statistics> {
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    if kind.has_datagrams() {
        return serve_datagrams(ev, kind.place(&folder), news);
    }
    let server = ev.block_on(listen(&handle, kind, kind.place(&folder), backlog, &folder))?;
    let address = server.addresses().into_iter().next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    if news.send(News::Listening(address, ev.remote())).is_ok() {
        ev.run_forever()?;
    }
    ev.block_on(server.drain(PATIENCE));
    Ok(ev.statistics())
}

fn serve_datagrams(
    mut ev: EventLoop,
    place: Address,
    news: &Sender<News>,
) -> io::Result<Statistics> {
    let handle = ev.handle().clone();
    let (transport, _) = ev.block_on(datagrams::echo(&handle, place))?;
    let address = transport.local_addr().ok_or(io::ErrorKind::AddrNotAvailable)?;
    if news.send(News::Listening(address, ev.remote())).is_ok() {
        ev.run_forever()?;
    }
    Ok(ev.statistics())
}

/// What the server's loop has counted is what it should have: every client came, and ended by itself.
pub(super) fn examine(kind: Kind, statistics: &Statistics, clients: usize) -> Result<(), Error> {
    if kind.has_datagrams() && statistics.faults == 0 {
        return Ok(());
    }
    let (cause, each) = match kind {
        // Over TLS both sides say goodbye, and then the socket is closed by whoever was told last.
        kind if kind.is_secure() => (Lost::Closed, 1),
        // The connection, when its child has ended, and the pipe to the child, when the client has.
        Kind::Cat => (Lost::Closed, 2),
        _ => (Lost::Eof, 1),
    };
    let ended = statistics.lost[cause.index()];
    let clients = clients as u64;
    if statistics.accepted == clients && ended == clients * each && statistics.faults == 0 {
        return Ok(());
    }
    let lost = Lost::NAMES.iter().zip(statistics.lost).filter(|(_, count)| *count > 0);
    let lost: Vec<String> = lost.map(|(name, count)| format!("{count} {name}")).collect();
    let (accepted, faults) = (statistics.accepted, statistics.faults);
    Err(format!(
        "of {clients} clients the server accepted {accepted} and lost {}, with {faults} faults",
        lost.join(", ")
    )
    .into())
}
