//! The table of the state machine, computed, and its rules one by one.

use super::*;
use crate::lost::Lost;

const PHASES: [Phase; 6] =
    [Phase::Open, Phase::Finishing, Phase::HalfClosed, Phase::Closing, Phase::Closed, Phase::Lost];
const EVENTS: [(Event, &str); 7] = [
    (Event::WriteEof, "write_eof"),
    (Event::ShutDown, "shut down"),
    (Event::Close, "close"),
    (Event::EofRefused, "eof refused"),
    (Event::EofKept, "eof kept"),
    (Event::Failed, "failed"),
    (Event::LossTold, "loss told"),
];

#[test]
fn the_table_above_is_what_the_code_does() {
    let mut table = String::from("//! | phase |");
    for (_, name) in EVENTS {
        table += &format!(" {name} |");
    }
    table += &format!("\n//! |{}\n", " --- |".repeat(EVENTS.len() + 1));
    for phase in PHASES {
        table += &format!("//! | {phase:?} |");
        for (event, _) in EVENTS {
            let next = phase.after(event);
            table += &if next == phase { " · |".to_owned() } else { format!(" {next:?} |") };
        }
        table += "\n";
    }
    assert!(include_str!("../stream.rs").contains(&table), "the table should read:\n{table}");
}

/// A pipe has no half to shut, so of the events above it knows these: its `write_eof` is a close, and the end of its other
/// side is never kept.
const OF_A_PIPE: [(Option<Event>, &str); 5] = [
    (Some(Event::Close), "write_eof"),
    (Some(Event::Close), "close"),
    (Some(Event::EofRefused), "leaves"),
    (Some(Event::Failed), "failed"),
    (Some(Event::LossTold), "loss told"),
];

#[test]
fn the_tables_of_pipes_are_what_the_code_does() {
    let phases = [Phase::Open, Phase::Closing, Phase::Closed, Phase::Lost];
    for (direction, who) in [("read", "writer"), ("written", "reader")] {
        let mut events = OF_A_PIPE;
        if direction == "read" {
            events[0].0 = None;
        }
        let mut table = format!("//! | {direction} |");
        for (_, name) in events {
            table += &match name {
                "leaves" => format!(" {who} {name} |"),
                name => format!(" {name} |"),
            };
        }
        table += &format!("\n//! |{}\n", " --- |".repeat(events.len() + 1));
        for phase in phases {
            table += &format!("//! | {phase:?} |");
            for (event, _) in events {
                let next = event.map(|event| phase.after(event));
                assert!(next.is_none_or(|next| phases.contains(&next)), "a pipe has no half");
                table += &match next {
                    None => " - |".to_owned(),
                    Some(next) if next == phase => " · |".to_owned(),
                    Some(next) => format!(" {next:?} |"),
                };
            }
            table += "\n";
        }
        assert!(include_str!("../pipe.rs").contains(&table), "the table should read:\n{table}");
    }
}

fn open() -> StreamState {
    let mut state = StreamState::new();
    state.told(Notice::Made);
    state.polled(state.interest());
    state
}

