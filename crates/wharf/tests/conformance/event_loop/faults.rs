//! What a loop does with failing and with slow callbacks, and what it tells of those that it takes along.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use wharf::guard::FaultReport;
use wharf::{EventLoop, FaultPolicy, Protocol, TransportRef, tcp, unix};

use super::{Lines, panic_of, run_until, turns};
use crate::support::{Call, Log, loop_builder, new_loop};

/// A loop that keeps the reports of its faults.
fn reporting() -> (EventLoop, Rc<RefCell<Vec<FaultReport>>>) {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    let policy = FaultPolicy::report(move |report| seen.borrow_mut().push(report));
    (loop_builder().fault_policy(policy).build().unwrap(), reports)
}

#[test]
fn l_20_a_failing_callback_is_reported_and_the_next_ones_run() {
    let (mut ev, reports) = reporting();
    let lines = Lines::default();
    ev.call_soon(|| panic!("clumsy"));
    ev.call_soon(lines.note("next"));
    ev.call_later(Duration::ZERO, || panic!("clumsy too"));
    ev.call_later(Duration::ZERO, lines.note("next timer"));
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["next", "next timer"]);
    let said: Vec<String> = reports.take().iter().map(|report| report.fault.to_string()).collect();
    assert_eq!(said, ["call_soon failed: clumsy", "timer failed: clumsy too"]);
}

#[test]
fn l_21_a_fault_policy_replaces_the_one_before() {
    let mut ev = loop_builder().fault_policy(FaultPolicy::default()).build().unwrap();
    let lines = Lines::default();
    let fail = |ev: &mut EventLoop| {
        ev.call_soon(|| panic!("clumsy"));
        turns(ev, 1);
    };
    fail(&mut ev); // Contained.
    let inner = lines.clone();
    let report = FaultPolicy::report(move |report| inner.add(report.fault.message()));
    assert!(matches!(ev.set_fault_policy(report), FaultPolicy::Contain));
    fail(&mut ev);
    assert_eq!(lines.take(), ["clumsy"]);
    let FaultPolicy::Report(report) = ev.set_fault_policy(FaultPolicy::Resume) else {
        panic!("the policy in force comes back")
    };
    assert_eq!(panic_of(|| fail(&mut ev)), "clumsy");
    ev.set_fault_policy(FaultPolicy::Report(report));
    fail(&mut ev);
    assert_eq!(lines.take(), ["clumsy"]);
}

#[test]
fn l_22_a_failing_report_does_not_end_the_loop() {
    let lines = Lines::default();
    let inner = lines.clone();
    let policy = FaultPolicy::report(move |_| {
        inner.add("report");
        panic!("clumsy report");
    });
    let mut ev = loop_builder().fault_policy(policy).build().unwrap();
    for _ in 0..2 {
        ev.call_soon(|| panic!("clumsy"));
        ev.call_soon(lines.note("next"));
    }
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["report", "next", "report", "next"]);
}

struct Clumsy;

impl Protocol for Clumsy {
    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {
        panic!("clumsy protocol");
    }
}

#[test]
fn l_23_a_report_says_what_failed_and_what_was_concerned() {
    let (mut ev, reports) = reporting();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let handle = ev.handle().clone();
    let (transport, _) = ev.block_on(unix::adopt(&handle, ours, || Clumsy)).unwrap();
    theirs.write_all(b"x").unwrap();
    run_until(&mut ev, || transport.is_closing());
    let reports = reports.take();
    let [report] = &reports[..] else { panic!("{} reports", reports.len()) };
    assert_eq!(report.fault.callback(), "data_received");
    assert_eq!(report.fault.message(), "clumsy protocol");
    assert_eq!(report.transport, Some(transport.id()));
    assert!(report.protocol.is_some_and(|name| name.ends_with("Clumsy")), "{report:?}");
    assert!(report.payload.is_some());
}

#[test]
fn l_42_what_is_open_when_the_loop_is_dropped_is_counted_before_and_told() {
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let server = ev.block_on(async { tcp::listen(&handle, "127.0.0.1:0", || Clumsy).await });
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let log = Log::new();
    let plain = log.plain();
    ev.block_on(unix::adopt(&handle, ours, || plain)).unwrap();
    assert_eq!(ev.statistics().sources, 2, "a server and a connection");
    drop(ev);
    assert_eq!(log.why().map(|why| why.name), Some("aborted"));
    assert_eq!((log.count(Call::Lost), handle.statistics().sources), (1, 0));
    drop(server);
}

#[test]
fn l_43_a_slow_callback_is_reported_with_its_name_and_its_transport() {
    struct Slow;
    impl Protocol for Slow {
        fn data_received(&mut self, _: &TransportRef, _: &[u8]) {
            for number in 0..100_000_u32 {
                black_box(number);
            }
        }
    }
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    let threshold = Duration::from_nanos(100);
    let mut ev = loop_builder()
        .on_slow_callback(threshold, move |slow| seen.borrow_mut().push(slow))
        .build()
        .unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let handle = ev.handle().clone();
    let (transport, _) = ev.block_on(unix::adopt(&handle, ours, || Slow)).unwrap();
    reports.borrow_mut().clear();
    theirs.write_all(b"x").unwrap();
    run_until(&mut ev, || !reports.borrow().is_empty());
    let slow = reports.borrow()[0];
    assert_eq!((slow.callback, slow.transport), ("data_received", Some(transport.id())));
    assert!(slow.duration >= threshold);
    assert!(ev.statistics().slow_callbacks >= 1);
}
