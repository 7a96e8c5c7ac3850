//! Raw readiness: readers and writers on descriptors that are not transports.

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{ChildStdin, Command, Stdio};
use std::rc::Rc;

use wharf_reactor::LoopHandle;

use crate::support::{Log, Path, event_loop, panic_of, turns};

both_paths!(
    a_reader_is_called_in_every_turn_in_which_it_may_read,
    a_writer_is_called_while_there_is_room,
    the_directions_are_independent,
    adding_again_replaces,
    removal_says_whether_there_was_one_and_lets_go,
    what_is_removed_in_the_same_turn_is_not_called,
    a_reader_may_remove_the_writer_of_the_same_turn,
    a_reader_may_replace_and_remove_itself,
    a_place_that_is_reused_in_the_same_turn_inherits_no_event,
    a_number_that_is_reused_inherits_nothing,
    a_duplicate_of_a_descriptor_is_another_one,
    regular_files_and_directories_are_refused,
    a_hang_up_calls_both_directions,
    a_pipe_that_nobody_reads_calls_its_writer,
    nobody_spins_on_a_hang_up_that_nobody_watches,
    a_callback_that_panics_is_a_fault_and_stays,
    dropping_the_loop_lets_go_of_every_descriptor,
);

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

fn drain(socket: &Socket) {
    let mut buffer = [0; 64];
    while (&**socket).read(&mut buffer).is_ok_and(|count| count > 0) {}
}

/// Fills the socket's send buffer; says how many bytes that took.
fn fill(socket: &Socket) -> usize {
    let mut filled = 0;
    while let Ok(count) = (&**socket).write(&[0; 4096]) {
        filled += count;
    }
    filled
}

fn read_all(socket: &Socket, count: usize) {
    let mut left = count;
    let mut buffer = [0; 4096];
    while left > 0 {
        left -= (&**socket).read(&mut buffer).unwrap();
    }
}

fn noting_reader(handle: &LoopHandle, socket: &Socket, log: &Log, line: &'static str) {
    let log = log.clone();
    handle.add_reader(Rc::clone(socket), move || log.add(line)).unwrap();
}

fn noting_writer(handle: &LoopHandle, socket: &Socket, log: &Log, line: &'static str) {
    let log = log.clone();
    handle.add_writer(Rc::clone(socket), move || log.add(line)).unwrap();
}

fn a_reader_is_called_in_every_turn_in_which_it_may_read(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    noting_reader(&ev, &ours, &log, "read");
    turns(&mut ev, 2);
    assert!(log.take().is_empty(), "there is nothing to read");
    send(&theirs);
    turns(&mut ev, 3);
    assert_eq!(log.take(), ["read"; 3], "readiness is a level, not an edge");
    drain(&ours);
    turns(&mut ev, 2);
    assert!(log.take().is_empty());
}

fn a_writer_is_called_while_there_is_room(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    noting_writer(&ev, &ours, &log, "write");
    turns(&mut ev, 2);
    assert_eq!(log.take(), ["write"; 2]);
    let filled = fill(&ours);
    turns(&mut ev, 2);
    assert!(log.take().is_empty());
    read_all(&theirs, filled);
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["write"]);
}

fn the_directions_are_independent(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    noting_reader(&ev, &ours, &log, "read");
    noting_writer(&ev, &ours, &log, "write");
    assert_eq!(ev.statistics().sources, 1);
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["write"]);
    send(&theirs);
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["read", "write"]);
    assert!(ev.remove_writer(&ours));
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["read"]);
    noting_writer(&ev, &ours, &log, "write");
    assert!(ev.remove_reader(&ours));
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["write"]);
}

fn adding_again_replaces(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    let token = Rc::new(());
    let held = Rc::clone(&token);
    ev.add_reader(Rc::clone(&ours), move || panic!("{held:?} was replaced")).unwrap();
    noting_reader(&ev, &ours, &log, "new");
    assert_eq!(Rc::strong_count(&token), 1, "the old one was dropped");
    send(&theirs);
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["new"]);
    assert!(ev.remove_reader(&ours));
    assert!(!ev.remove_reader(&ours), "there was one, not two");
}

