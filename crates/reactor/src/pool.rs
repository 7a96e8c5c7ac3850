//! Blocking work off the loop's thread: a few threads, started when they are first needed.
//!
//! The loop uses them for name resolution; users for whatever would block.
//! They end when the loop and its work are gone; a loop that is dropped does not wait for them.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use wharf_core::guard;

use crate::handle::LoopHandle;
use crate::task::TaskError;

/// Enough that a few slow names do not hold up the others; blocking work beyond that wants a pool of its own.
const THREADS: usize = 4;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    threads: usize,
    idle: usize,
    closed: bool,
}

#[derive(Default)]
pub(crate) struct Pool {
    shared: Arc<(Mutex<Queue>, Condvar)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind the locks of this file is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn submit(&self, work: Work) -> std::io::Result<()> {
        let (mutex, condition) = &*self.shared;
        let mut queue = lock(mutex);
        if queue.closed {
            return Err(std::io::Error::other(crate::LoopClosed));
        }
        // An idle thread is spoken for by each piece of work that waits.
        if queue.work.len() >= queue.idle && queue.threads < THREADS {
            let shared = Arc::clone(&self.shared);
            let started =
                thread::Builder::new().name("wharf-blocking".into()).spawn(move || serve(&shared));
            match started {
                Ok(_) => queue.threads += 1,
                // The threads that run will get to it; without any, nobody would.
                Err(error) if queue.threads == 0 => return Err(error),
                Err(_) => {}
            }
        }
        queue.work.push_back(work);
        drop(queue);
        condition.notify_one();
        Ok(())
    }
}

impl Pool {
    /// Takes no more work, and gives what no thread has begun; the threads end when they have finished what they are at.
    pub(crate) fn close(&self) -> VecDeque<Work> {
        let (mutex, condition) = &*self.shared;
        let mut queue = lock(mutex);
        queue.closed = true;
        let abandoned = std::mem::take(&mut queue.work);
        drop(queue);
        condition.notify_all();
        abandoned
    }
}

fn serve(shared: &(Mutex<Queue>, Condvar)) {
    let (mutex, condition) = shared;
    let mut queue = lock(mutex);
    loop {
        if let Some(work) = queue.work.pop_front() {
            drop(queue);
            // The work's own panic is in its result; this is one in the end of a result that nobody waits for, and nobody is
            // there to be told.
            let _ = guard::call("blocking work", work);
            queue = lock(mutex);
        } else if queue.closed {
            queue.threads -= 1;
            return;
        } else {
            queue.idle += 1;
            queue = condition.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

/// Where the result is left.
struct Desk<T> {
    result: Option<Result<T, TaskError>>,
    waker: Option<Waker>,
}

/// Leaves the result and wakes who waits; a piece of work that is dropped unrun leaves `Cancelled`.
struct Delivery<T>(Arc<Mutex<Desk<T>>>);

impl<T> Delivery<T> {
    fn leave(&self, result: Result<T, TaskError>) {
        let mut desk = lock(&self.0);
        desk.result.get_or_insert(result);
        let waker = desk.waker.take();
        drop(desk);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        self.leave(Err(TaskError::Cancelled));
    }
}

/// The result of blocking work. Dropping it does not stop the work; its result is then dropped where it ran.
#[must_use = "futures do nothing unless they are polled"]
pub struct Blocking<T>(Arc<Mutex<Desk<T>>>);

impl<T> Future for Blocking<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut desk = lock(&self.0);
        if let Some(result) = desk.result.take() {
            return Poll::Ready(result);
        }
        desk.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}

impl LoopHandle {
    /// Runs `work` on one of the loop's few threads for blocking work; a panic comes back as an error.
    ///
    /// ```
    /// # use wharf_reactor::EventLoop;
    /// # let mut ev = EventLoop::new()?;
    /// let sum = ev.spawn_blocking(|| (1..=10).sum::<u32>());
    /// assert_eq!(ev.block_on(sum), Ok(55));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "run_in_executor")]
    pub fn spawn_blocking<T, F>(&self, work: F) -> Blocking<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let desk = Arc::new(Mutex::new(Desk { result: None, waker: None }));
        let delivery = Delivery(Arc::clone(&desk));
        let work = Box::new(move || {
            let result = guard::call("blocking work", work);
            delivery.leave(result.map_err(|caught| TaskError::Fault(caught.fault)));
        });
        // Where no thread can be had, or the loop is gone, the work is dropped, and its delivery says so.
        let _ = self.pool().submit(work);
        Blocking(desk)
    }
}
