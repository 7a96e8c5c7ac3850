//! Readers and writers on raw descriptors, and what an idle loop costs.

use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use wharf::{Protocol, TransportRef, unix};

use super::{Lines, turns};
use crate::support::{Call, Log, new_loop};

type Socket = Rc<UnixStream>;

fn pair() -> (Socket, Socket) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (Rc::new(ours), Rc::new(theirs))
}

fn send(socket: &Socket) {
    (&**socket).write_all(b"x").unwrap();
}

#[test]
fn l_11_a_descriptor_has_one_callback_for_each_direction() {
    let mut ev = new_loop();
    let ((ours, theirs), lines) = (pair(), Lines::default());
    ev.add_reader(Rc::clone(&ours), lines.notes("replaced")).unwrap();
    ev.add_writer(Rc::clone(&ours), lines.notes("write")).unwrap();
    ev.add_reader(Rc::clone(&ours), lines.notes("read")).unwrap();
    send(&theirs);
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["read", "write"]);
    assert!(ev.remove_writer(&ours));
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["read"], "the other direction is as it was");
}

#[test]
fn l_12_removal_tells_whether_there_was_one() {
    let ev = new_loop();
    let (ours, _theirs) = pair();
    assert!(!ev.remove_reader(&ours));
    ev.add_reader(Rc::clone(&ours), || {}).unwrap();
    assert!(!ev.remove_writer(&ours));
    assert!(ev.remove_reader(&ours));
    assert!(!ev.remove_reader(&ours));
}

#[test]
fn l_13_a_callback_that_is_removed_in_the_turn_of_its_event_does_not_run() {
    let mut ev = new_loop();
    let (first, second) = (pair(), pair());
    let lines = Lines::default();
    for (mine, other) in [(&first.0, &second.0), (&second.0, &first.0)] {
        let (handle, inner, other) = (ev.handle().clone(), lines.clone(), Rc::clone(other));
        let reader = move || {
            inner.add("one of them");
            handle.remove_reader(&other);
        };
        ev.add_reader(Rc::clone(mine), reader).unwrap();
    }
    send(&first.1);
    send(&second.1);
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["one of them"]);
}

#[test]
fn l_15_readiness_is_a_level() {
    let mut ev = new_loop();
    let ((ours, theirs), lines) = (pair(), Lines::default());
    ev.add_reader(Rc::clone(&ours), lines.notes("read")).unwrap();
    send(&theirs);
    turns(&mut ev, 3);
    assert_eq!(lines.take(), ["read"; 3], "as long as there is something to read");
    (&*ours).read_exact(&mut [0]).unwrap();
    turns(&mut ev, 3);
    assert!(lines.take().is_empty());
}

#[test]
fn l_16_a_watched_descriptor_stays_open_and_its_successor_inherits_nothing() {
    let mut ev = new_loop();
    let ((ours, theirs), lines) = (pair(), Lines::default());
    ev.add_reader(Rc::clone(&ours), lines.notes("old")).unwrap();
    drop(ours); // The loop keeps it, so nobody can close it behind the loop's back.
    send(&theirs);
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["old"]);

    // Two that are ready: whoever comes first removes and closes the other and watches a third, which is not ready, in
    // its place on the loop, and perhaps under its number.
    let mut ev = new_loop();
    let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
    let kept = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..2 {
        let (ours, theirs) = pair();
        let (handle, inner) = (ev.handle().clone(), lines.clone());
        let (all, kept_open, me) = (Rc::clone(&sockets), Rc::clone(&kept), Rc::downgrade(&ours));
        let reader = move || {
            inner.add("ready");
            all.borrow_mut().retain(|socket| {
                let is_me = me.as_ptr() == Rc::as_ptr(socket);
                is_me || !handle.remove_reader(socket)
            });
            let (fresh, peer) = pair();
            handle.add_reader(fresh, inner.notes("fresh")).unwrap();
            kept_open.borrow_mut().push(peer);
        };
        ev.add_reader(Rc::clone(&ours), reader).unwrap();
        send(&theirs);
        sockets.borrow_mut().push(ours);
        kept.borrow_mut().push(theirs);
    }
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["ready"]);
    assert_eq!(sockets.borrow().len(), 1);
}

#[test]
fn l_16_a_transport_that_is_aborted_in_the_turn_of_its_event_reads_nothing() {
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let transports: Rc<RefCell<Vec<TransportRef>>> = Rc::default();
    let logs = [Log::new(), Log::new()];
    let mut peers = Vec::new();
    for log in &logs {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let plain = log.plain();
        let (transport, _) = ev.block_on(unix::adopt(&handle, ours, || plain)).unwrap();
        transports.borrow_mut().push(transport);
        let others = Rc::clone(&transports);
        log.on(Call::Data, move |me| {
            others.borrow().iter().filter(|other| *other != me).for_each(|other| other.abort());
        });
        peers.push(theirs);
    }
    for peer in &peers {
        (&*peer).write_all(b"data").unwrap();
    }
    ev.turn(Some(Duration::ZERO)).unwrap();
    let data: Vec<usize> = logs.iter().map(|log| log.count(Call::Data)).collect();
    assert_eq!(data.iter().sum::<usize>(), 1, "{data:?}");
    let lost = logs.iter().filter(|log| log.is_lost()).count();
    assert_eq!(lost, 1, "and the aborted one was told within the turn");
    transports.borrow_mut().clear();
}

#[test]
fn l_17_a_regular_file_is_an_error_and_not_a_spin() {
    let mut ev = new_loop();
    let file = Rc::new(File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap());
    let error = ev.add_reader(Rc::clone(&file), || panic!("called")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let error = ev.add_writer(Rc::clone(&file), || panic!("called")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!((ev.statistics().sources, ev.next_timeout()), (0, None));
    turns(&mut ev, 2);
    assert_eq!(ev.statistics().events, 0);
}

/// How many transports are idle: as many as fit the smallest usual limit of descriptors, with other tests beside them.
const IDLE: usize = 200;

#[test]
fn l_61_idle_transports_paused_and_hung_up_ones_included_wake_nobody() {
    struct Idle;
    impl Protocol for Idle {
        fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
            panic!("there was nothing to read, and {} bytes came", data.len());
        }
    }
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let mut peers = Vec::new();
    for number in 0..IDLE {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (transport, _) = ev.block_on(unix::adopt(&handle, ours, || Idle)).unwrap();
        match number % 4 {
            0 => peers.push(theirs),
            1 => {
                transport.pause_reading();
                (&theirs).write_all(b"waiting").unwrap();
                peers.push(theirs);
            }
            2 => transport.pause_reading(), // And the peer hangs up.
            _ => {
                transport.pause_reading();
                (&theirs).write_all(b"waiting").unwrap();
            }
        }
    }
    turns(&mut ev, 3);
    let before = ev.statistics();
    assert_eq!(ev.next_timeout(), None, "a turn would sleep as long as it takes");
    turns(&mut ev, 20);
    assert_eq!(ev.statistics().events, before.events, "and nothing would end its sleep");
    assert_eq!(ev.statistics().sources, IDLE);
}
