//! The ready queue: what runs in the next turn, first in, first out.
//!
//! A turn takes the queue's length first, so what is queued meanwhile waits for the turn after, behind a poll.
//! A place in the queue is a number that only grows; cancelling finds its entry by subtraction.

use std::collections::VecDeque;

use crate::job::Job;

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// One that leads nowhere.
    pub(crate) const DEAD: Self = Self(u64::MAX);
}

#[derive(Default)]
pub(crate) struct ReadyQueue {
    /// `None` is one that was cancelled before its turn came.
    jobs: VecDeque<Option<Job>>,
    /// The number of the first job.
    first: u64,
}

impl ReadyQueue {
    #[inline]
    pub(crate) fn push(&mut self, job: Job) -> Ticket {
        self.jobs.push_back(Some(job));
        Ticket(self.first + self.jobs.len() as u64 - 1)
    }

    /// Takes the first place; `Some(None)` is one whose job was taken back.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Option<Job>> {
        let job = self.jobs.pop_front()?;
        self.first += 1;
        Some(job)
    }

    /// Takes a job back; gives it, to be dropped outside of any borrow.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> Option<Job> {
        let place = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        self.jobs.get_mut(place)?.take()
    }

    /// Gives back the memory that the queue has for more than is in it.
    pub(crate) fn shrink(&mut self) {
        self.jobs.shrink_to_fit();
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
    use crate::job::Soon;

    #[test]
    fn a_ticket_finds_its_job_until_it_has_run() {
        let mut queue = ReadyQueue::default();
        let tickets: Vec<Ticket> = (0..3).map(|_| queue.push(Job::new(Soon(|| ())))).collect();
        queue.pop();
        assert!(queue.cancel(tickets[0]).is_none());
        assert!(queue.cancel(tickets[2]).is_some());
        assert!(queue.cancel(tickets[2]).is_none(), "cancelling twice is harmless");
        assert!(matches!(queue.pop(), Some(Some(_))));
        assert!(matches!(queue.pop(), Some(None)));
        assert!(queue.pop().is_none());
    }

    #[test]
    fn a_queue_that_is_empty_gives_its_memory_back() {
        let mut queue = ReadyQueue::default();
        for _ in 0..100 {
            queue.push(Job::new(Soon(|| ())));
        }
        (0..99).for_each(|_| drop(queue.pop()));
        let last = queue.push(Job::new(Soon(|| ())));
        queue.shrink();
        assert!(queue.cancel(last).is_some(), "a ticket finds its job as before");
        (0..2).for_each(|_| drop(queue.pop()));
        queue.shrink();
        assert_eq!(queue.jobs.capacity(), 0);
    }
}
