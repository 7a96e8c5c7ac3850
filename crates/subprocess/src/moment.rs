//! [`Moment`]: something that happens once in the life of a child, and those who wait for it.

use std::cell::{Cell, RefCell};
use std::process::ExitStatus;
use std::task::{Context, Poll, Waker};

#[derive(Default)]
pub(crate) struct Moment {
    status: Cell<Option<ExitStatus>>,
    waiting: RefCell<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// How many have come.
    count: usize,
    /// Those who are still here, by their number.
    wakers: Vec<(usize, Waker)>,
}

/// The place of one who waits; empty until it has to.
#[derive(Default)]
pub(crate) struct Place(Option<usize>);

impl Moment {
    /// It has come. Those who wait are woken.
    pub(crate) fn reach(&self, status: ExitStatus) {
        self.status.set(Some(status));
        let waiting = self.waiting.take();
        for (_, waker) in waiting.wakers {
            waker.wake();
        }
    }

    /// Ready when it has come; until then whoever has `place` is woken for it.
    pub(crate) fn poll(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<ExitStatus> {
        if let Some(status) = self.status.get() {
            return Poll::Ready(status);
        }
        let waker = cx.waker().clone();
        let replaced = self.waiting.borrow_mut().put(place, waker);
        // With nothing borrowed: it may be somebody else's. So below.
        drop(replaced);
        Poll::Pending
    }

    /// Whoever has `place` waits no longer.
    pub(crate) fn leave(&self, place: &mut Place) {
        let left = self.waiting.borrow_mut().remove(place);
        drop(left);
    }
}

impl Waiting {
    /// Has whoever has `place` woken by `waker`; gives the one that it had before.
    fn put(&mut self, place: &mut Place, waker: Waker) -> Option<Waker> {
        if let Some(at) = self.find(place) {
            return Some(std::mem::replace(&mut self.wakers[at].1, waker));
        }
        self.count += 1;
        *place = Place(Some(self.count));
        self.wakers.push((self.count, waker));
        None
    }

    fn remove(&mut self, place: &mut Place) -> Option<Waker> {
        let at = self.find(place)?;
        *place = Place::default();
        Some(self.wakers.remove(at).1)
    }

    fn find(&self, place: &Place) -> Option<usize> {
        let number = place.0?;
        self.wakers.iter().position(|(of, _)| *of == number)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn everybody_who_waits_is_woken_once_and_nobody_else_is_kept() {
        let moment = Moment::default();
        let (stays, left) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let (stays_waker, left_waker) = (Waker::from(stays.clone()), Waker::from(left.clone()));
        let mut early = [Place::default(), Place::default()];
        for place in early.iter_mut().chain(&mut [Place::default()]) {
            let mut cx = Context::from_waker(&stays_waker);
            assert!(moment.poll(place, &mut cx).is_pending());
            // Once more, as one does who was woken for something else.
            assert!(moment.poll(place, &mut cx).is_pending());
        }
        for _ in 0..10 {
            let mut place = Place::default();
            assert!(moment.poll(&mut place, &mut Context::from_waker(&left_waker)).is_pending());
            moment.leave(&mut place);
        }
        assert_eq!(Arc::strong_count(&left), 2, "whoever has left is forgotten");
        let status = ExitStatus::from_raw(0);
        moment.reach(status);
        assert_eq!(stays.0.load(Ordering::Relaxed), 3);
        assert_eq!(left.0.load(Ordering::Relaxed), 0);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(moment.poll(&mut early[0], &mut cx), Poll::Ready(status));
        assert_eq!(moment.poll(&mut Place::default(), &mut cx), Poll::Ready(status));
        moment.leave(&mut early[1]);
    }
}
