//! Every way through the tables of pipes: each list of deeds up to a length, on pipes in memory.
//!
//! The tables stand in `pipe.rs`, where another test computes them.

use std::collections::BTreeSet;

use super::*;
use crate::stream::Phase;
use crate::{
    BaseTransport, Flow, Limits, Lost, ReadPipeProtocol, ReadTransport, WritePipeProtocol,
    WriteTransport,
};

/// How many deeds are done in a row: enough to close, fill and leave in any order and look at what follows.
const DEEDS: usize = 5;

const PHASES: [Phase; 4] = [Phase::Open, Phase::Closing, Phase::Closed, Phase::Lost];

/// The events of the tables, in the order of their columns.
const EVENTS: [&str; 5] = ["write_eof", "close", "leaves", "failed", "loss told"];

/// One of the two tables, as it is drawn.
struct Table(Vec<Vec<Option<Phase>>>);

impl Table {
    fn drawn(name: &str) -> Self {
        let head = format!("//! | {name} |");
        let lines = include_str!("../pipe.rs").lines().skip_while(|line| !line.starts_with(&head));
        let row = |(phase, line): (&Phase, &str)| {
            let cells: Vec<&str> =
                line.trim_start_matches("//! ").split('|').map(str::trim).collect();
            assert_eq!(cells[1], format!("{phase:?}"), "the rows are in order");
            let next = |cell: &&str| match *cell {
                "-" => None,
                "·" => Some(*phase),
                name => PHASES.into_iter().find(|phase| format!("{phase:?}") == name),
            };
            cells[2..=EVENTS.len() + 1].iter().map(next).collect()
        };
        Self(PHASES.iter().zip(lines.skip(2)).map(row).collect())
    }

    fn after(&self, phase: Phase, event: &str) -> Phase {
        let row = PHASES.iter().position(|known| *known == phase);
        let column = EVENTS.iter().position(|known| *known == event);
        let (Some(row), Some(column)) = (row, column) else {
            panic!("a pipe is {phase:?}, or hears of {event}")
        };
        self.0[row][column].unwrap_or_else(|| panic!("{event} does not exist here"))
    }

    /// Where any of `events`, in any order and as often as one likes, may lead.
    fn reach(&self, phase: Phase, events: &[&str]) -> BTreeSet<usize> {
        let place = |phase| PHASES.iter().position(|known| *known == phase).expect("it has a row");
        let mut found = BTreeSet::from([place(phase)]);
        loop {
            let next: BTreeSet<usize> = found
                .iter()
                .flat_map(|from| events.iter().map(|event| place(self.after(PHASES[*from], event))))
                .chain(found.iter().copied())
                .collect();
            if next == found {
                return found;
            }
            found = next;
        }
    }
}

