//! Readiness by epoll: a poller whose keys are the indices of the generator's own table.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::STALLED;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    Read,
    ReadWrite,
}

impl From<Interest> for EventFlags {
    fn from(interest: Interest) -> Self {
        match interest {
            Interest::Read => Self::IN,
            Interest::ReadWrite => Self::IN | Self::OUT,
        }
    }
}

/// An epoll descriptor and the batch it reported last.
pub(super) struct Ready {
    epoll: OwnedFd,
    batch: Vec<Event>,
}

impl Ready {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, batch: Vec::with_capacity(256) })
    }

    pub(super) fn add(&self, source: impl AsFd, key: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(key as u64), interest.into())?)
    }

    pub(super) fn modify(
        &self,
        source: impl AsFd,
        key: usize,
        interest: Interest,
    ) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(key as u64), interest.into())?)
    }

    /// Waits, and gives the keys that are ready; nothing for [`STALLED`] is an error.
    pub(super) fn wait(&mut self) -> io::Result<usize> {
        self.batch.clear();
        let count = self.wait_for(STALLED)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stalled"));
        }
        Ok(count)
    }

    /// The key of the `at`-th source of the last batch.
    pub(super) fn key(&self, at: usize) -> usize {
        self.batch[at].data.u64() as usize
    }

    fn wait_for(&mut self, patience: Duration) -> io::Result<usize> {
        let patience =
            Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut self.batch), Some(&patience)) {
                Ok(count) => return Ok(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