fn removal_says_whether_there_was_one_and_lets_go(path: Path) {
    let ev = event_loop(path);
    let (ours, _theirs) = pair();
    assert!(!ev.remove_reader(&ours) && !ev.remove_writer(&ours));
    ev.add_reader(Rc::clone(&ours), || {}).unwrap();
    assert!(!ev.remove_writer(&ours));
    ev.add_writer(Rc::clone(&ours), || {}).unwrap();
    assert!(ev.remove_reader(&ours) && !ev.remove_reader(&ours));
    assert_eq!(Rc::strong_count(&ours), 2, "the loop holds what it watches");
    assert!(ev.remove_writer(&ours) && !ev.remove_writer(&ours));
    assert_eq!((Rc::strong_count(&ours), ev.statistics().sources), (1, 0));
}

fn what_is_removed_in_the_same_turn_is_not_called(path: Path) {
    let mut ev = event_loop(path);
    let (first, second) = (pair(), pair());
    let calls = Rc::new(Cell::new(0));
    for (mine, other) in [(&first.0, &second.0), (&second.0, &first.0)] {
        let (handle, calls, other) = (ev.handle().clone(), Rc::clone(&calls), Rc::clone(other));
        let reader = move || {
            calls.set(calls.get() + 1);
            assert!(handle.remove_reader(&other), "whoever comes first removes the other");
        };
        ev.add_reader(Rc::clone(mine), reader).unwrap();
    }
    send(&first.1);
    send(&second.1);
    turns(&mut ev, 1);
    assert_eq!(calls.get(), 1);
}

fn a_reader_may_remove_the_writer_of_the_same_turn(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    let (handle, inner, socket) = (ev.handle().clone(), log.clone(), Rc::clone(&ours));
    noting_writer(&ev, &ours, &log, "write");
    let reader = move || {
        inner.add("read");
        handle.remove_writer(&socket);
    };
    ev.add_reader(Rc::clone(&ours), reader).unwrap();
    send(&theirs);
    turns(&mut ev, 2);
    assert_eq!(log.take(), ["read", "read"]);
}

fn a_reader_may_replace_and_remove_itself(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    let (handle, inner, socket) = (ev.handle().clone(), log.clone(), Rc::clone(&ours));
    let token = Rc::new(());
    let held = Rc::clone(&token);
    let reader = move || {
        noting_reader(&handle, &socket, &inner, "second");
        assert!(handle.remove_reader(&socket));
        noting_reader(&handle, &socket, &inner, "third");
        assert_eq!(Rc::strong_count(&held), 2, "what runs is not dropped under its feet");
        inner.add("first");
    };
    ev.add_reader(Rc::clone(&ours), reader).unwrap();
    send(&theirs);
    turns(&mut ev, 2);
    assert_eq!(log.take(), ["first", "third"]);
    assert_eq!(Rc::strong_count(&token), 1);
}

fn a_place_that_is_reused_in_the_same_turn_inherits_no_event(path: Path) {
    let mut ev = event_loop(path);
    let ready = [pair(), pair()];
    let fresh = pair();
    let log = Log::default();
    let others: Vec<Socket> = ready.iter().map(|(mine, _)| Rc::clone(mine)).collect();
    for (mine, theirs) in &ready {
        let (handle, log, others) = (ev.handle().clone(), log.clone(), others.clone());
        let (socket, fresh) = (Rc::clone(mine), Rc::clone(&fresh.0));
        // Whoever comes first puts the fresh one, which is not ready, in the place of the other.
        let reader = move || {
            log.add("ready");
            for other in others.iter().filter(|other| !Rc::ptr_eq(other, &socket)) {
                handle.remove_reader(other);
            }
            noting_reader(&handle, &fresh, &log, "fresh");
        };
        ev.add_reader(Rc::clone(mine), reader).unwrap();
        send(theirs);
    }
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["ready"]);
}

fn a_number_that_is_reused_inherits_nothing(path: Path) {
    use std::os::fd::AsRawFd;
    let mut ev = event_loop(path);
    let log = Log::default();
    // Another test may take the number between close and open; one try of some hits it.
    for _ in 0..50 {
        let (ours, theirs) = pair();
        let number = ours.as_raw_fd();
        noting_reader(&ev, &ours, &log, "old");
        send(&theirs);
        ev.remove_reader(&ours);
        drop(ours);
        let (fresh, peer) = pair();
        noting_reader(&ev, &fresh, &log, "fresh");
        turns(&mut ev, 1);
        assert!(log.take().is_empty());
        send(&peer);
        turns(&mut ev, 1);
        assert_eq!(log.take(), ["fresh"], "and it is watched under the number of its own");
        ev.remove_reader(&fresh);
        if fresh.as_raw_fd() == number {
            return;
        }
    }
}