/// What a protocol was told; it holds the order.
#[derive(Default)]
struct Told(Vec<&'static str>);

impl Told {
    fn note(&mut self, what: &'static str) {
        assert_eq!(what == "made", self.0.is_empty(), "{what} after {:?}", self.0);
        let last = self.0.last().copied();
        assert!(!last.is_some_and(|last| last.starts_with("lost")), "{what} after the loss");
        assert!(last != Some("eof") || what.starts_with("lost"), "{what} after the end");
        let paused = self.0.iter().rfind(|told| matches!(**told, "pause" | "resume"));
        match what {
            "pause" => assert_ne!(paused, Some(&"pause")),
            "resume" => assert_eq!(paused, Some(&"pause")),
            _ => {}
        }
        self.0.push(what);
    }

    fn lost(&mut self, why: &Lost) {
        self.note(match why {
            Lost::Closed => "lost: closed",
            Lost::Eof => "lost: eof",
            Lost::Aborted => "lost: aborted",
            Lost::Io(_) => "lost: io",
            _ => "lost: otherwise",
        });
    }
}

impl ReadPipeProtocol for Told {
    fn connection_made(&mut self, _: &ReadTransportRef) {
        self.note("made");
    }
    fn data_received(&mut self, _: &ReadTransportRef, _: &[u8]) {
        self.note("data");
    }
    fn eof_received(&mut self, _: &ReadTransportRef) {
        self.note("eof");
    }
    fn connection_lost(&mut self, _: &ReadTransportRef, why: &Lost) {
        self.lost(why);
    }
}

impl WritePipeProtocol for Told {
    fn connection_made(&mut self, _: &WriteTransportRef) {
        self.note("made");
    }
    fn pause_writing(&mut self, _: &WriteTransportRef) {
        self.note("pause");
    }
    fn resume_writing(&mut self, _: &WriteTransportRef) {
        self.note("resume");
    }
    fn connection_lost(&mut self, _: &WriteTransportRef, why: &Lost) {
        self.lost(why);
    }
}

/// A pipe in memory, and what has been done to it.
struct Pipe {
    stage: Stage,
    driver: Rc<MemoryDriver<true>>,
    wire: Wire,
    /// The other end has left.
    left: bool,
}

/// Something that can be done, and the events of the table that it is.
type Deed = (&'static str, fn(&mut Pipe), &'static [&'static str]);

const TURN: Deed = ("turn", |pipe| _ = pipe.stage.turn(), &["loss told"]);
const CLOSE: Deed = ("close", |pipe| pipe.driver.close(), &["close"]);
const ABORT: Deed = ("abort", |pipe| pipe.driver.abort(), &["failed"]);
const LEAVE: Deed = (
    "leave",
    |pipe| {
        pipe.left = true;
        pipe.wire.close();
    },
    &[],
);

const READ: &[Deed] = &[
    (
        "send",
        |pipe| {
            if !pipe.left {
                pipe.wire.send(b"x")
            }
        },
        &[],
    ),
    ("pause", |pipe| pipe.driver.pause_reading(), &[]),
    ("resume", |pipe| pipe.driver.resume_reading(), &[]),
    LEAVE,
    CLOSE,
    ABORT,
    TURN,
];

const WRITTEN: &[Deed] = &[
    (
        "write",
        |pipe| {
            let flow = pipe.driver.write(&[b'x'; 20_000]);
            assert_eq!(flow == Flow::Closed, pipe.driver.phase() != Phase::Open);
        },
        // It goes to the system at once, which may know that nobody reads.
        &["failed"],
    ),
    ("refuse", |pipe| pipe.wire.limit_writes(0), &[]),
    ("drain", |pipe| drop(pipe.wire.take()), &[]),
    ("write_eof", |pipe| pipe.driver.write_eof(), &["write_eof"]),
    LEAVE,
    CLOSE,
    ABORT,
    TURN,
];

/// Does the deeds that the digits of `number` name, and holds each step to the table. Gives what was told in the end,
/// and what was done.
fn walk(
    pipe: &mut Pipe,
    table: &Table,
    deeds: &[Deed],
    mut number: usize,
    steps: &mut BTreeSet<(usize, &'static str, usize)>,
) -> Vec<&'static str> {
    let mut done = Vec::new();
    for _ in 0..DEEDS {
        let (name, deed, events) = deeds[number % deeds.len()];
        number /= deeds.len();
        let mut events = events.to_vec();
        if name == "turn" && pipe.left {
            // What is queued meets the error, and what is not meets the end.
            events.extend(["leaves", "failed"]);
        }
        let before = pipe.driver.phase();
        deed(pipe);
        done.push(name);
        let after = pipe.driver.phase();
        let reach = table.reach(before, &events);
        let place = PHASES.iter().position(|phase| *phase == after);
        let place = place.unwrap_or_else(|| panic!("{done:?} leads to {after:?}"));
        assert!(reach.contains(&place), "{done:?} leads from {before:?} to {after:?}");
        let from = PHASES.iter().position(|phase| *phase == before).expect("it was looked at");
        steps.insert((from, name, place));
    }
    done
}

/// Walks every list of deeds; gives which steps were seen between which phases.
fn walk_all(
    table: &Table,
    deeds: &[Deed],
    pipe: impl Fn(Stage) -> (Pipe, Rc<RefCell<Told>>),
) -> BTreeSet<(usize, &'static str, usize)> {
    let mut steps = BTreeSet::new();
    let exponent = u32::try_from(DEEDS).expect("a handful");
    for number in 0..deeds.len().pow(exponent) {
        let (mut pipe, told) = pipe(Stage::new());
        pipe.stage.turn();
        let done = walk(&mut pipe, table, deeds, number, &mut steps);
        pipe.wire.limit_writes(usize::MAX);
        pipe.driver.resume_reading();
        while pipe.stage.turn() {
            drop(pipe.wire.take());
        }
        let told = told.borrow().0.clone();
        let has = |name| done.contains(&name);
        let end = told.last().copied().unwrap_or_default();
        let ends = has("close") || has("write_eof") || has("abort") || has("leave");
        assert_eq!(end.starts_with("lost"), ends, "{done:?}: {told:?}");
        assert_eq!(pipe.driver.phase() == Phase::Lost, ends, "{done:?}: {told:?}");
        // Nobody hears of an end that did not happen.
        let happened = match end {
            "lost: closed" => has("close") || has("write_eof"),
            "lost: aborted" => has("abort"),
            "lost: eof" => has("leave"),
            "lost: io" => has("leave") && has("write"),
            _ => !ends,
        };
        assert!(happened, "{done:?}: {told:?}");
        assert!(!told.contains(&"eof") || end == "lost: eof", "{done:?}: {told:?}");
    }
    steps
}

/// Whether a step by `name` was seen from each phase to where the table says that it leads.
#[track_caller]
fn assert_seen(
    table: &Table,
    steps: &BTreeSet<(usize, &'static str, usize)>,
    name: &'static str,
    event: &str,
) {
    for (from, phase) in PHASES.iter().enumerate() {
        let to = table.after(*phase, event);
        let to = PHASES.iter().position(|known| *known == to).expect("it has a row");
        assert!(steps.contains(&(from, name, to)), "nobody has walked {phase:?} by {name}");
    }
}

#[test]
fn every_way_of_a_pipe_that_is_read_is_in_its_table() {
    let table = Table::drawn("read");
    let steps = walk_all(&table, READ, |stage| {
        let told = Rc::new(RefCell::new(Told::default()));
        let (driver, wire) = stage.pipe(Rc::clone(&told).share_read().1);
        (Pipe { stage, driver, wire, left: false }, told)
    });
    assert_seen(&table, &steps, "close", "close");
    assert_seen(&table, &steps, "abort", "failed");
}

#[test]
fn every_way_of_a_pipe_that_is_written_is_in_its_table() {
    let table = Table::drawn("written");
    let steps = walk_all(&table, WRITTEN, |stage| {
        let told = Rc::new(RefCell::new(Told::default()));
        let (driver, wire) = stage.pipe(Rc::clone(&told).share_write().1);
        driver.set_write_buffer_limits(Limits::high(10_000));
        (Pipe { stage, driver, wire, left: false }, told)
    });
    assert_seen(&table, &steps, "close", "close");
    assert_seen(&table, &steps, "write_eof", "write_eof");
    assert_seen(&table, &steps, "abort", "failed");
    assert_seen(&table, &steps, "turn", "loss told");
}
