//! [`Recorders`]: the logs of one stream, and what is still to be written to them.
//!
//! What is moved is copied here while the stream is borrowed, and written when it no longer is: the writer is the user's.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Entry, Subject, WireLog};
use crate::buffer::{MAX_SLICES, WriteQueue};
use crate::lost::Lost;
use crate::schedule::Scheduler;

/// The logs of one stream. Most streams have none, and no place for them.
#[derive(Default)]
pub(crate) struct Recorders(Vec<Recorder>);

/// One log.
pub(crate) struct Recorder {
    /// Out of its place while it is written to.
    log: Option<Box<dyn WireLog>>,
    subject: Option<Subject>,
    clock: Rc<dyn Scheduler>,
    began: Instant,
    /// What is to be written: `bytes` holds the bytes of these, one after the other.
    pending: Vec<(Duration, Moved)>,
    bytes: Vec<u8>,
    /// Ends when that is written.
    stopped: bool,
}

enum Moved {
    Read(usize),
    Written(usize),
    Unseen(usize),
    ReadEnd,
    WriteEnd,
}

impl Recorder {
    pub(crate) fn new(log: Box<dyn WireLog>, subject: Subject, clock: Rc<dyn Scheduler>) -> Self {
        Self {
            log: Some(log),
            subject: Some(subject),
            began: clock.now(),
            clock,
            pending: Vec::new(),
            bytes: Vec::new(),
            stopped: false,
        }
    }

    fn note(&mut self, moved: Moved) {
        self.pending.push((self.clock.now().saturating_duration_since(self.began), moved));
    }

    fn is_due(&self) -> bool {
        self.log.is_some() && (self.subject.is_some() || self.stopped || !self.pending.is_empty())
    }

    /// What is to be written, with the log to write it to.
    fn take(&mut self) -> Option<Batch> {
        Some(Batch {
            log: self.log.take()?,
            subject: self.subject.take(),
            pending: std::mem::take(&mut self.pending),
            bytes: std::mem::take(&mut self.bytes),
            lost_at: self.clock.now().saturating_duration_since(self.began),
            stopped: self.stopped,
        })
    }
}

/// What is to be written to one log.
pub(crate) struct Batch {
    log: Box<dyn WireLog>,
    subject: Option<Subject>,
    pending: Vec<(Duration, Moved)>,
    bytes: Vec<u8>,
    lost_at: Duration,
    stopped: bool,
}

impl Batch {
    /// Whether the log was stopped, so that the loss is not for it.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Writes everything, and the loss after it. This calls user code.
    pub(crate) fn write(&mut self, lost: Option<&Lost>) -> io::Result<()> {
        if let Some(subject) = self.subject.take() {
            self.log.begin(&subject)?;
        }
        let mut bytes = &self.bytes[..];
        let mut take = |count: usize| {
            let (taken, rest) = bytes.split_at(count);
            bytes = rest;
            taken
        };
        for (at, moved) in &self.pending {
            let entry = match *moved {
                Moved::Read(count) => Entry::Read(take(count)),
                Moved::Written(count) => Entry::Written(take(count)),
                Moved::Unseen(count) => Entry::WrittenUnseen(count),
                Moved::ReadEnd => Entry::ReadEnd,
                Moved::WriteEnd => Entry::WriteEnd,
            };
            self.log.record(*at, &entry)?;
        }
        if let Some(lost) = lost {
            self.log.record(self.lost_at, &Entry::Lost(lost))?;
        }
        self.log.flush()
    }
}

impl Recorders {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what is moved is wanted.
    pub(crate) fn is_on(&self) -> bool {
        self.0.iter().any(|recorder| !recorder.stopped)
    }

    pub(crate) fn add(&mut self, recorder: Recorder) {
        self.0.push(recorder);
    }

    pub(crate) fn stop(&mut self) {
        self.0.iter_mut().for_each(|recorder| recorder.stopped = true);
    }

    fn running(&mut self) -> impl Iterator<Item = &mut Recorder> {
        self.0.iter_mut().filter(|recorder| !recorder.stopped)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        for recorder in self.running() {
            let end = bytes.is_empty();
            recorder.note(if end { Moved::ReadEnd } else { Moved::Read(bytes.len()) });
            recorder.bytes.extend_from_slice(bytes);
        }
    }

    /// The first `count` bytes of `queue` were written.
    #[cold]
    #[inline(never)]
    pub(crate) fn written(&mut self, queue: &WriteQueue, count: usize) {
        if count == 0 {
            return;
        }
        let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
        let filled = queue.slices(&mut slices, count);
        for recorder in self.running() {
            recorder.note(Moved::Written(count));
            slices[..filled].iter().for_each(|slice| recorder.bytes.extend_from_slice(slice));
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn written_unseen(&mut self, count: usize) {
        self.running().for_each(|recorder| recorder.note(Moved::Unseen(count)));
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn shut_down(&mut self) {
        self.running().for_each(|recorder| recorder.note(Moved::WriteEnd));
    }

    /// Whether something is to be written.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_due(&self) -> bool {
        self.0.iter().any(Recorder::is_due)
    }

    /// The next log that something is to be written to, and its place.
    pub(crate) fn next(&mut self) -> Option<(usize, Batch)> {
        let place = self.0.iter().position(Recorder::is_due)?;
        Some((place, self.0[place].take()?))
    }

    /// All of them, for the last time.
    pub(crate) fn into_batches(mut self) -> Vec<Batch> {
        self.0.iter_mut().filter_map(Recorder::take).collect()
    }

    /// Puts a log back that was written to, unless it failed or is over.
    pub(crate) fn put_back(&mut self, place: usize, batch: Batch, failed: bool) -> Option<Batch> {
        let Some(recorder) = self.0.get_mut(place) else { return Some(batch) };
        if failed || recorder.stopped {
            drop(self.0.remove(place));
            return Some(batch);
        }
        recorder.log = Some(batch.log);
        None
    }
}
