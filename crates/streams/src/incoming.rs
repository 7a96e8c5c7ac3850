//! Connections as they come: one after the other ([`incoming`]), or by a call for each ([`each`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::endpoint::Endpoint;
use crate::stream::Stream;

/// The connections of a server as a queue, and the factory that fills it.
///
/// At most `backlog` connections wait to be taken; a further one is refused: aborted at once, and counted.
///
/// ```
/// # use std::pin::pin;
/// # use std::task::{Context, Poll, Waker};
/// # use wharf_core::memory::Stage;
/// // On a loop: `let server = tcp::listen(&handle, "127.0.0.1:8888", accept).await?;`
/// let (mut accept, mut incoming) = wharf_streams::incoming(100);
/// # let stage = Stage::new();
/// # let (_transport, _, _wire) = stage.wire(accept());
/// # stage.run();
/// # let next = pin!(async move {
/// while let Some(stream) = incoming.next().await {
///     println!("{:?} has come", stream.transport().peer_addr());
/// }
/// # });
/// # assert!(next.poll(&mut Context::from_waker(Waker::noop())).is_pending());
/// ```
#[must_use = "the factory is for a server, and the queue for whoever takes connections"]
pub fn incoming(backlog: usize) -> (impl FnMut() -> Endpoint + 'static, Incoming) {
    let queue = Rc::new(RefCell::new(Queue {
        streams: VecDeque::new(),
        backlog,
        refused: 0,
        closed: false,
        ended: false,
        waker: None,
    }));
    let sender = Rc::new(Sender(Rc::clone(&queue)));
    let factory = move || {
        let sender = Rc::clone(&sender);
        Endpoint::promised(Box::new(move |stream| sender.send(stream)))
    };
    (factory, Incoming(queue))
}

/// A factory for a server that calls `connected` with the stream of each connection, inside its `connection_made`:
/// the place to spawn a task.
///
/// `tcp::listen(&handle, address, each(move |stream| spawner.spawn(session(stream)).detach()))`
#[doc(alias = "start_server")]
#[doc(alias = "start_unix_server")]
#[doc(alias = "client_connected_cb")]
pub fn each(connected: impl FnMut(Stream) + 'static) -> impl FnMut() -> Endpoint + 'static {
    let connected = Rc::new(RefCell::new(connected));
    move || {
        let connected = Rc::clone(&connected);
        // No `connection_made` runs inside another, so nobody is in there.
        Endpoint::promised(Box::new(move |stream| (connected.borrow_mut())(stream)))
    }
}

struct Queue {
    streams: VecDeque<Stream>,
    backlog: usize,
    refused: u64,
    /// Nobody takes connections any more.
    closed: bool,
    /// No further connection will come.
    ended: bool,
    waker: Option<Waker>,
}

/// Held by the factory, and by each endpoint until its connection is made.
struct Sender(Rc<RefCell<Queue>>);

impl Sender {
    fn send(&self, stream: Stream) {
        let (refused, waker) = {
            let mut queue = self.0.borrow_mut();
            if queue.closed || queue.streams.len() >= queue.backlog {
                queue.refused += 1;
                (Some(stream), None)
            } else {
                queue.streams.push_back(stream);
                (None, queue.waker.take())
            }
        };
        if let Some(stream) = refused {
            stream.writer.abort();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let waker = {
            let mut queue = self.0.borrow_mut();
            queue.ended = true;
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The connections of a server that wait to be taken. Dropping it closes those, and refuses those that come later.
pub struct Incoming(Rc<RefCell<Queue>>);

impl Incoming {
    /// The next connection; `None` when the server is closed and every connection was taken.
    ///
    /// Cancel-safe.
    #[doc(alias = "accept")]
    pub async fn next(&mut self) -> Option<Stream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// How many connections wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.borrow().streams.len()
    }

    /// How many connections were refused because too many waited.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.borrow().refused
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
        let mut queue = self.0.borrow_mut();
        if let Some(stream) = queue.streams.pop_front() {
            return Poll::Ready(Some(stream));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(feature = "futures-core")]
impl futures_core::Stream for Incoming {
    type Item = Stream;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
        self.get_mut().poll_accept(cx)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = self.0.borrow_mut();
            queue.closed = true;
            std::mem::take(&mut queue.streams)
        };
        drop(waiting);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("waiting", &self.waiting())
            .field("refused", &self.refused())
            .finish_non_exhaustive()
    }
}
