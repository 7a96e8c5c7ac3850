//! [`Moment`]: something that happens once, and futures that wait for it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::process::ExitStatus;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

#[derive(Default)]
pub(crate) struct Moment(Rc<Inner>);

#[derive(Default)]
struct Inner {
    status: Cell<Option<ExitStatus>>,
    /// Those who wait; one that has been dropped is weeded out by the next that comes.
    waiting: RefCell<Vec<Weak<Place>>>,
}

type Place = Cell<Option<Waker>>;

impl Moment {
    /// It has come. Those who wait are woken.
    pub(crate) fn reach(&self, status: ExitStatus) {
        self.0.status.set(Some(status));
        let waiting = self.0.waiting.take();
        for waker in waiting.iter().filter_map(Weak::upgrade).filter_map(|place| place.take()) {
            waker.wake();
        }
    }

    /// Ready when it has come.
    pub(crate) fn wait(&self) -> Wait {
        let place = Rc::new(Place::default());
        if self.0.status.get().is_none() {
            let mut waiting = self.0.waiting.borrow_mut();
            waiting.retain(|place| place.strong_count() > 0);
            waiting.push(Rc::downgrade(&place));
        }
        Wait { of: Rc::clone(&self.0), place }
    }
}

pub(crate) struct Wait {
    of: Rc<Inner>,
    place: Rc<Place>,
}

impl Future for Wait {
    type Output = ExitStatus;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExitStatus> {
        if let Some(status) = self.of.status.get() {
            return Poll::Ready(status);
        }
        self.place.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn everybody_who_waits_is_served_and_nobody_else_is_kept() {
        let moment = Moment::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut early = moment.wait();
        assert!(Pin::new(&mut early).poll(&mut cx).is_pending());
        for _ in 0..10 {
            drop(moment.wait());
        }
        assert!(moment.0.waiting.borrow().len() <= 2);
        let status = ExitStatus::from_raw(0);
        moment.reach(status);
        assert_eq!(Pin::new(&mut early).poll(&mut cx), Poll::Ready(status));
        assert_eq!(Pin::new(&mut moment.wait()).poll(&mut cx), Poll::Ready(status));
    }
}
