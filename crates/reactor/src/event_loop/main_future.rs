//! [`Main`]: what a run of the loop lasts until, polled at the beginning of step 5 of a turn.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::remote::Shared;

/// What a run lasts until, unless it is stopped before.
pub(super) trait Main {
    /// Whether it is to be polled in the turn to come.
    fn is_awake(&self) -> bool;

    /// Polls it, if it is awake. Not called when it is over.
    fn poll(&mut self);

    /// Whether it was ready.
    fn is_over(&self) -> bool;
}

/// Of a run that lasts until it is stopped.
pub(super) struct Forever;

impl Main for Forever {
    fn is_awake(&self) -> bool {
        false
    }

    fn poll(&mut self) {}

    fn is_over(&self) -> bool {
        false
    }
}

/// The future of [`EventLoop::block_on`](super::EventLoop::block_on).
pub(super) struct MainFuture<'a, F: Future> {
    future: Pin<&'a mut F>,
    woken: Arc<MainWaker>,
    waker: Waker,
    output: Option<F::Output>,
}

impl<'a, F: Future> MainFuture<'a, F> {
    /// To be polled for the first time.
    pub(super) fn new(future: Pin<&'a mut F>, shared: Arc<Shared>) -> Self {
        let woken = Arc::new(MainWaker { woken: AtomicBool::new(true), shared });
        let waker = Waker::from(Arc::clone(&woken));
        Self { future, woken, waker, output: None }
    }

    /// What it gave, if it was ready.
    pub(super) fn into_output(self) -> Option<F::Output> {
        self.output
    }
}

impl<F: Future> Main for MainFuture<'_, F> {
    fn is_awake(&self) -> bool {
        self.woken.woken.load(Ordering::Acquire)
    }

    fn poll(&mut self) {
        if self.woken.woken.swap(false, Ordering::Acquire) {
            let polled = self.future.as_mut().poll(&mut Context::from_waker(&self.waker));
            if let Poll::Ready(output) = polled {
                self.output = Some(output);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.output.is_some()
    }
}

/// Wakes the loop, and says why.
struct MainWaker {
    woken: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.shared.wake();
        }
    }
}
