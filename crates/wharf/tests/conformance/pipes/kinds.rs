//! What can be a pipe's descriptor, and what cannot.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;

use super::hearing::{open_read, open_write, pipe};
use crate::servers::rig::TestLoop;
use crate::support::Folder;

fn fifo(folder: &Folder) -> File {
    let path = folder.join("fifo");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[test]
fn pi_01_a_pipe_becomes_non_blocking_and_belongs_to_the_transport() {
    let mut ev = TestLoop::new();
    let (reader, mut writer) = pipe();
    let twin = reader.try_clone().unwrap();
    let (heard, transport) = open_read(&mut ev, reader).unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&twin, FcntlArg::F_GETFL).unwrap());
    assert!(flags.contains(OFlag::O_NONBLOCK));
    drop(twin);
    transport.close();
    ev.until(|| heard.is_lost());
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn pi_01_sockets_are_read_and_written_one_way() {
    let mut ev = TestLoop::new();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (heard, _transport) = open_read(&mut ev, ours).unwrap();
    theirs.write_all(b"abc").unwrap();
    drop(theirs);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "data", "eof", "lost eof"]);

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (heard, transport) = open_write(&mut ev, ours).unwrap();
    // What the peer says is not its going.
    theirs.write_all(b"never read").unwrap();
    ev.quieten();
    assert_eq!(heard.story(), ["made"]);
    transport.write(b"abc");
    ev.turn();
    let mut got = [0; 3];
    theirs.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"abc");
    drop(theirs);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "lost eof"]);
}

#[test]
fn pi_01_a_fifo_is_written_and_read() {
    let mut ev = TestLoop::new();
    let folder = Folder::new();
    let both = fifo(&folder);
    let reader = File::open(folder.join("fifo")).unwrap();
    let writer = OpenOptions::new().write(true).open(folder.join("fifo")).unwrap();
    drop(both);
    let (read, _source) = open_read(&mut ev, reader).unwrap();
    let (written, sink) = open_write(&mut ev, writer).unwrap();
    sink.write(b"abc");
    sink.close();
    ev.until(|| read.is_lost() && written.is_lost());
    assert_eq!(read.data(), b"abc");
    assert_eq!(read.story(), ["made", "data", "eof", "lost eof"]);
    assert_eq!(written.story(), ["made", "lost closed"]);
}

#[test]
fn pi_19_a_fifo_that_is_open_both_ways_never_ends_by_itself() {
    let mut ev = TestLoop::new();
    let folder = Folder::new();
    let both = fifo(&folder);
    let mut writer = OpenOptions::new().write(true).open(folder.join("fifo")).unwrap();
    let (heard, _transport) = open_read(&mut ev, both.try_clone().unwrap()).unwrap();
    writer.write_all(b"abc").unwrap();
    drop(writer);
    drop(both);
    ev.until(|| heard.has("data"));
    ev.quieten();
    assert_eq!(heard.story(), ["made", "data"]);
}

#[test]
fn pi_19_what_is_in_a_fifo_that_is_written_is_not_its_end() {
    let mut ev = TestLoop::new();
    let folder = Folder::new();
    let both = fifo(&folder);
    let (heard, transport) = open_write(&mut ev, both).unwrap();
    transport.write(b"stays in it");
    ev.quieten();
    assert_eq!(heard.story(), ["made"]);
    assert!(!transport.is_closing());
}

#[test]
fn pi_07_files_and_folders_are_refused_with_what_to_do_instead() {
    let mut ev = TestLoop::new();
    let folder = Folder::new();
    let file = File::create(folder.join("file")).unwrap();
    let directory = File::open(folder.path()).unwrap();
    for (fd, name) in [(file, "a regular file"), (directory, "a directory")] {
        let refused = open_read(&mut ev, fd.try_clone().unwrap()).err().unwrap();
        for error in [refused, open_write(&mut ev, fd).err().unwrap()] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(text.starts_with(name), "{text}");
            assert!(text.contains("spawn_blocking") && text.contains("sendfile"), "{text}");
        }
    }
}

#[test]
fn pi_07_the_wrong_end_of_a_pipe_is_refused() {
    let mut ev = TestLoop::new();
    let (reader, writer) = pipe();
    let error = open_read(&mut ev, writer).err().unwrap();
    assert_eq!(error.to_string(), "the descriptor is open for writing only");
    let error = open_write(&mut ev, reader).err().unwrap();
    assert_eq!(error.to_string(), "the descriptor is open for reading only");
}

#[test]
fn pi_14_a_character_device_is_written_without_being_watched() {
    let mut ev = TestLoop::new();
    // The system refuses to wait for it, so this works only as long as nothing does.
    let null: OwnedFd = OpenOptions::new().write(true).open("/dev/null").unwrap().into();
    let (heard, transport) = open_write(&mut ev, null).unwrap();
    transport.write(b"abc");
    ev.quieten();
    assert_eq!(heard.story(), ["made"]);
    transport.close();
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "lost closed"]);
}
