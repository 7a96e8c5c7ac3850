//! Futures on the loop: tasks, sleeps, deadlines and one-shot results.
//!
//! A future that is woken goes through the loop's inbox into the ready queue, from whichever thread the waking came, and
//! is polled in the next turn.
//! Futures are never polled from inside a callback.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wharf_core::Fault;
use wharf_core::guard::{self, FaultReport};
use wharf_core::schedule::deadline;

use crate::handle::{LoopHandle, LoopState};
use crate::time::TimerHandle;

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// Its loop was dropped.
    Cancelled,
    /// It panicked; the loop's fault policy was told too.
    Fault(Fault),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled with its loop"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for TaskError {}

/// A task on the loop. Awaiting it gives its result; dropping it cancels it; [`detach`](Self::detach) lets it run.
#[must_use = "dropping a task cancels it: await it, keep it, or detach it"]
pub struct JoinHandle<T>(Option<async_task::FallibleTask<Result<T, Fault>>>);

impl<T> JoinHandle<T> {
    /// Lets the task run to its end with nobody waiting.
    pub fn detach(mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(async_task::FallibleTask::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = self.0.as_mut() else { return Poll::Ready(Err(TaskError::Cancelled)) };
        Pin::new(task).poll(cx).map(|result| match result {
            Some(Ok(value)) => Ok(value),
            Some(Err(fault)) => Err(TaskError::Fault(fault)),
            None => Err(TaskError::Cancelled),
        })
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

/// The tasks that are alive, so that a loop that goes away can take them along.
#[derive(Default)]
pub(crate) struct Tasks {
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Default)]
struct Place {
    waker: Option<Waker>,
    future: Option<Rc<dyn Discard>>,
}

/// A future that can be dropped where it is.
pub(crate) trait Discard {
    fn discard(&self);
}

/// A future, shared between its task and the loop's list of tasks; `None` once it is over.
struct Body<F>(RefCell<Option<Pin<Box<F>>>>);

impl<F> Discard for Body<F> {
    fn discard(&self) {
        let future = self.0.take();
        drop(future);
    }
}

impl Tasks {
    fn enlist(&self, future: Rc<dyn Discard>) -> usize {
        let place = Place { waker: None, future: Some(future) };
        let free = self.free.borrow_mut().pop();
        let mut places = self.places.borrow_mut();
        if let Some(free) = free {
            places[free] = place;
            return free;
        }
        places.push(place);
        places.len() - 1
    }

    fn retire(&self, place: usize) {
        let retired = std::mem::take(&mut self.places.borrow_mut()[place]);
        self.free.borrow_mut().push(place);
        drop(retired);
    }

    /// Wakes every task, so that each of them comes back as something to drop, and who awaits it is told.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> =
            self.places.borrow().iter().filter_map(|place| place.waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The futures that did not come back, because another thread was just about to wake them; to be discarded.
    pub(crate) fn rest(&self) -> Vec<Rc<dyn Discard>> {
        self.places.borrow().iter().filter_map(|place| place.future.clone()).collect()
    }
}

/// A future with its place among the loop's tasks and its panics caught.
struct Guarded<F> {
    body: Rc<Body<F>>,
    /// Weak, because a task that comes too late for its loop is forgotten with this.
    state: Weak<LoopState>,
    place: usize,
    known: bool,
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(handle) = this.state.upgrade().map(LoopHandle) else { return Poll::Pending };
        if !std::mem::replace(&mut this.known, true) {
            handle.tasks().places.borrow_mut()[this.place].waker = Some(cx.waker().clone());
        }
        let mut body = this.body.0.borrow_mut();
        let Some(future) = body.as_mut() else { return Poll::Pending };
        match guard::call("task", || future.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(caught) => {
                let fault = caught.fault.clone();
                handle.report(FaultReport::caught(caught));
                Poll::Ready(Err(fault))
            }
        }
    }
}

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        let outcome = guard::call("task", || self.body.discard());
        let Some(handle) = self.state.upgrade().map(LoopHandle) else { return };
        if let Err(caught) = outcome {
            handle.report(FaultReport::caught(caught));
        }
        handle.tasks().retire(self.place);
    }
}