fn a_duplicate_of_a_descriptor_is_another_one(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    let duplicate = Rc::new(ours.try_clone().unwrap());
    noting_reader(&ev, &ours, &log, "first");
    noting_reader(&ev, &duplicate, &log, "second");
    send(&theirs);
    turns(&mut ev, 1);
    let mut seen = log.take();
    seen.sort();
    assert_eq!(seen, ["first", "second"]);
    ev.remove_reader(&ours);
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["second"]);
}

fn regular_files_and_directories_are_refused(path: Path) {
    let ev = event_loop(path);
    for name in [env!("CARGO_MANIFEST_DIR"), concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
        let file = Rc::new(File::open(name).unwrap());
        let reading = ev.add_reader(Rc::clone(&file), || panic!("called")).unwrap_err();
        let writing = ev.add_writer(Rc::clone(&file), || panic!("called")).unwrap_err();
        assert_eq!([reading.kind(), writing.kind()], [ErrorKind::PermissionDenied; 2], "{name}");
        assert_eq!((Rc::strong_count(&file), ev.statistics().sources), (1, 0), "nothing is left");
        assert!(!ev.remove_reader(&file));
    }
}

fn a_hang_up_calls_both_directions(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    fill(&ours);
    noting_reader(&ev, &ours, &log, "read");
    noting_writer(&ev, &ours, &log, "write");
    turns(&mut ev, 1);
    assert!(log.take().is_empty());
    drop(theirs);
    turns(&mut ev, 2);
    assert_eq!(log.take(), ["read", "write", "read", "write"]);
}

fn a_pipe_that_nobody_reads_calls_its_writer(path: Path) {
    let mut ev = event_loop(path);
    let log = Log::default();
    // The end of a pipe whose reader has ended.
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let writing: Rc<ChildStdin> = Rc::new(reader.stdin.take().unwrap());
    reader.wait().unwrap();
    let (inner, handle, fd) = (log.clone(), ev.handle().clone(), Rc::clone(&writing));
    let writer = move || {
        inner.add(format!("{:?}", (&*fd).write(b"x").map_err(|error| error.kind())));
        handle.remove_writer(&fd);
    };
    ev.add_writer(writing, writer).unwrap();
    turns(&mut ev, 2);
    assert_eq!(log.take(), ["Err(BrokenPipe)"]);
}

fn nobody_spins_on_a_hang_up_that_nobody_watches(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    fill(&ours);
    noting_writer(&ev, &ours, &log, "write");
    noting_reader(&ev, &ours, &log, "read");
    ev.remove_writer(&ours);
    ev.remove_reader(&ours);
    drop(theirs);
    let before = ev.statistics().events;
    turns(&mut ev, 10);
    assert_eq!((ev.statistics().events, log.take()), (before, Vec::new()));
}

fn a_callback_that_panics_is_a_fault_and_stays(path: Path) {
    let mut ev = event_loop(path);
    let ((ours, theirs), log) = (pair(), Log::default());
    ev.add_reader(Rc::clone(&ours), || panic!("clumsy reader")).unwrap();
    noting_writer(&ev, &ours, &log, "write");
    send(&theirs);
    for _ in 0..2 {
        assert_eq!(panic_of(|| turns(&mut ev, 1)), "clumsy reader");
        assert_eq!(log.take(), ["write"], "the other direction is called all the same");
    }
}

fn dropping_the_loop_lets_go_of_every_descriptor(path: Path) {
    let ev = event_loop(path);
    let handle = ev.handle().clone();
    let sockets: Vec<_> = (0..10).map(|_| pair().0).collect();
    let token = Rc::new(());
    for socket in &sockets {
        let held = Rc::clone(&token);
        ev.add_reader(Rc::clone(socket), move || drop(Rc::clone(&held))).unwrap();
    }
    drop(ev);
    assert_eq!(Rc::strong_count(&token), 1);
    assert!(sockets.iter().all(|socket| Rc::strong_count(socket) == 1));
    assert_eq!(handle.statistics().sources, 0);
}
