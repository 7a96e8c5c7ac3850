//! A stage that runs futures, each only when it was woken.

use std::future::Future;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use wharf_core::TransportRef;
use wharf_core::memory::{Stage, Wire};
use wharf_streams::{Endpoint, Stream};

/// After this many turns a future is taken never to end.
const TURNS: usize = 10_000;

/// A stage that runs futures.
pub(crate) struct Ground(Stage);

/// Notes that a future is to be polled.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self(Stage::new())
    }

    /// A stream on a connection, and the wire.
    pub(crate) fn open(&self) -> (Stream, Wire) {
        self.open_with(Endpoint::new())
    }

    pub(crate) fn open_with(&self, endpoint: Endpoint) -> (Stream, Wire) {
        let (_, endpoint, wire) = self.0.wire(endpoint);
        assert!(endpoint.take().is_none(), "there is no stream before the connection is made");
        self.0.run();
        let stream = endpoint.take().expect("the connection is made");
        assert!(endpoint.take().is_none(), "there is one stream");
        (stream, wire)
    }

    /// Runs a future to its end.
    #[track_caller]
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.block_on_after(future, || {})
    }

    /// The same; when nothing happens any more, `then` makes something happen.
    #[track_caller]
    pub(crate) fn block_on_after<F: Future>(&self, future: F, then: impl FnOnce()) -> F::Output {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut then = Some(then);
        for _ in 0..TURNS {
            if flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return output;
                }
            }
            let busy = self.0.turn();
            if !busy && !flag.0.load(Ordering::Relaxed) {
                match then.take() {
                    Some(then) => then(),
                    None => panic!("the future waits, and nobody will wake it"),
                }
            }
        }
        panic!("the future did not end in {TURNS} turns");
    }

    /// Polls once; it must have to wait.
    #[track_caller]
    pub(crate) fn assert_waits<F: Future>(&self, future: Pin<&mut F>) {
        let outcome = future.poll(&mut Context::from_waker(Waker::noop()));
        assert!(outcome.is_pending(), "it did not wait");
    }
}

impl Deref for Ground {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
}

/// Whether a transport reads.
pub(crate) fn reads(transport: &TransportRef) -> bool {
    transport.is_reading()
}