impl LoopHandle {
    /// Runs `future` on the loop. It is polled for the first time in the next turn.
    #[doc(alias = "create_task")]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        if self.is_closed() {
            return JoinHandle(None);
        }
        let body = Rc::new(Body(RefCell::new(Some(Box::pin(future)))));
        let place = self.tasks().enlist(Rc::clone(&body) as Rc<dyn Discard>);
        let future = Guarded { body, state: Rc::downgrade(&self.0), place, known: false };
        // Weak, so that a task which outlives its loop holds nothing of it.
        let shared = Arc::downgrade(self.shared());
        let (runnable, task) =
            async_task::spawn_local(future, move |task| match shared.upgrade() {
                Some(shared) => shared.push_task(task),
                None => std::mem::forget(task),
            });
        runnable.schedule();
        JoinHandle(Some(task.fallible()))
    }

    /// Ends when `duration` has passed, by the loop's clock.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(deadline(self.now(), duration))
    }

    /// Ends when the loop's clock has reached `deadline`.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { handle: self.clone(), deadline, timer: None }
    }

    /// The result of `future`, unless `duration` passes first.
    ///
    /// # Errors
    /// [`Elapsed`] when the time is over; `future` is dropped by then, or with what this returns.
    #[doc(alias = "wait_for")]
    pub async fn timeout<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let mut future = std::pin::pin!(future);
        let mut sleep = std::pin::pin!(self.sleep(duration));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(result));
            }
            sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }
}

/// The time given to [`LoopHandle::timeout`] was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over")
    }
}

impl std::error::Error for Elapsed {}

/// The future of [`LoopHandle::sleep`]. Dropping it cancels the timer; on a loop that is dropped it is over at once.
#[must_use = "futures do nothing unless they are polled"]
pub struct Sleep {
    handle: LoopHandle,
    deadline: Instant,
    timer: Option<(TimerHandle, WakerSlot)>,
}

/// Who is to be woken.
type WakerSlot = Rc<RefCell<Option<Waker>>>;

/// Wakes when it is dropped: by the timer that has run, or with the loop that will not run it.
struct WakeOnDrop(WakerSlot);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        let waker = self.0.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Sleep {
    /// Takes the timer back without waking anybody.
    fn cancel(&mut self) {
        if let Some((timer, waker)) = self.timer.take() {
            waker.take();
            timer.cancel();
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.handle.is_closed() || self.handle.now() >= self.deadline {
            self.cancel();
            return Poll::Ready(());
        }
        if let Some((_, waker)) = &self.timer {
            waker.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let waker = Rc::new(RefCell::new(Some(cx.waker().clone())));
        let wake = WakeOnDrop(Rc::clone(&waker));
        let timer = self.handle.call_at(self.deadline, move || drop(wake));
        self.timer = Some((timer, waker));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// A value that will be sent once, on this thread: asyncio's `Future` as a callback fills it.
///
/// ```
/// # use wharf_reactor::{EventLoop, oneshot};
/// let mut ev = EventLoop::new()?;
/// let (sender, receiver) = oneshot();
/// ev.call_soon(move || drop(sender.send(42)));
/// assert_eq!(ev.block_on(receiver), Some(42));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "create_future")]
#[doc(alias = "Future")]
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let state = Rc::new(RefCell::new(Oneshot { value: None, waker: None, over: false }));
    (OneshotSender(Rc::clone(&state)), OneshotReceiver(state))
}

struct Oneshot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    over: bool,
}

impl<T> Oneshot<T> {
    fn end(state: &RefCell<Self>) {
        state.borrow_mut().over = true;
        let waker = state.borrow_mut().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Sends the value. Dropping it without sending ends the receiver with `None`.
pub struct OneshotSender<T>(Rc<RefCell<Oneshot<T>>>);

impl<T> OneshotSender<T> {
    /// Sends `value`.
    ///
    /// # Errors
    /// When nobody waits any more; the value comes back.
    pub fn send(self, value: T) -> Result<(), T> {
        if Rc::strong_count(&self.0) == 1 {
            return Err(value);
        }
        self.0.borrow_mut().value = Some(value);
        Ok(())
    }

    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl<T> Drop for OneshotSender<T> {
    fn drop(&mut self) {
        Oneshot::end(&self.0);
    }
}

impl<T> fmt::Debug for OneshotSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotSender").finish_non_exhaustive()
    }
}

/// Waits for the value; `None` when it will never come.
#[must_use = "futures do nothing unless they are polled"]
pub struct OneshotReceiver<T>(Rc<RefCell<Oneshot<T>>>);

impl<T> Future for OneshotReceiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.borrow_mut();
        if let Some(value) = state.value.take() {
            return Poll::Ready(Some(value));
        }
        if state.over {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for OneshotReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotReceiver").finish_non_exhaustive()
    }
}
