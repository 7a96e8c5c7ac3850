//! One protocol, compiled once, on everything that carries bytes; against a server in each style.
//!
//! [`Prober`](prober::Prober) has no type parameters, so there is one of it; what differs is what it is put on
//! ([`carriers`](carriers)), and who sends its bytes back ([`Style`](echo::Style)): callbacks, frames, or a task with a
//! reader and a writer.
//! Every carrier and every style must tell it the same story.

mod carriers;
mod echo;
mod prober;

use echo::Style;
use prober::{Ending, Plan, Report};

use crate::support::Call;

/// The suite. Each row of conformance.md that it holds a carrier to stands beside its check.
fn suite(carry: impl Fn(Plan, Style) -> Report, styles: &[Style]) {
    for &style in styles {
        for plan in plans() {
            let report = carry(plan, style);
            check(plan, style, &report);
        }
    }
}

fn plans() -> impl Iterator<Item = Plan> {
    let sizes = [(1, 1), (1000, 7), (100_000, 1000), (600_000, 70_000)];
    let endings = [Ending::HalfClose, Ending::Close, Ending::Abort];
    let pauses = [false, true];
    sizes.into_iter().flat_map(move |(total, chunk)| {
        endings
            .into_iter()
            .flat_map(move |ending| pauses.map(|pauses| Plan { total, chunk, ending, pauses }))
    })
}

#[track_caller]
fn check(plan: Plan, style: Style, report: &Report) {
    let what = format!("{plan:?}, echoed by {style:?}: {report:?}");
    // BT-02, BT-06: made first, lost last, once each.
    assert_eq!(report.calls.first(), Some(&Call::Made), "{what}");
    assert_eq!(report.calls.last(), Some(&Call::Lost), "{what}");
    let count = |call| report.calls.iter().filter(|&&known| known == call).count();
    assert_eq!((count(Call::Made), count(Call::Lost)), (1, 1), "{what}");
    // every byte, in its place, and no empty slice.
    assert!(report.in_order, "{what}");
    assert_eq!(report.received, plan.total, "{what}");
    // W-04, W-05: pause and resume take turns, and nobody is left paused.
    let turns = report.calls.iter().filter(|call| matches!(call, Call::Pause | Call::Resume));
    let expected = [Call::Pause, Call::Resume].iter().cycle();
    assert!(turns.zip(expected).all(|(told, expected)| told == expected), "{what}");
    assert_eq!(count(Call::Pause), count(Call::Resume), "{what}");
    // W-28: a writer that obeys never has much more queued than the high mark and a chunk.
    assert!(report.most_queued <= 64 * 1024 + plan.chunk, "{what}");
    // E-01, H-02, CL-01, AB-01: the end is what the plan asks for, and the peer's end is told once, after all data.
    let (ends, lost) = match plan.ending {
        Ending::HalfClose if report.can_half_close => (1, "eof"),
        Ending::HalfClose | Ending::Close => (0, "closed"),
        Ending::Abort => (0, "aborted"),
    };
    assert_eq!((count(Call::Eof), report.lost), (ends, Some(lost)), "{what}");
    // BT-13: a write after the end does nothing.
    assert!(report.closed_at_the_end, "{what}");
}

#[test]
fn one_protocol_behaves_alike_in_memory() {
    suite(carriers::memory, &Style::ALL);
}

#[test]
fn one_protocol_behaves_alike_over_tcp() {
    suite(carriers::tcp, &Style::ALL);
}

#[test]
fn one_protocol_behaves_alike_over_unix_sockets() {
    suite(carriers::unix, &Style::ALL);
}

#[test]
fn one_protocol_behaves_alike_over_tls_in_memory() {
    suite(carriers::tls_in_memory(), &Style::ALL);
}

#[test]
fn one_protocol_behaves_alike_over_tls() {
    suite(carriers::tls(), &Style::ALL);
}

#[test]
fn one_protocol_behaves_alike_over_a_duplex_of_tokio() {
    suite(carriers::tokio_duplex, &Style::ALL);
}

#[test]
fn one_protocol_behaves_alike_over_a_socket_of_tokio() {
    suite(carriers::tokio_tcp, &Style::ALL);
}

#[test]
fn one_protocol_behaves_alike_over_the_pipes_of_a_child() {
    suite(carriers::child, &[Style::Child]);
}

#[test]
fn one_protocol_behaves_alike_over_the_pipes_of_a_child_of_tokio() {
    suite(carriers::tokio_pipes, &[Style::Child]);
}
