//! [`Job`]: something to run once, of any type, in four words and without an allocation while it is small.
//!
//! ```text
//!   kind ──▶ what the rest is: how it runs, how it is dropped, what it is called
//!   data     the value itself, if it fits into three words; else a box of it
//! ```
//!
//! A `Box<dyn FnOnce()>` would be the safe way, and costs an allocation for each deferred call, each timer and each
//! message of another thread; freeing the last in the thread that received it costs most of all.

mod parcels;
mod shelf;

use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop, MaybeUninit};

use async_task::Runnable;

pub(crate) use parcels::{Incoming, Parcel, Parcels};
pub(crate) use shelf::Shelf;

use crate::handle::LoopHandle;

/// What can be made a [`Job`].
pub(crate) trait Run: 'static {
    /// What reports call it.
    const NAME: &'static str;

    fn run(self, handle: &LoopHandle);
}

/// A call that was put off.
pub(crate) struct Soon<F>(pub(crate) F);

impl<F: FnOnce() + 'static> Run for Soon<F> {
    const NAME: &'static str = "call_soon";

    fn run(self, _: &LoopHandle) {
        (self.0)();
    }
}

/// A call at a deadline.
pub(crate) struct Timed<F>(pub(crate) F);

impl<F: FnOnce() + 'static> Run for Timed<F> {
    const NAME: &'static str = "timer";

    fn run(self, _: &LoopHandle) {
        (self.0)();
    }
}

/// What another thread has posted.
pub(crate) struct Post<F>(pub(crate) F);

impl<F: FnOnce(&LoopHandle) + 'static> Run for Post<F> {
    const NAME: &'static str = "post";

    fn run(self, handle: &LoopHandle) {
        (self.0)(handle);
    }
}

impl Run for Runnable {
    const NAME: &'static str = "task";

    fn run(self, _: &LoopHandle) {
        // A task catches its own panics, so that its result says so.
        let _ = Self::run(self);
    }
}

/// What is too large for a job goes into a box, which is not.
impl<R: Run> Run for Box<R> {
    const NAME: &'static str = R::NAME;

    fn run(self, handle: &LoopHandle) {
        (*self).run(handle);
    }
}

type Word = MaybeUninit<*mut ()>;

/// Room for what most closures capture: a handle or two, and a number.
type Data = [Word; 3];

/// Something to run once. Dropping it drops what it captured.
pub(crate) struct Job {
    kind: &'static Kind,
    /// Holds what `kind` says, from the making of the job until it is run or dropped.
    data: Data,
    /// What is in it may be bound to the thread.
    _bound: PhantomData<*mut ()>,
}

/// What a job holds. The data goes by value: a job whose address nobody takes is moved in registers.
struct Kind {
    name: &'static str,
    /// How many words of the data are the value's.
    words: usize,
    /// Takes the value out of the data, and runs it.
    run: unsafe fn(Data, &LoopHandle),
    /// Takes the value out of the data, and drops it.
    drop: unsafe fn(Data),
}

const fn fits<T>() -> bool {
    size_of::<T>() <= size_of::<Data>() && align_of::<T>() <= align_of::<Data>()
}

impl Kind {
    const fn of<R: Run>() -> Self {
        unsafe fn run<R: Run>(data: Data, handle: &LoopHandle) {
            // SAFETY: the caller says that an `R` lies in the data, and that nobody else takes it.
            let value = unsafe { data.as_ptr().cast::<R>().read() };
            value.run(handle);
        }
        unsafe fn drop<R: Run>(data: Data) {
            // SAFETY: as above.
            let value = unsafe { data.as_ptr().cast::<R>().read() };
            mem::drop(value);
        }
        let words = size_of::<R>().div_ceil(size_of::<Word>());
        Self { name: R::NAME, words, run: run::<R>, drop: drop::<R> }
    }
}

impl Job {
    #[inline]
    pub(crate) fn new<R: Run>(value: R) -> Self {
        if fits::<R>() { Self::store(value) } else { Self::store(Box::new(value)) }
    }

