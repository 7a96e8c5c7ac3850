//! Pipes that are read.

use std::cell::Cell;
use std::io::{ErrorKind, Write, stdin};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use wharf::FaultPolicy;
use wharf::subprocess::pipe::connect_read;

use super::hearing::{Filler, Heard, Reader, open_read, pipe, read_pipe};
use crate::servers::process::alone;
use crate::servers::rig::TestLoop;
use crate::support::pattern;

/// Writes to the other end; a reader that is gone shows.
fn is_broken(writer: &mut impl Write) -> bool {
    writer.write(b"x").is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[test]
fn pi_02_data_comes_in_order_and_pausing_holds_it_back() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut writer) = read_pipe(&mut ev);
    let sent = pattern(50_000);
    transport.pause_reading();
    assert!(!transport.is_reading());
    writer.write_all(&sent).unwrap();
    ev.quieten();
    assert_eq!(heard.story(), ["made"]);
    transport.resume_reading();
    ev.until(|| heard.data().len() == sent.len());
    assert_eq!(heard.data(), sent);
}

#[test]
fn pi_03_when_the_last_writer_goes_the_rest_comes_then_the_end_then_the_loss() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut writer) = read_pipe(&mut ev);
    let second = writer.try_clone().unwrap();
    writer.write_all(b"the rest").unwrap();
    drop(writer);
    ev.until(|| heard.has("data"));
    ev.quieten();
    assert_eq!(heard.story(), ["made", "data"], "a writer is left");
    drop(second);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "data", "eof", "lost eof"]);
    assert_eq!(heard.data(), b"the rest");
    assert!(transport.is_closing());
}

#[test]
fn pi_03_an_end_while_paused_is_told_after_resuming() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut writer) = read_pipe(&mut ev);
    transport.pause_reading();
    writer.write_all(b"abc").unwrap();
    drop(writer);
    ev.quieten();
    assert_eq!(heard.story(), ["made"]);
    transport.resume_reading();
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "data", "eof", "lost eof"]);
}

#[test]
fn pi_05_close_is_the_loss_without_an_end_and_closes_the_descriptor() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut writer) = read_pipe(&mut ev);
    transport.close();
    assert!(transport.is_closing());
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "lost closed"]);
    assert!(is_broken(&mut writer));
}

#[test]
fn pi_08_a_panic_in_data_received_ends_the_pipe() {
    let mut ev = TestLoop::new();
    let (heard, _transport, mut writer) = read_pipe(&mut ev);
    heard.panic_at_data();
    writer.write_all(b"abc").unwrap();
    // The loop of the tests passes a panic on.
    let turns = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ev.until(|| heard.is_lost());
    }));
    assert!(turns.is_err());
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "data", "lost fault"]);
    assert!(is_broken(&mut writer));
}

#[test]
fn pi_16_an_abort_twice_and_one_after_the_end_are_one_loss() {
    let mut ev = TestLoop::new();
    let (heard, transport, _writer) = read_pipe(&mut ev);
    transport.abort();
    transport.abort();
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "lost aborted"]);

    let (heard, transport, writer) = read_pipe(&mut ev);
    drop(writer);
    ev.until(|| heard.is_lost());
    transport.abort();
    ev.quieten();
    assert_eq!(heard.story(), ["made", "eof", "lost eof"]);
}

#[test]
fn pi_09_a_read_error_ends_the_pipe_without_an_end_and_is_no_fault() {
    let mut ev = TestLoop::new();
    let faults = Rc::new(Cell::new(0));
    let counted = Rc::clone(&faults);
    ev.set_fault_policy(FaultPolicy::report(move |_| counted.set(counted.get() + 1)));
    // Of what can be a pipe, a socket of TCP has errors that a peer can cause.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    let (heard, transport) = open_read(&mut ev, ours).unwrap();
    theirs.write_all(b"abc").unwrap();
    ev.until(|| heard.has("data"));
    SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
    drop(theirs);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "data", "lost ConnectionReset"]);
    assert!(transport.is_closing());
    assert_eq!(faults.get(), 0);
}

#[test]
fn pi_18_a_descriptor_that_the_loop_watches_already_is_refused() {
    alone(module_path!(), "pi_18_a_descriptor_that_the_loop_watches_already_is_refused", || {
        let mut ev = TestLoop::new();
        // The next descriptor is number 0, which stdin is a second name for.
        nix::unistd::close(0).unwrap();
        let (reader, mut writer) = pipe();
        assert_eq!(reader.as_raw_fd(), 0);
        let (heard, transport) = open_read(&mut ev, reader).unwrap();
        let refused = ev.add_reader(stdin(), || {}).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        writer.write_all(b"abc").unwrap();
        ev.until(|| heard.has("data"));
        transport.close();
        ev.until(|| heard.is_lost());
        assert_eq!(heard.story(), ["made", "data", "lost closed"], "the first one is untouched");

        let (reader, _writer) = pipe();
        assert_eq!(reader.as_raw_fd(), 0);
        ev.add_reader(stdin(), || {}).unwrap();
        let heard = Heard::default();
        let (handle, ear) = (ev.handle.clone(), Reader(heard.clone()));
        let refused = ev.finish(connect_read(&handle, reader, ear)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(refused.to_string(), "the loop watches this descriptor already");
        ev.quieten();
        assert_eq!(heard.story(), [""; 0]);
        ev.remove_reader(stdin());
    });
}

#[test]
fn bp_11_a_read_pipe_takes_a_buffered_protocol() {
    let mut ev = TestLoop::new();
    let (reader, mut writer) = pipe();
    let heard = Heard::default();
    let handle = ev.handle.clone();
    ev.finish(connect_read(&handle, reader, Filler::buffered(&heard))).unwrap();
    let sent = pattern(1000);
    writer.write_all(&sent).unwrap();
    drop(writer);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "data", "eof", "lost eof"]);
    assert_eq!(heard.data(), sent);
}

#[test]
fn pi_21_giving_up_before_the_beginning_tells_nothing_and_closes() {
    let mut ev = TestLoop::new();
    let (reader, mut writer) = pipe();
    let heard = Heard::default();
    let handle = ev.handle.clone();
    drop(connect_read(&handle, reader, Reader(heard.clone())));
    assert!(is_broken(&mut writer));

    let (reader, mut writer) = pipe();
    let task = handle.spawn(connect_read(&handle, reader, Reader(heard.clone())).into_future());
    drop(task);
    ev.quieten();
    assert!(heard.story().is_empty());
    assert!(is_broken(&mut writer));
}

#[test]
fn pi_22_the_protocol_is_given_back_by_value_after_the_loss() {
    let mut ev = TestLoop::new();
    let (reader, writer) = pipe();
    let heard = Heard::default();
    let handle = ev.handle.clone();
    let (transport, shared) =
        ev.finish(connect_read(&handle, reader, Reader(heard.clone()))).unwrap();
    drop(writer);
    ev.until(|| heard.is_lost());
    assert!(Rc::try_unwrap(shared).is_ok());
    assert_eq!(transport, transport.clone());
}