#[test]
fn at_rest_there_is_nothing_to_do_but_read() {
    let state = open();
    assert!(state.is_at_rest() && state.may_receive());
    assert_eq!(state.new_interest(), None);
    assert_eq!((state.untold(), state.interest()), (None, Interest { read: true, write: false }));
    assert!(!state.may_flush() && !state.wants_shutdown() && !state.is_draining());
    let changes: [fn(&mut StreamState); 12] = [
        |state| assert!(!state.wrote(1, 0, &Limits::DEFAULT)),
        |state| state.write_eof(),
        |state| state.close(),
        |state| assert!(state.fail(End::Aborted)),
        |state| state.pause_reading(),
        |state| state.eof(),
        |state| state.blocked(),
        |state| state.set_outflow(true),
        |state| state.set_leftover(true),
        |state| state.polled(Interest { read: true, write: true }),
        |state| state.polled(Interest::default()),
        |state| state.abandon(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut state = open();
        change(&mut state);
        assert!(!state.is_at_rest(), "after change {number}");
    }
    assert!(!StreamState::new().is_at_rest());
}

/// Every state of a gate.
fn gates() -> impl Iterator<Item = FlowGate> {
    (0..8).map(|bits| {
        let mut gate = FlowGate::new();
        if bits & 1 != 0 {
            gate.tell_pause();
        }
        if bits & 2 != 0 {
            gate.answer_full();
        }
        gate.set(bits & 4 != 0, false);
        gate
    })
}

#[test]
fn one_comparison_answers_as_all_the_questions_together_do() {
    let (mut calm, mut fresh) = (0, 0);
    for phase in PHASES {
        for inbound in [Inbound::Open, Inbound::EndUntold, Inbound::Ended] {
            for gate in gates() {
                for marks in (0..=255).map(Marks) {
                    let now = Now { phase, inbound, gate, marks };
                    let state = StreamState { queued: 1, now, ..StreamState::new() };
                    let easy = (state.may_read() && !state.has_leftover())
                        && (state.may_flush() && state.may_send_directly())
                        && (state.flow() == Flow::Open && state.untold().is_none())
                        && !state.wants_shutdown();
                    let asked = easy && state.new_interest().is_none();
                    assert_eq!(state.is_calm(), asked, "{state:?}");
                    calm += usize::from(asked);
                    if (StreamState { now, ..StreamState::new() }).is_fresh() {
                        let reading = Interest { read: true, write: false };
                        assert!(easy && state.new_interest() == Some(reading), "{state:?}");
                        fresh += 1;
                    }
                }
            }
        }
    }
    assert_eq!((calm, fresh), (1, 1));
}

#[test]
fn nothing_is_read_before_connection_made() {
    let mut state = StreamState::new();
    assert_eq!((state.untold(), state.may_read()), (Some(Notice::Made), false));
    state.told(Notice::Made);
    assert_eq!((state.untold(), state.may_read()), (None, true));
}

#[test]
fn a_stream_that_failed_before_it_was_made_is_made_and_then_lost() {
    let mut state = StreamState::new();
    state.fail(End::Aborted);
    assert_eq!(state.untold(), Some(Notice::Made));
    state.told(Notice::Made);
    assert_eq!(state.untold(), Some(Notice::Lost));
    state.told(Notice::Lost);
    assert_eq!((state.untold(), state.phase()), (None, Phase::Lost));
}

#[test]
fn write_interest_is_there_only_while_the_system_refuses() {
    let limits = Limits::DEFAULT;
    let mut state = open();
    assert!(state.admits_write(0, &limits));
    state.wrote(5, 0, &limits);
    assert!(state.may_flush() && !state.interest().write);
    state.sent(2, 0, &limits);
    state.blocked();
    assert!(!state.may_flush() && state.interest().write);
    state.polled(state.interest());
    assert_eq!(state.new_interest(), None);
    state.writable();
    state.sent(3, 0, &limits);
    assert_eq!(state.new_interest(), Some(Interest { read: true, write: false }));
}

#[test]
fn the_shutdown_waits_for_the_queue() {
    let limits = Limits::DEFAULT;
    let mut state = open();
    state.wrote(5, 0, &limits);
    state.write_eof();
    assert!(!state.wants_shutdown() && !state.is_closing());
    assert_eq!(state.flow(), Flow::Closed);
    state.sent(5, 0, &limits);
    assert!(state.wants_shutdown());
    state.shut_down();
    assert_eq!(state.phase(), Phase::HalfClosed);
    assert!(state.may_read());
}

#[test]
fn both_halves_shut_is_the_end_in_either_order() {
    let mut ours_first = open();
    ours_first.write_eof();
    ours_first.shut_down();
    ours_first.eof();
    ours_first.told(Notice::Eof);
    ours_first.eof_answered(KeepOpen::Yes);
    assert_eq!(ours_first.untold(), Some(Notice::Lost));

    let mut theirs_first = open();
    theirs_first.eof();
    theirs_first.told(Notice::Eof);
    theirs_first.eof_answered(KeepOpen::Yes);
    assert_eq!((theirs_first.untold(), theirs_first.is_closing()), (None, false));
    theirs_first.write_eof();
    theirs_first.shut_down();
    assert_eq!(theirs_first.untold(), Some(Notice::Lost));
    assert_eq!(theirs_first.end(), End::Eof);
}

#[test]
fn a_paused_protocol_hears_resume_before_a_close_but_not_before_an_abort() {
    let limits = Limits::high(0);
    let paused = || {
        let mut state = open();
        state.wrote(1, 0, &limits);
        assert_eq!(state.untold(), Some(Notice::PauseWriting));
        state.told(Notice::PauseWriting);
        state
    };
    let mut closed = paused();
    closed.close();
    assert_eq!(closed.untold(), None);
    closed.sent(1, 0, &limits);
    assert_eq!(closed.untold(), Some(Notice::ResumeWriting));
    closed.told(Notice::ResumeWriting);
    assert_eq!(closed.untold(), Some(Notice::Lost));

    let mut aborted = paused();
    aborted.fail(End::Aborted);
    assert_eq!((aborted.untold(), aborted.queued()), (Some(Notice::Lost), 0));
}

#[test]
fn an_error_while_draining_is_the_cause() {
    let limits = Limits::DEFAULT;
    let mut state = open();
    state.wrote(5, 0, &limits);
    state.close();
    assert!(state.fail(End::Other));
    assert!(!state.fail(End::Aborted));
    assert_eq!(state.end(), End::Other);
}

#[test]
fn the_ceiling_ends_a_writer_that_does_not_listen_but_not_a_large_write() {
    let limits = Limits::high(10).max(100);
    let mut state = open();
    assert!(state.admits_write(0, &limits));
    state.wrote(1_000_000, 0, &limits);
    assert!(!state.admits_write(0, &limits));
    assert_eq!(state.end(), End::Overflow);
}

#[test]
fn the_peers_end_is_told_once_and_waits_for_resume() {
    let mut state = open();
    state.pause_reading();
    state.eof();
    assert_eq!(state.untold(), None);
    state.resume_reading();
    assert_eq!(state.untold(), Some(Notice::Eof));
    state.told(Notice::Eof);
    state.eof_answered(KeepOpen::Yes);
    state.eof();
    state.pause_reading();
    state.resume_reading();
    assert_eq!((state.untold(), state.is_reading()), (None, false));
}

#[test]
fn the_name_of_a_cause_is_the_cause_unless_there_is_more_to_say() {
    let named =
        [Lost::Closed, Lost::Eof, Lost::Aborted, Lost::TimedOut, Lost::Overflow, Lost::Truncated];
    for cause in named {
        assert_eq!(End::of(&cause).cause().map(|same| same.index()), Some(cause.index()));
    }
    for cause in [
        Lost::Io(std::io::ErrorKind::BrokenPipe.into()),
        Lost::Failed("mine".into()),
        Lost::Fault(crate::Fault::new("data_received", "boom")),
    ] {
        assert_eq!(End::of(&cause), End::Other);
    }
    assert!(End::Other.cause().is_none());
}
