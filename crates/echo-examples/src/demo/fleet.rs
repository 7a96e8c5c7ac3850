//! The clients' thread: one loop, many clients, and a look at all of them every so often.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use wharf::{DatagramTransportRef, EventLoop, LoopHandle, TransportRef, oneshot};

use super::board::Board;
use super::client::Client;
use super::histogram::Histogram;
use super::options::Options;
use super::pattern::Pattern;
use super::place::Target;
use super::sizes::Sizes;
use super::{Error, PATIENCE, datagrams};

/// How often the main thread is told how far it is, and overdue messages are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// After so many connections the main thread hears that something happens.
const SIGN_OF_LIFE: usize = 64;

/// How far it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub(super) messages: u64,
    pub(super) elapsed: Duration,
}

/// What a fleet has measured.
pub(super) struct Voyage {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
    pub(super) round_trips: Histogram,
}

enum News {
    Progress(Progress),
    Ended(Result<Voyage, Error>),
}

/// Drives `to` with the clients that the options ask for, in a thread of its own, and tells `show` how far it is.
pub(super) fn run(
    options: &Options,
    to: &Target,
    mut show: impl FnMut(Progress),
) -> Result<Voyage, Error> {
    let (sender, news) = channel();
    let (options, to) = (options.clone(), to.clone());
    thread::Builder::new().name("clients".into()).spawn(move || {
        let outcome = drive(&options, &to, &sender);
        // The main thread may have given up; then nobody is left to tell.
        let _ = sender.send(News::Ended(outcome));
    })?;
    loop {
        match wait(&news)? {
            News::Progress(progress) => show(progress),
            News::Ended(outcome) => return outcome,
        }
    }
}

fn wait(news: &Receiver<News>) -> Result<News, Error> {
    // Twice, because the thread itself waits that long for a message.
    news.recv_timeout(PATIENCE * 2).map_err(|error| match error {
        RecvTimeoutError::Timeout => "the clients' thread does not answer".into(),
        RecvTimeoutError::Disconnected => "the clients' thread has panicked".into(),
    })
}

/// A client with its transport, whatever kind of transport that is.
trait Sailor {
    /// Begins the first message.
    fn begin(&self);
    /// Has a look at what is on its way; says what is wrong, if something is.
    fn look(&self, now: Instant) -> Option<String>;
}

impl Sailor for (TransportRef, Rc<RefCell<Client>>) {
    fn begin(&self) {
        self.1.borrow_mut().begin(&self.0);
    }

    fn look(&self, now: Instant) -> Option<String> {
        self.1.borrow().overdue(now, PATIENCE)
    }
}

impl Sailor for (DatagramTransportRef, Rc<RefCell<datagrams::Client>>) {
    fn begin(&self) {
        self.1.borrow_mut().begin(&self.0);
    }

    fn look(&self, now: Instant) -> Option<String> {
        let mut client = self.1.borrow_mut();
        client.look(&self.0, now);
        client.overdue(now, PATIENCE)
    }
}

fn drive(options: &Options, to: &Target, news: &Sender<News>) -> Result<Voyage, Error> {
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let (sender, over) = oneshot();
    let board = Rc::new(Board::new(options.clients, sender));
    let clients = ev.block_on(connect(options, to, &handle, &board, news))?;
    let start = ev.now();
    if let Some(duration) = options.seconds {
        let _ = board.deadline.set(start + duration);
    }
    clients.iter().for_each(|client| client.begin());
    let look = Look { handle, board: Rc::clone(&board), clients, start, news: news.clone() };
    Rc::new(look).later();
    ev.block_on(over);
    if let Some(why) = board.failure() {
        return Err(why.into());
    }
    let elapsed = ev.now() - start;
    Ok(Voyage {
        messages: board.messages.get(),
        bytes: board.bytes.get(),
        elapsed,
        round_trips: board.round_trips.take(),
    })
}

async fn connect(
    options: &Options,
    to: &Target,
    handle: &LoopHandle,
    board: &Rc<Board>,
    news: &Sender<News>,
) -> Result<Vec<Box<dyn Sailor>>, Error> {
    let pattern = Rc::new(Pattern::new());
    let mut clients: Vec<Box<dyn Sailor>> = Vec::with_capacity(options.clients);
    let kind = to.kind();
    for number in 0..options.clients {
        let sizes = Sizes::new(options.seed, number, options.size);
        let messages = options.messages;
        let connected: io::Result<Box<dyn Sailor>> = if kind.has_datagrams() {
            let client = datagrams::Client::new(number, handle, board, &pattern, sizes, messages);
            client.connect(kind, to.address()).await.map(|client| Box::new(client) as _)
        } else {
            let client = Client::new(number, handle, board, &pattern, sizes, messages);
            to.connect(handle, client).await.map(|client| Box::new(client) as _)
        };
        let cannot = |error| format!("client {number} cannot connect: {error}");
        clients.push(connected.map_err(cannot)?);
        if number % SIGN_OF_LIFE == 0 {
            let _ = news.send(News::Progress(Progress::default()));
        }
    }
    Ok(clients)
}

/// What is looked at every so often.
struct Look {
    handle: LoopHandle,
    board: Rc<Board>,
    clients: Vec<Box<dyn Sailor>>,
    start: Instant,
    news: Sender<News>,
}

impl Look {
    fn later(self: Rc<Self>) {
        let handle = self.handle.clone();
        handle.call_later(LOOK, move || {
            self.look();
            self.later();
        });
    }

    fn look(&self) {
        let now = self.handle.now();
        let overdue = self.clients.iter().find_map(|client| client.look(now));
        if let Some(why) = overdue {
            self.board.failed(why);
        }
        let progress = Progress { messages: self.board.messages.get(), elapsed: now - self.start };
        let _ = self.news.send(News::Progress(progress));
    }
}
