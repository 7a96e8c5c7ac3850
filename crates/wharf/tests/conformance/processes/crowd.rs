//! Many children, and much data.

// A notice belongs where the test's reader looks.
#![allow(clippy::print_stderr)]

use std::cell::{Cell, RefCell};
#[cfg(target_os = "linux")]
use std::os::fd::BorrowedFd;
use std::rc::Rc;

#[cfg(target_os = "linux")]
use nix::fcntl::{FcntlArg, fcntl};
#[cfg(target_os = "linux")]
use nix::unistd::Uid;
#[cfg(target_os = "linux")]
use wharf::reactor::stream::SocketView;
use wharf::subprocess::{self, Stdio};
use wharf::{
    Flow, Lost, PipeTransport, SubprocessProtocol, SubprocessTransportRef, WriteTransportRef,
};

use super::hearing::{Call, Heard, from_child, shell, start, to_child};
use crate::servers::process::{alone, open};
use crate::servers::rig::TestLoop;
use crate::support::pattern;

#[test]
fn sp_37_five_hundred_children_at_once_come_and_go() {
    alone(module_path!(), "sp_37_five_hundred_children_at_once_come_and_go", || {
        const MANY: usize = 500;
        let mut ev = TestLoop::new();
        let before = open();
        let all: Vec<Heard> = (0..MANY).map(|_| Heard::new()).collect();
        // All of them live until the last one is there.
        let tasks: Vec<_> = all
            .iter()
            .enumerate()
            .map(|(number, heard)| {
                let line = format!("read x; echo $x; exit {}", number % 200);
                ev.spawn(shell(&ev, heard, &line).stderr(Stdio::Null).into_future())
            })
            .collect();
        ev.until(|| tasks.iter().all(wharf::JoinHandle::is_finished));
        for (number, heard) in all.iter().enumerate() {
            to_child(&heard.transport(), 0).write(format!("{number}\n").as_bytes());
        }
        ev.until(|| all.iter().all(Heard::is_lost));
        for (number, heard) in all.iter().enumerate() {
            assert_eq!(heard.received(1), format!("{number}\n").into_bytes());
            assert_eq!(heard.transport().returncode(), Some(i32::try_from(number % 200).unwrap()));
        }
        drop(tasks);
        assert_eq!(open(), before, "descriptors are left open");
        assert_eq!(ev.statistics().sources, 0);
        let nobody = nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
        assert_eq!(nobody, Err(nix::errno::Errno::ECHILD), "no zombie is left");
    });
}

/// Sends a pattern through a child and holds what comes back against it.
struct Through {
    /// The pattern, long enough to begin anywhere in its period.
    pattern: Vec<u8>,
    size: usize,
    sent: usize,
    received: usize,
    /// The most that was ever queued.
    most: Rc<Cell<usize>>,
}

const CHUNK: usize = 64 * 1024;

/// How much a busy pipe holds, and how much more may be queued for it.
const BUSY: usize = 256 * 1024;

/// No read is longer.
const READ: usize = 256 * 1024;

/// After so many bytes the pattern begins anew.
const PERIOD: usize = 251;

impl Through {
    fn piece(&self, start: usize, len: usize) -> &[u8] {
        &self.pattern[start % PERIOD..][..len]
    }

    fn send(&mut self, stdin: &WriteTransportRef) {
        while self.sent < self.size {
            let count = CHUNK.min(self.size - self.sent);
            let flow = stdin.write(self.piece(self.sent, count));
            self.sent += count;
            self.most.set(self.most.get().max(stdin.write_buffer_len()));
            if flow != Flow::Open {
                return;
            }
        }
        stdin.close();
    }

    fn go_on(&mut self, transport: &SubprocessTransportRef) {
        if let Some(PipeTransport::Write(stdin)) = transport.pipe_transport(0) {
            self.send(&stdin);
        }
    }
}

impl SubprocessProtocol for Through {
    fn connection_made(&mut self, transport: &SubprocessTransportRef) {
        self.go_on(transport);
    }

    fn resume_writing(&mut self, transport: &SubprocessTransportRef, _: i32) {
        self.go_on(transport);
    }

    fn pipe_data_received(&mut self, _: &SubprocessTransportRef, fd: i32, data: &[u8]) {
        assert_eq!(fd, 1);
        assert!(data == self.piece(self.received, data.len()), "the bytes differ");
        self.received += data.len();
    }

    fn connection_lost(&mut self, _: &SubprocessTransportRef, why: &Lost) {
        assert!(matches!(why, Lost::Eof), "{why}");
    }
}

#[test]
fn sp_38_256_mib_go_through_cat_in_bounded_memory_and_come_back_equal() {
    const SIZE: usize = 256 * 1024 * 1024;
    let mut ev = TestLoop::new();
    let most = Rc::new(Cell::new(0));
    let seen = Rc::clone(&most);
    let child = subprocess::exec(&ev, "cat", [""; 0], || Through {
        pattern: pattern(READ + PERIOD),
        size: SIZE,
        sent: 0,
        received: 0,
        most: seen,
    });
    let (transport, protocol) = ev.finish(child).unwrap();
    let finished = ev.spawn(transport.finished());
    while !finished.is_finished() {
        let before = protocol.borrow().received;
        // As long as it moves it may take its time.
        ev.until(|| finished.is_finished() || protocol.borrow().received > before);
    }
    assert_eq!(transport.returncode(), Some(0));
    assert_eq!((protocol.borrow().sent, protocol.borrow().received), (SIZE, SIZE));
    assert!(most.get() <= BUSY + CHUNK, "{} bytes were queued", most.get());
}

