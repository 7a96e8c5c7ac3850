//! Rows of the conformance suite: terminals, and FIFOs.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use wharf::reactor::stream::SocketView;
use wharf::subprocess::pty::{self, WindowSize};
use wharf::subprocess::{self, open_fifo_read, open_fifo_write};
use wharf::{KeepOpen, LoopHandle, TransportRef};

use crate::processes::hearing::Heard;
use crate::servers::rig::{Story, TestLoop};
use crate::support::Folder;

/// Puts a protocol on a master.
fn connect(ev: &mut TestLoop, master: OwnedFd, story: &Story, keep: KeepOpen) -> TransportRef {
    async fn connect(handle: LoopHandle, master: OwnedFd, story: Story, keep: KeepOpen) {
        let factory = || {
            let mut teller = story.teller();
            teller.keep = keep;
            teller
        };
        pty::connect(&handle, master, factory).await.unwrap();
    }
    ev.finish(connect(ev.handle.clone(), master, story.clone(), keep));
    story.last_transport()
}

/// A terminal that passes bytes on as they are: its slave, and its master as a transport.
fn raw_terminal(ev: &mut TestLoop, story: &Story, keep: KeepOpen) -> (File, TransportRef) {
    let (master, slave) = pty::open().unwrap();
    pty::set_raw(&slave).unwrap();
    (File::from(slave), connect(ev, master, story, keep))
}

#[test]
fn pi_06_the_end_of_a_terminals_slaves_is_its_end_whatever_is_answered() {
    for keep in [KeepOpen::No, KeepOpen::Yes] {
        let mut ev = TestLoop::new();
        let story = Story::new();
        let (mut slave, transport) = raw_terminal(&mut ev, &story, keep);
        assert!(!transport.can_write_eof());
        transport.write_eof();
        transport.write(b"typed");
        ev.until(|| transport.write_buffer_len() == 0);
        let mut typed = [0; 5];
        slave.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"typed");
        slave.write_all(b"printed").unwrap();
        drop(slave);
        ev.until(|| story.lost() == 1);
        assert_eq!(story.received(0), b"printed");
        assert_eq!(story.lines(), ["0 made", "0 data", "0 eof", "0 lost eof"]);
        story.forget_transports();
    }
}

#[test]
fn pi_06_what_a_terminal_without_slaves_does_not_take_is_told_as_an_error() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let (slave, transport) = raw_terminal(&mut ev, &story, KeepOpen::No);
    // Nothing is read, so nothing but a write can meet the end.
    transport.pause_reading();
    transport.write(&[b'x'; 200_000]);
    ev.quieten();
    assert!(transport.write_buffer_len() > 0);
    drop(slave);
    ev.until(|| story.lost() == 1);
    assert_eq!(story.errors(), [ErrorKind::BrokenPipe]);
    assert_eq!(story.count("eof"), 0);
    story.forget_transports();
}

#[test]
fn pi_06_what_is_no_master_is_refused() {
    let mut ev = TestLoop::new();
    let (_master, slave) = pty::open().unwrap();
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    for fd in [slave, null] {
        let story = Story::new();
        let (handle, factory) = (ev.handle.clone(), story.factory());
        let refused =
            ev.finish(async move { pty::connect(&handle, fd, factory).await.map(|_| ()) });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(story.born(), 0);
    }
}

#[test]
fn pi_14_a_paused_terminal_hears_of_its_end_once_it_reads_on() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let (slave, transport) = raw_terminal(&mut ev, &story, KeepOpen::No);
    transport.pause_reading();
    ev.turn();
    drop(slave);
    ev.quieten();
    // Another slave may be opened, so writing is no error; nor is the loop kept awake.
    transport.write(b"into the void");
    ev.quieten();
    let events = ev.statistics().events;
    ev.quieten();
    assert_eq!(ev.statistics().events, events);
    assert_eq!(story.lines(), ["0 made"]);
    transport.resume_reading();
    ev.until(|| story.lost() == 1);
    assert_eq!(story.lines(), ["0 made", "0 eof", "0 lost eof"]);
    story.forget_transports();
}

