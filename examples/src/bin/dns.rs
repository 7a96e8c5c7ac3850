//! A tiny DNS server: it answers for a handful of names, and takes questions in batches.
//!
//! A burst of questions is one callback, and the answers to all of them leave by one system call or two.
//! Try `dig @127.0.0.1 -p 5353 one.wharf.test`; another address may be given as the first argument.

use std::io::{self, Write};
use std::net::Ipv4Addr;

use wharf::{Batch, DatagramProtocol, DatagramTransportRef, EventLoop, udp};

/// Whom we know.
const NAMES: [(&str, Ipv4Addr); 2] = [
    ("one.wharf.test", Ipv4Addr::new(192, 0, 2, 1)),
    ("two.wharf.test", Ipv4Addr::new(192, 0, 2, 2)),
];

/// How long an answer may be kept, in seconds.
const TTL: u32 = 60;

/// The id, the flags, and how many questions, answers and other records follow.
const HEADER: usize = 12;

/// Numbers of the protocol.
const ADDRESS: [u8; 2] = [0, 1];
const INTERNET: [u8; 2] = [0, 1];
const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;

#[derive(Default)]
struct NameServer {
    /// The answers to a burst, one after the other; kept for the next one.
    answers: Vec<u8>,
}

impl DatagramProtocol for NameServer {
    fn datagrams_received(&mut self, transport: &DatagramTransportRef, batch: &Batch<'_>) {
        let mut answered = 0;
        for question in batch {
            self.answers.clear();
            // What is no question is left without an answer, as is one whose peer floods us until the queue is full.
            if answer(question.data(), &mut self.answers).is_some()
                && transport.send_to(&self.answers, question.from()).is_ok()
            {
                answered += 1;
            }
        }
        let _ = writeln!(io::stdout(), "answered {answered} of {}", batch.len());
    }
}

/// Writes the answer to `question`, if it is one.
fn answer(question: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let header = question.get(..HEADER)?;
    let (is_response, is_one) = (header[2] & 0x80 != 0, header[4..6] == [0, 1]);
    if is_response || !is_one {
        return None;
    }
    let (name, end) = name(question)?;
    let kind = question.get(end..end + 4)?;
    let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
    let address = known.map(|(_, address)| address.octets());
    let address = address.filter(|_| kind[..2] == ADDRESS && kind[2..] == INTERNET);
    let code = if known.is_some() { NO_ERROR } else { NO_SUCH_NAME };
    // The id; a response of an authority, with recursion where it was wished for; the question once more.
    into.extend_from_slice(&[header[0], header[1], 0x84 | (header[2] & 1), code]);
    into.extend_from_slice(&[0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    into.extend_from_slice(&question[HEADER..end + 4]);
    if let Some(address) = address {
        // The name stands in the question, right after the header.
        into.extend_from_slice(&[0xc0, 12]);
        into.extend_from_slice(&[ADDRESS, INTERNET].concat());
        into.extend_from_slice(&TTL.to_be_bytes());
        into.extend_from_slice(&[0, 4]);
        into.extend_from_slice(&address);
    }
    Some(())
}

/// The name that is asked for, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let len = usize::from(*question.get(at)?);
        at += 1;
        match len {
            0 => return Some((name, at)),
            1..64 => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(std::str::from_utf8(question.get(at..at + len)?).ok()?);
                at += len;
            }
            // A reference to elsewhere, which has no place in a question.
            _ => return None,
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5353".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let (transport, _) =
        ev.block_on(async { udp::bind(&handle, address, NameServer::default).await })?;
    if let Some(address) = transport.local_addr() {
        writeln!(io::stdout(), "listening on {address}")?;
    }
    ev.run_forever()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf::memory::Stage;

    /// A question for the address of `name`.
    fn ask(name: &str) -> Vec<u8> {
        let mut question = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend_from_slice(label.as_bytes());
        }
        question.extend_from_slice(&[0, 0, 1, 0, 1]);
        question
    }

    #[test]
    fn a_burst_of_questions_is_answered_name_by_name() {
        let stage = Stage::new();
        let (transport, _server, client) = stage.datagram_wire(NameServer::default());
        client.send(&ask("One.Wharf.Test"));
        client.send(b"no question");
        client.send(&ask("three.wharf.test"));
        stage.run();
        let answers = client.take();
        assert_eq!(answers.len(), 2);
        assert!(answers[0].starts_with(&[0xab, 0xcd, 0x85, NO_ERROR, 0, 1, 0, 1]));
        assert!(answers[0].ends_with(&[0, 4, 192, 0, 2, 1]));
        assert!(answers[1].starts_with(&[0xab, 0xcd, 0x85, NO_SUCH_NAME, 0, 1, 0, 0]));
        assert_eq!((transport.statistics().receives, transport.statistics().sends), (1, 1));
    }

    #[test]
    fn a_question_that_is_cut_anywhere_is_no_question() {
        let question = ask("one.wharf.test");
        for end in 0..question.len() {
            assert!(answer(&question[..end], &mut Vec::new()).is_none(), "at {end}");
        }
        assert!(answer(&question, &mut Vec::new()).is_some());
    }
}