/// How much the pipe to or from a child's `fd` holds, by what the system says.
#[cfg(target_os = "linux")]
fn room(transport: &SubprocessTransportRef, fd: i32) -> usize {
    let view = match transport.pipe_transport(fd) {
        Some(PipeTransport::Write(pipe)) => pipe.extra::<SocketView>(),
        Some(PipeTransport::Read(pipe)) => pipe.extra::<SocketView>(),
        _ => None,
    };
    let ask = |pipe: BorrowedFd<'_>| fcntl(pipe, FcntlArg::F_GETPIPE_SZ).unwrap();
    usize::try_from(view.unwrap().with(ask).unwrap()).unwrap()
}

/// Sends a mebibyte through `cat` and gives what the pipes hold in the end.
#[cfg(target_os = "linux")]
fn rooms_after_a_mebibyte(ev: &mut TestLoop) -> [usize; 2] {
    const SIZE: usize = 1024 * 1024;
    let heard = Heard::new();
    let transport = start(ev, &heard, "exec cat");
    let data = pattern(SIZE);
    to_child(&transport, 0).write(&data);
    ev.until(|| heard.received_len(1) == SIZE);
    let rooms = [room(&transport, 0), room(&transport, 1)];
    to_child(&transport, 0).close();
    ev.until(|| heard.is_lost());
    assert!(heard.received(1) == data, "the bytes differ");
    rooms
}

#[cfg(target_os = "linux")]
#[test]
fn sp_42_a_busy_pipe_is_made_to_hold_more_and_an_idle_one_is_not() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exec cat");
    let idle = [room(&transport, 0), room(&transport, 1)];
    to_child(&transport, 0).write(b"a message");
    ev.until(|| heard.received_len(1) > 0);
    assert_eq!([room(&transport, 0), room(&transport, 1)], idle);
    to_child(&transport, 0).close();
    ev.until(|| heard.is_lost());
    let [stdin, _] = rooms_after_a_mebibyte(&mut ev);
    assert_eq!(stdin, BUSY);
}

#[cfg(target_os = "linux")]
#[test]
fn sp_42_where_the_pipes_of_a_user_hold_too_much_a_busy_one_works_as_it_is() {
    const TEST: &str = "sp_42_where_the_pipes_of_a_user_hold_too_much_a_busy_one_works_as_it_is";
    alone(module_path!(), TEST, || {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("notice: only root may become a user of its own; skipped");
            return;
        }
        let mut ev = TestLoop::new();
        // Who has no process and no pipe yet.
        nix::unistd::setuid(Uid::from_raw(64_942)).unwrap();
        let mut hoard = Vec::new();
        loop {
            let ends = nix::unistd::pipe().unwrap();
            if fcntl(&ends.0, FcntlArg::F_SETPIPE_SZ(1 << 20)).is_err() {
                break;
            }
            hoard.push(ends);
            assert!(hoard.len() < 200, "nothing limits the pipes of a user here");
        }
        let rooms = rooms_after_a_mebibyte(&mut ev);
        assert!(rooms.iter().all(|room| *room < BUSY), "{rooms:?}");
    });
}

#[test]
fn sp_38_output_that_nobody_reads_stops_the_child_and_costs_nothing() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    heard.on(Call::Made, |transport| from_child(transport, 1).pause_reading());
    let transport = start(&mut ev, &heard, "yes | head -c 10000000; echo done >&2; exit 6");
    ev.quieten();
    assert_eq!(heard.lines(), ["made"], "it waits for us");
    from_child(&transport, 1).resume_reading();
    ev.until(|| heard.is_lost());
    assert_eq!((heard.received_len(1), heard.received(2)), (10_000_000, b"done\n".to_vec()));
    assert_eq!(transport.returncode(), Some(6));
}

#[test]
fn sp_38_a_child_that_floods_does_not_starve_its_neighbours() {
    let mut ev = TestLoop::new();
    let (flood, still) = (Heard::new(), Heard::new());
    let (turns, seen) = (Rc::new(RefCell::new(0)), Rc::new(Cell::new(0)));
    let counted = Rc::clone(&seen);
    flood.on(Call::Data(1), move |_| counted.set(counted.get() + 1));
    let flooding = start(&mut ev, &flood, "exec yes");
    let transport = start(&mut ev, &still, "cat");
    ev.until(|| seen.get() > 0);
    for round in 1..=20 {
        to_child(&transport, 0).write(b"x");
        ev.until(|| {
            *turns.borrow_mut() += 1;
            still.received_len(1) == round
        });
    }
    flooding.close();
    transport.close();
    ev.until(|| flood.is_lost() && still.is_lost());
}
