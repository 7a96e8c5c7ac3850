//! Two protocols joined in memory and driven by operations: what is delivered is what was written.

use std::cell::RefCell;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use wharf_core::memory::{LinkRef, Stage};
use wharf_core::{Flow, KeepOpen, Limits, Lost, Protocol, TransportRef};

/// What is done to the pair; `side` tells the ends apart.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Operation {
    Write {
        side: bool,
        count: u16,
    },
    WriteBytes {
        side: bool,
        count: u16,
    },
    WriteLines {
        side: bool,
        counts: [u8; 3],
    },
    WriteEof {
        side: bool,
    },
    Close {
        side: bool,
    },
    Abort {
        side: bool,
    },
    PauseReading {
        side: bool,
    },
    ResumeReading {
        side: bool,
    },
    SetLimits {
        side: bool,
        high: u16,
        low: u16,
    },
    /// From now on the protocol's callbacks do this.
    Habit {
        side: bool,
        habit: Habit,
    },
    Turn,
    Run,
    LimitReads(u16),
    LimitWrites(u16),
    Capacity(u16),
    Reset,
    Advance(u8),
}

/// After so many bytes an end writes no more by habit.
const ENOUGH: usize = 10_000;

/// After so many bytes an end is told to write no more than a little at a time.
const MOST: usize = 70_000;
const LITTLE: usize = 1000;

/// What a protocol does from inside its callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Habit {
    Listen,
    /// Answers each chunk with one byte.
    Answer,
    /// Pauses its own reading at each chunk.
    Pause,
    /// Keeps its direction open after the peer's end.
    KeepOpen,
    /// Writes when it is told to resume.
    Pour,
    Close,
    Abort,
}

/// One end's side of the story.
struct End {
    /// How many bytes it has written; their values follow from their places.
    written: usize,
    received: usize,
    made: bool,
    eof: bool,
    told_pause: bool,
    waits: bool,
    lost: Option<usize>,
    habit: Habit,
}

impl End {
    fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            written: 0,
            received: 0,
            made: false,
            eof: false,
            told_pause: false,
            waits: false,
            lost: None,
            habit: Habit::Listen,
        }))
    }

    fn next_bytes(&self, count: usize) -> Vec<u8> {
        // 251 is prime, so a piece in the wrong place does not fit.
        (self.written..self.written + count).map(|place| (place % 251) as u8).collect()
    }

    fn note_write(&mut self, flow: Flow, count: usize) {
        if flow != Flow::Closed {
            self.written += count;
        }
        self.waits |= flow == Flow::Full;
    }

    /// Whether anything may be told: made, and not yet lost.
    fn assert_live(&self) {
        assert!(self.made && self.lost.is_none(), "told before the beginning or after the end");
    }
}

/// A protocol that knows what to expect.
struct Party(Rc<RefCell<End>>);

impl Party {
    fn write(&self, transport: &TransportRef, count: usize) {
        let bytes = self.0.borrow().next_bytes(count);
        let flow = transport.write(&bytes);
        self.0.borrow_mut().note_write(flow, count);
    }

    fn act(&self, transport: &TransportRef) {
        let (habit, is_talkative) = {
            let end = self.0.borrow();
            (end.habit, end.written >= ENOUGH)
        };
        match habit {
            Habit::Listen | Habit::KeepOpen | Habit::Pour => {}
            // Two ends that answer each other would never come to rest.
            Habit::Answer if is_talkative => {}
            Habit::Answer => self.write(transport, 1),
            Habit::Pause => transport.pause_reading(),
            Habit::Close => transport.close(),
            Habit::Abort => transport.abort(),
        }
    }
}

impl Protocol for Party {
    fn connection_made(&mut self, _: &TransportRef) {
        let mut end = self.0.borrow_mut();
        assert!(!end.made && end.lost.is_none());
        end.made = true;
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        {
            let mut end = self.0.borrow_mut();
            end.assert_live();
            assert!(!end.eof && !data.is_empty());
            for byte in data {
                assert_eq!(*byte, (end.received % 251) as u8, "at {}", end.received);
                end.received += 1;
            }
        }
        self.act(transport);
    }

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        {
            let mut end = self.0.borrow_mut();
            end.assert_live();
            assert!(!std::mem::replace(&mut end.eof, true), "a second end");
        }
        self.act(transport);
        if self.0.borrow().habit == Habit::KeepOpen { KeepOpen::Yes } else { KeepOpen::No }
    }

    fn pause_writing(&mut self, _: &TransportRef) {
        let mut end = self.0.borrow_mut();
        end.assert_live();
        assert!(!std::mem::replace(&mut end.told_pause, true), "pause after pause");
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        let pours = {
            let mut end = self.0.borrow_mut();
            end.assert_live();
            assert!(std::mem::replace(&mut end.told_pause, false), "resume without pause");
            end.waits = false;
            end.habit == Habit::Pour && end.written < ENOUGH
        };
        if pours {
            self.write(transport, 1000);
        }
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        let mut end = self.0.borrow_mut();
        end.assert_live();
        end.lost = Some(why.index());
    }
}

/// The pair, on its stage.
pub(crate) struct Model {
    stage: Option<Stage>,
    link: LinkRef,
    ends: [(TransportRef, Rc<RefCell<End>>); 2],
}

