//! The ready queue: what runs in the next turn, first in, first out.
//!
//! A turn takes the queue's length first, so what is queued meanwhile waits for the turn after, behind a poll.
//! A place in the queue is a number that only grows; cancelling finds its entry by subtraction.

use std::collections::VecDeque;

use async_task::Runnable;

use crate::handle::LoopHandle;

/// What was posted by another thread.
pub(crate) type Post = Box<dyn FnOnce(&LoopHandle) + Send>;

/// One thing to run.
pub(crate) enum Job {
    Call(Box<dyn FnOnce()>),
    Post(Post),
    Task(Runnable),
    /// Cancelled before its turn came.
    Nothing,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// One that leads nowhere.
    pub(crate) const DEAD: Self = Self(u64::MAX);
}

#[derive(Default)]
pub(crate) struct ReadyQueue {
    jobs: VecDeque<Job>,
    /// The number of the first job.
    first: u64,
}

impl ReadyQueue {
    #[inline]
    pub(crate) fn push(&mut self, job: Job) -> Ticket {
        self.jobs.push_back(job);
        Ticket(self.first + self.jobs.len() as u64 - 1)
    }

    pub(crate) fn extend(&mut self, jobs: impl Iterator<Item = Job>) {
        self.jobs.extend(jobs);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        self.first += 1;
        Some(job)
    }

    /// Takes a job back; gives it, to be dropped outside of any borrow.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> Option<Job> {
        let place = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        self.jobs.get_mut(place).map(|job| std::mem::replace(job, Job::Nothing))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Job {
        Job::Call(Box::new(|| {}))
    }

    #[test]
    fn a_ticket_finds_its_job_until_it_has_run() {
        let mut queue = ReadyQueue::default();
        let tickets: Vec<Ticket> = (0..3).map(|_| queue.push(call())).collect();
        queue.pop();
        assert!(queue.cancel(tickets[0]).is_none());
        assert!(matches!(queue.cancel(tickets[2]), Some(Job::Call(_))));
        assert!(
            matches!(queue.cancel(tickets[2]), Some(Job::Nothing)),
            "cancelling twice is harmless"
        );
        assert!(matches!(queue.pop(), Some(Job::Call(_))));
        assert!(matches!(queue.pop(), Some(Job::Nothing)));
        assert!(queue.pop().is_none());
    }
}