    #[inline]
    fn store<R: Run>(value: R) -> Self {
        assert!(fits::<R>(), "a job's value has room");
        let mut data = [Word::uninit(); 3];
        // SAFETY: it fits, in size and in alignment.
        unsafe { data.as_mut_ptr().cast::<R>().write(value) };
        Self { kind: const { &Kind::of::<R>() }, data, _bound: PhantomData }
    }

    /// What reports call it.
    #[inline]
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name
    }

    /// What it consists of; who puts these together again has the job.
    #[inline]
    fn into_parts(self) -> (&'static Kind, Data) {
        let job = ManuallyDrop::new(self);
        (job.kind, job.data)
    }

    #[inline]
    pub(crate) fn run(self, handle: &LoopHandle) {
        let job = ManuallyDrop::new(self);
        // SAFETY: `kind` belongs to the value in `data`, and a job that runs is neither run again nor dropped.
        unsafe { (job.kind.run)(job.data, handle) };
    }
}

impl Drop for Job {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `kind` belongs to the value in `data`, and a job that has run is not dropped.
        unsafe { (self.kind.drop)(self.data) };
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Job").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    use crate::EventLoop;

    /// Says when it is dropped.
    struct Token(Rc<RefCell<Vec<u32>>>, u32);

    impl Drop for Token {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }

    fn job(size: usize, dropped: &Rc<RefCell<Vec<u32>>>, ran: &Rc<RefCell<Vec<u32>>>) -> Job {
        let token = Token(Rc::clone(dropped), 1);
        let ran = Rc::clone(ran);
        match size {
            0 => Job::new(Soon(|| ())),
            24 => Job::new(Soon(move || ran.borrow_mut().push(token.1))),
            _ => {
                let ballast = [7_u8; 100];
                Job::new(Soon(move || {
                    assert_eq!(ballast, [7; 100]);
                    ran.borrow_mut().push(token.1);
                }))
            }
        }
    }

    #[test]
    fn a_job_runs_once_and_drops_what_it_captured_once() {
        let ev = EventLoop::new().unwrap();
        for size in [24, 100] {
            let (dropped, ran) = (Rc::default(), Rc::default());
            job(size, &dropped, &ran).run(&ev);
            assert_eq!((dropped.take(), ran.take()), (vec![1], vec![1]), "{size} bytes");
            drop(job(size, &dropped, &ran));
            assert_eq!((dropped.take(), ran.take()), (vec![1], vec![]), "{size} bytes");
        }
        job(0, &Rc::default(), &Rc::default()).run(&ev);
    }

    #[test]
    fn a_job_that_panics_drops_what_it_captured_once() {
        let ev = EventLoop::new().unwrap();
        let dropped = Rc::default();
        let token = Token(Rc::clone(&dropped), 1);
        let job = Job::new(Soon(move || {
            let _token = token;
            panic!("clumsy");
        }));
        assert!(wharf_core::guard::call("job", || job.run(&ev)).is_err());
        assert_eq!(dropped.take(), [1]);
    }

    #[test]
    fn a_strictly_aligned_value_keeps_its_alignment() {
        #[repr(align(64))]
        #[derive(Clone, Copy)]
        struct Line([u8; 8]);
        let ev = EventLoop::new().unwrap();
        let line = Line([3; 8]);
        let seen = Rc::new(RefCell::new(None));
        let see = Rc::clone(&seen);
        // Through a reference, so that the compiler cannot know the address.
        let job = Job::new(Soon(move || {
            see.replace(Some((&raw const line as usize, line.0))).map_or((), drop)
        }));
        job.run(&ev);
        let (address, bytes) = seen.take().unwrap();
        assert_eq!((address % 64, bytes), (0, [3; 8]));
    }

    #[test]
    fn three_words_are_inline_and_four_are_not() {
        assert!(fits::<[usize; 3]>() && fits::<Soon<fn()>>() && fits::<()>());
        assert!(!fits::<[usize; 4]>() && !fits::<u128>());
        assert_eq!(size_of::<Option<Job>>(), 32);
    }

    #[test]
    fn jobs_are_called_by_what_they_are() {
        assert_eq!(Job::new(Timed(|| ())).name(), "timer");
        assert_eq!(Job::from(Parcel::new(Post(|_: &LoopHandle| ()))).name(), "post");
    }
}