impl Default for Model {
    fn default() -> Self {
        let stage = Stage::new();
        let ends = [End::new(), End::new()];
        let pair = stage.pair(Party(Rc::clone(&ends[0])), Party(Rc::clone(&ends[1])));
        let [first, second] = ends;
        Self {
            stage: Some(stage),
            link: pair.link,
            ends: [(pair.first.0, first), (pair.second.0, second)],
        }
    }
}

impl Model {
    fn stage(&self) -> &Stage {
        self.stage.as_ref().expect("the stage is there until the end")
    }

    fn end(&self, side: bool) -> (&TransportRef, &Rc<RefCell<End>>) {
        let (transport, end) = &self.ends[usize::from(side)];
        (transport, end)
    }

    /// Does `operation`, and checks.
    pub(crate) fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Write { side, count } => {
                self.write(side, count.into(), |transport, bytes| transport.write(bytes));
            }
            Operation::WriteBytes { side, count } => {
                self.write(side, count.into(), |transport, bytes| {
                    transport.write_bytes(Bytes::copy_from_slice(bytes))
                });
            }
            Operation::WriteLines { side, counts } => {
                let count = counts.iter().copied().map(usize::from).sum();
                self.write(side, count, |transport, bytes| {
                    let (first, rest) = bytes.split_at(usize::from(counts[0]));
                    let (second, third) = rest.split_at(usize::from(counts[1]));
                    transport.writelines(&[first, second, third].map(IoSlice::new))
                });
            }
            Operation::WriteEof { side } => self.end(side).0.write_eof(),
            Operation::Close { side } => self.end(side).0.close(),
            Operation::Abort { side } => self.end(side).0.abort(),
            Operation::PauseReading { side } => self.end(side).0.pause_reading(),
            Operation::ResumeReading { side } => self.end(side).0.resume_reading(),
            Operation::SetLimits { side, high, low } => {
                let (high, low) = (usize::from(high.max(low)), usize::from(high.min(low)));
                let Ok(limits) = Limits::new(high, low) else { unreachable!("low is not above") };
                self.end(side).0.set_write_buffer_limits(limits);
            }
            Operation::Habit { side, habit } => self.end(side).1.borrow_mut().habit = habit,
            Operation::Turn => drop(self.stage().turn()),
            Operation::Run => self.run(),
            Operation::LimitReads(bytes) => self.link.limit_reads(bytes.into()),
            Operation::LimitWrites(bytes) => self.link.limit_writes(bytes.into()),
            Operation::Capacity(bytes) => self.link.set_capacity(bytes.into()),
            Operation::Reset => self.link.reset(),
            Operation::Advance(seconds) => {
                self.stage().clock().advance(Duration::from_secs(seconds.into()));
            }
        }
        self.check();
    }

    /// Lets everything through, takes the stage down, and looks at how it ended.
    pub(crate) fn finish(mut self) {
        self.link.limit_reads(usize::MAX);
        self.link.limit_writes(usize::MAX);
        self.link.set_capacity(usize::MAX);
        for (transport, end) in &self.ends {
            end.borrow_mut().habit = Habit::KeepOpen;
            transport.resume_reading();
        }
        self.run();
        self.check();
        drop(self.stage.take());
        for (side, (transport, end)) in self.ends.iter().enumerate() {
            let end = end.borrow();
            assert!(end.lost.is_some() == end.made && transport.is_closing());
            assert!(transport.protocol().is_none(), "the transport has let go");
            let peer = self.ends[1 - side].1.borrow();
            assert!(end.received <= peer.written, "a prefix");
            // The writer ended cleanly, so everything has gone out; this one read up to that end.
            let sent_all = peer.lost.is_some_and(is_clean);
            let read_all = end.eof || end.lost == Some(Lost::Eof.index());
            if sent_all && read_all {
                assert_eq!(end.received, peer.written, "all of it");
            }
        }
    }

    fn write(&self, side: bool, count: usize, write: impl FnOnce(&TransportRef, &[u8]) -> Flow) {
        let (transport, end) = self.end(side);
        // Byte by byte, too, everything is to come to rest within the turns that a stage takes.
        if count > LITTLE && end.borrow().written + count > MOST {
            return;
        }
        let bytes = end.borrow().next_bytes(count);
        let closed = transport.is_closing();
        let flow = write(transport, &bytes);
        assert!(!closed || flow == Flow::Closed, "a write after the end");
        end.borrow_mut().note_write(flow, count);
    }

    /// Comes to rest, and checks what holds then.
    fn run(&self) {
        self.stage().run();
        for (transport, end) in &self.ends {
            let end = end.borrow();
            let queued = transport.write_buffer_len();
            if end.lost.is_none() && queued == 0 {
                assert!(!end.waits && !end.told_pause, "whoever waits is told");
            }
        }
    }

    fn check(&self) {
        for (transport, end) in &self.ends {
            let end = end.borrow();
            if end.lost.is_some() {
                assert!(transport.is_closing() && !transport.is_reading());
                assert_eq!(transport.write_buffer_len(), 0);
            }
            if transport.is_closing() || end.eof {
                assert!(!transport.is_reading());
            }
            assert!(transport.write_buffer_len() <= end.written);
        }
        let [(_, first), (_, second)] = &self.ends;
        assert!(first.borrow().received <= second.borrow().written);
        assert!(second.borrow().received <= first.borrow().written);
    }
}

fn is_clean(why: usize) -> bool {
    [Lost::Closed.index(), Lost::Eof.index()].contains(&why)
}
