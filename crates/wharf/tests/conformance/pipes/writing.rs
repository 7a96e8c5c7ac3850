//! Pipes that are written.

use std::io::Read;

use wharf::{Flow, Limits};

use super::hearing::write_pipe;
use crate::servers::rig::TestLoop;
use crate::support::pattern;

/// More than a pipe holds.
const MUCH: usize = 3 * 1024 * 1024;

#[test]
fn h_09_write_eof_of_a_write_pipe_is_its_close() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut reader) = write_pipe(&mut ev);
    assert!(transport.can_write_eof());
    transport.write(b"abc");
    transport.write_eof();
    assert!(transport.is_closing());
    assert_eq!(transport.write(b"def"), Flow::Closed);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "lost closed"]);
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"abc");
}

#[test]
fn pi_10_a_full_pipe_pauses_the_protocol_and_an_emptied_one_resumes_it() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut reader) = write_pipe(&mut ev);
    transport.set_write_buffer_limits(Limits::new(1000, 100).unwrap());
    let sent = pattern(MUCH);
    assert_eq!(transport.write(&sent), Flow::Full);
    ev.until(|| heard.has("pause"));
    let got = std::thread::spawn(move || {
        let mut got = vec![0; MUCH];
        reader.read_exact(&mut got).unwrap();
        (got, reader)
    });
    ev.until(|| heard.has("resume"));
    assert_eq!(heard.story(), ["made", "pause", "resume"]);
    ev.until(|| transport.write_buffer_len() == 0);
    assert_eq!(got.join().unwrap().0, sent);
}

#[test]
fn pi_11_a_reader_that_goes_is_noticed_without_a_write() {
    let mut ev = TestLoop::new();
    let (heard, transport, reader) = write_pipe(&mut ev);
    ev.quieten();
    assert_eq!(heard.story(), ["made"]);
    drop(reader);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "lost eof"]);
    assert!(transport.is_closing());
}

#[test]
fn pi_12_a_reader_that_goes_while_something_is_queued_breaks_the_pipe() {
    let mut ev = TestLoop::new();
    let (heard, transport, reader) = write_pipe(&mut ev);
    transport.write(&pattern(MUCH));
    ev.quieten();
    assert!(transport.write_buffer_len() > 0);
    drop(reader);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story(), ["made", "pause", "lost BrokenPipe"]);
    assert_eq!(transport.write_buffer_len(), 0);
}

#[test]
fn pi_13_close_flushes_first() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut reader) = write_pipe(&mut ev);
    let sent = pattern(MUCH);
    transport.write(&sent);
    transport.close();
    ev.quieten();
    assert!(!heard.is_lost());
    let got = std::thread::spawn(move || {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        got
    });
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story().last().unwrap(), "lost closed");
    assert_eq!(got.join().unwrap(), sent);
}

#[test]
fn pi_13_abort_drops_what_is_queued() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut reader) = write_pipe(&mut ev);
    transport.write(&pattern(MUCH));
    transport.abort();
    ev.until(|| heard.is_lost());
    assert_eq!(heard.story().last().unwrap(), "lost aborted");
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    assert!(got.len() < MUCH);
}

#[test]
fn pi_15_a_write_after_close_or_loss_answers_closed_and_goes_nowhere() {
    let mut ev = TestLoop::new();
    let (heard, transport, mut reader) = write_pipe(&mut ev);
    transport.close();
    assert_eq!(transport.write(b"late"), Flow::Closed);
    ev.until(|| heard.is_lost());
    assert_eq!(transport.write(b"later"), Flow::Closed);
    assert_eq!(transport.write_buffer_len(), 0);
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    assert!(got.is_empty());
}

#[test]
fn pi_16_an_abort_after_the_reader_has_gone_is_no_second_loss() {
    let mut ev = TestLoop::new();
    let (heard, transport, reader) = write_pipe(&mut ev);
    drop(reader);
    ev.until(|| heard.is_lost());
    transport.abort();
    transport.abort();
    ev.quieten();
    assert_eq!(heard.story(), ["made", "lost eof"]);
}