/// Runs a line of shell in a terminal.
fn shell_in(ev: &mut TestLoop, slave: OwnedFd, line: &str) -> Heard {
    let heard = Heard::new();
    let child = subprocess::shell(&ev.handle, line, heard.factory()).terminal(slave);
    ev.finish(async move { child.await.map(|_| ()) }).unwrap();
    heard
}

#[test]
fn sp_25_a_child_has_a_terminal_of_its_own() {
    let mut ev = TestLoop::new();
    let (master, slave) = pty::open().unwrap();
    let size = WindowSize { rows: 33, columns: 99 };
    pty::set_window_size(&master, size).unwrap();
    assert_eq!(pty::window_size(&slave).unwrap(), size);
    let story = Story::new();
    let transport = connect(&mut ev, master, &story, KeepOpen::No);
    let line =
        "test -t 0 && test -t 1 && test -t 2 && echo ready >/dev/tty; stty size; cat; stty size";
    let heard = shell_in(&mut ev, slave, line);
    ev.until(|| story.received(0) == b"ready\r\n33 99\r\n");
    let smaller = WindowSize { rows: 11, columns: 22 };
    let view = transport.extra::<SocketView>().unwrap();
    view.with(|master| pty::set_window_size(master, smaller)).unwrap().unwrap();
    transport.write(&[pty::END_OF_INPUT]);
    ev.until(|| story.lost() == 1 && heard.is_lost());
    assert!(story.received(0).ends_with(b"11 22\r\n"));
    assert_eq!(story.count("lost eof"), 1);
    story.forget_transports();
}

#[test]
fn sp_25_what_is_typed_into_a_terminal_reaches_the_child_as_a_signal() {
    let mut ev = TestLoop::new();
    let (master, slave) = pty::open().unwrap();
    let story = Story::new();
    let transport = connect(&mut ev, master, &story, KeepOpen::No);
    let heard = shell_in(&mut ev, slave, "trap 'echo interrupted; exit 7' INT; echo ready; read x");
    ev.until(|| story.received_len(0) > 0);
    // Control-C.
    transport.write(&[3]);
    ev.until(|| story.lost() == 1 && heard.is_lost());
    assert!(story.received(0).ends_with(b"interrupted\r\n"));
    assert_eq!(heard.transport().returncode(), Some(7));
    story.forget_transports();
}

#[test]
fn sp_25_closing_the_master_hangs_the_child_up() {
    let mut ev = TestLoop::new();
    let (master, slave) = pty::open().unwrap();
    let story = Story::new();
    let transport = connect(&mut ev, master, &story, KeepOpen::No);
    let heard = shell_in(&mut ev, slave, "echo ready; exec sleep 1000");
    ev.until(|| story.received_len(0) > 0);
    transport.close();
    ev.until(|| story.lost() == 1 && heard.is_lost());
    assert_eq!(heard.transport().returncode(), Some(-(nix::libc::SIGHUP)));
    assert_eq!(story.count("lost closed"), 1);
    story.forget_transports();
}

#[test]
fn sp_25_what_is_no_terminal_fails_the_start() {
    let mut ev = TestLoop::new();
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    let heard = Heard::new();
    let child = subprocess::shell(&ev.handle, "true", heard.factory()).terminal(null);
    ev.finish(async move { child.await.map(|_| ()) }).unwrap_err();
    assert!(heard.lines().is_empty());
}

#[test]
fn pi_19_a_fifo_for_reading_and_writing_never_ends() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let error = open_fifo_write(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.to_string().contains("fifo"), "{error}");
    // Its end is what there is to read when no writer is left.
    let mut reader = File::from(open_fifo_read(&path).unwrap());
    drop(open_fifo_write(&path).unwrap());
    let mut buffer = [0; 8];
    assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    let _both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut writer = File::from(open_fifo_write(&path).unwrap());
    writer.write_all(b"more").unwrap();
    drop(writer);
    assert_eq!(reader.read(&mut buffer).unwrap(), 4);
    assert_eq!(reader.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn pi_19_what_is_no_fifo_is_refused() {
    let folder = Folder::new();
    let path = folder.join("file");
    File::create(&path).unwrap();
    assert_eq!(open_fifo_read(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(open_fifo_write(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
    let missing = open_fifo_read(folder.join("missing")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}
