//! Conversations in memory: whole, cut in two at each position, and byte by byte.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use wharf::TransportRef;
use wharf::memory::{Seen, Stage, Wire};

use super::Connection;
use crate::limits::Limits;
use crate::site::Site;

struct Client {
    site: Rc<Site>,
    stage: Stage,
    transport: TransportRef,
    connection: Rc<RefCell<Connection>>,
    wire: Wire,
}

impl Client {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let (site, stage) = (Site::new(limits), Stage::new());
        let (transport, connection, wire) = stage.wire(Connection::new(&site));
        Self { site, stage, transport, connection, wire }
    }

    fn send(&self, bytes: &[u8]) {
        self.wire.send(bytes);
        self.stage.run();
    }

    /// What is answered, without the dates.
    fn ask(&self, request: &str) -> String {
        self.send(request.as_bytes());
        self.answers()
    }

    fn answers(&self) -> String {
        without_dates(&self.wire.take())
    }

    /// Everything that is answered to a client that reads only now.
    fn rest(&self) -> Vec<u8> {
        let mut rest = Vec::new();
        while self.wire.waiting() > 0 {
            rest.extend(self.wire.take());
            self.stage.run();
        }
        rest
    }

    /// What is kept for it.
    fn kept(&self) -> usize {
        self.connection.borrow().input.capacity() + self.transport.write_buffer_len()
    }
}

fn without_dates(answers: &[u8]) -> String {
    let text = String::from_utf8_lossy(answers);
    let lines = text.split_inclusive('\n').filter(|line| !line.starts_with("Date: "));
    lines.collect()
}

/// What is answered to `request` by a client that then waits, and how the stream looks to it; the same however it is cut.
#[track_caller]
fn conversation(request: &str) -> (String, Seen) {
    let talk = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let client = Client::new();
        for piece in pieces {
            client.send(piece);
        }
        let answers = client.answers();
        // Where the pieces of a chunked answer end depends on where those of the request do.
        (joined(&answers), client.wire.seen())
    };
    let bytes = request.as_bytes();
    let whole = talk(&mut [bytes].into_iter());
    assert_eq!(talk(&mut bytes.chunks(1)), whole, "{request:?}, byte by byte");
    for at in 1..bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(talk(&mut [first, second].into_iter()), whole, "{request:?}, cut at {at}");
    }
    whole
}

/// Puts the chunks of a chunked answer together.
fn joined(answers: &str) -> String {
    let Some((before, mut rest)) = answers.split_once("Transfer-Encoding: chunked\r\n\r\n") else {
        return answers.to_owned();
    };
    let mut text = format!("{before}chunked: ");
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk begins with its size");
        text += &after[..size];
        rest = after[size..].strip_prefix("\r\n").expect("a chunk ends");
        if size == 0 {
            break;
        }
    }
    text + "\n" + &joined(rest)
}

const HELLO: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

fn refusal(status: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{status}",
        status.len()
    )
}

#[test]
fn requests_are_answered_in_their_order_and_the_connection_stays() {
    let get = "GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(conversation(get), (HELLO.into(), Seen::Open));
    let pipelined = "GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n\
         HEAD /plaintext HTTP/1.1\r\nHost: x\r\n\r\nDELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n\
         GET /bytes/3 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /bytes/9 HTTP/1.1\r\nHost: x\r\n\r\n";
    let (answers, seen) = conversation(pipelined);
    let expected = [
        HELLO,
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n404 Not Found",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n",
        "HTTP/1.1 405 Method Not Allowed\r\nAllow: POST, PUT\r\nContent-Type: text/plain\r\n\
         Content-Length: 22\r\n\r\n405 Method Not Allowed",
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\n012",
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 9\r\n\r\n",
    ];
    assert_eq!((answers, seen), (expected.concat(), Seen::Open));
}

#[test]
fn bodies_are_sent_back_framed_as_they_came() {
    let echo = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloPUT /echo HTTP/1.1\r\nHost: x\r\n\
         Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n\
         POST /echo HTTP/1.1\r\nHost: x\r\n\r\nGET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n";
    let expected = format!(
        "{head}Content-Length: 5\r\n\r\nhello{head}chunked: abcde\n{head}Content-Length: 0\r\n\r\n{HELLO}"
    );
    assert_eq!(conversation(echo), (expected, Seen::Open));
}

#[test]
fn a_body_that_nobody_wants_is_read_and_is_no_request() {
    let request = "GET /plaintext HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n\r\n\
         GET /plaintext HTTP/1.1\r\nHost: y\r\n\r\n\r\nGET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(conversation(request), ([HELLO, HELLO].concat(), Seen::Open));
}

#[test]
fn a_client_that_waits_to_send_its_body_is_told_to_go_on_or_the_answer() {
    let client = Client::new();
    let head =
        "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(client.ask(head), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.ask("ok").ends_with("\r\n\r\nok"));
    let head =
        "POST /none HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert!(client.ask(head).starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert_eq!(client.wire.seen(), Seen::Eof);
    let client = Client::new();
    let head = "PUT /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999999999\r\n\r\n";
    assert_eq!(client.ask(head), refusal("413 Content Too Large"));
    let client = Client::new();
    // Of a client of HTTP/1.0 it is not expected that it understands.
    let head = "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(client.ask(head), "");
    assert!(client.ask("ok").ends_with("Connection: close\r\n\r\nok"));
}

#[test]
fn the_connection_ends_when_the_client_says_so_and_what_follows_is_not_done() {
    let closed = HELLO.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let told = HELLO.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n");
    let cases = [
        ("GET /plaintext HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", closed.clone()),
        ("GET /plaintext HTTP/1.0\r\n\r\n", closed.clone()),
        (
            "GET /plaintext HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /plaintext HTTP/1.0\r\n\r\n",
            [told, closed].concat(),
        ),
    ];
    for (request, answer) in cases {
        let more = format!("{request}GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(conversation(&more), (answer, Seen::Eof), "{request:?}");
    }
}

#[test]
fn what_is_wrong_is_named_after_the_answers_before_it_and_ends_the_connection() {
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\nHost: x\n\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "400 Bad Request"),
        (
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
            "400 Bad Request",
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "400 Bad Request",
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n",
            "400 Bad Request",
        ),
        ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", "501 Not Implemented"),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", "505 HTTP Version Not Supported"),
    ];
    for (request, status) in cases {
        let request = format!("GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n{request}");
        let expected = format!("{HELLO}{}", refusal(status));
        assert_eq!(conversation(&request), (expected, Seen::Eof), "{request:?}");
    }
    let client = Client::new();
    let long = "a: ".to_owned() + &"b".repeat(16 * 1024);
    let answer = client.ask(&format!("GET / HTTP/1.1\r\n{long}"));
    assert_eq!(answer, refusal("431 Request Header Fields Too Large"));
}

#[test]
fn a_body_that_breaks_after_the_answer_has_begun_leaves_the_answer_unfinished() {
    let client = Client::new();
    let answer = client.ask(
        "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nno chunk\r\n",
    );
    assert!(answer.ends_with("\r\n\r\n2\r\nhi\r\n"), "{answer:?}");
    assert_eq!(client.wire.seen(), Seen::Eof);
}

#[test]
fn a_client_that_ends_its_side_gets_what_it_asked_for() {
    let client = Client::new();
    client.wire.send(b"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n");
    client.wire.shutdown();
    client.stage.run();
    assert_eq!(client.answers(), HELLO);
    assert_eq!(client.wire.seen(), Seen::Eof);
    // Half a request is none, and half a body neither.
    for half in ["GET / HTT", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"] {
        let client = Client::new();
        client.wire.send(half.as_bytes());
        client.wire.shutdown();
        client.stage.run();
        assert_eq!(client.answers(), refusal("400 Bad Request"), "{half:?}");
    }
}

#[test]
fn what_is_still_sent_after_a_refusal_is_swallowed_until_the_client_ends() {
    let client = Client::new();
    let head = "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n";
    client.ask(head);
    for _ in 0..100 {
        client.send(&[b'x'; 64 * 1024]);
    }
    assert_eq!(client.wire.unread(), 0);
    assert!(client.kept() < 1024, "{} bytes are kept", client.kept());
    assert_eq!(client.wire.seen(), Seen::Eof, "the answer would be lost by a reset");
    assert_eq!(client.stage.connections(), 1);
    client.wire.shutdown();
    client.stage.run();
    assert_eq!(client.stage.connections(), 0);
}

#[test]
fn nobody_is_waited_for_for_ever() {
    let limits = Limits::default();
    let almost = Duration::from_millis(1);
    // Between requests.
    let client = Client::new();
    client.ask("GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n");
    client.stage.advance(limits.idle_time - almost);
    assert_eq!(client.stage.connections(), 1);
    client.stage.advance(almost);
    assert_eq!((client.answers().as_str(), client.stage.connections()), ("", 0));
    // For a head, however eagerly its bytes drip.
    let client = Client::new();
    client.stage.advance(limits.idle_time / 2);
    client.send(b"GET / HTTP/1.1\r\n");
    for _ in 0..9 {
        client.send(b"x");
        client.stage.advance(limits.head_time / 10);
    }
    client.stage.advance(limits.head_time / 10 - almost);
    assert_eq!(client.answers(), "");
    client.stage.advance(almost);
    assert_eq!(client.answers(), refusal("408 Request Timeout"));
    // For the goodbye that should follow.
    assert_eq!(client.stage.connections(), 1);
    client.send(b"x");
    client.stage.advance(limits.linger_time);
    assert_eq!(client.stage.connections(), 0);
    // For a body: each piece has its time.
    let client = Client::new();
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
    for _ in 0..2 {
        client.send(b"x");
        client.stage.advance(limits.body_time - almost);
        assert_eq!(client.answers(), "");
    }
    client.stage.advance(almost);
    assert_eq!(client.answers(), refusal("408 Request Timeout"));
}

#[test]
fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_little_is_not() {
    let limits = Limits::default();
    let client = Client::new();
    client.wire.set_capacity(1024);
    client.send(b"GET /bytes/1000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..3 {
        assert!(!client.wire.take().is_empty());
        client.stage.run();
        client.stage.advance(limits.send_time);
        assert_eq!(client.stage.connections(), 1);
    }
    client.stage.advance(limits.send_time);
    client.stage.advance(limits.send_time);
    assert_eq!(client.stage.connections(), 0);
}

#[test]
fn a_client_that_never_reads_costs_little_and_loses_nothing_if_it_does() {
    let client = Client::new();
    client.wire.set_capacity(1024);
    client.wire.limit_reads(8 * 1024);
    let asked = 5_000;
    client.send("GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n".repeat(asked).as_bytes());
    assert!(client.wire.unread() > 0, "everything was read");
    assert!(client.kept() < 128 * 1024, "{} bytes are kept", client.kept());
    let answers = without_dates(&client.rest());
    assert!(answers == HELLO.repeat(asked), "{} bytes came", answers.len());
    assert_eq!(client.kept(), 0, "an idle connection keeps something");
}

#[test]
fn a_page_of_any_size_is_written_no_faster_than_it_is_taken() {
    let client = Client::new();
    client.wire.set_capacity(10_000);
    client.send(
        b"GET /bytes/3000000 HTTP/1.1\r\nHost: x\r\n\r\nGET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert!(client.kept() < 128 * 1024, "{} bytes are kept", client.kept());
    let answers = without_dates(&client.rest());
    let (_, page) = answers.split_once("\r\n\r\n").unwrap();
    let page = page.strip_suffix(HELLO).unwrap();
    assert_eq!(page.len(), 3_000_000);
    let line = String::from_utf8_lossy(&super::PATTERN[..64]).into_owned();
    assert!(page.as_bytes().chunks(64).all(|piece| line.as_bytes().starts_with(piece)));
}

#[test]
fn a_body_is_echoed_no_faster_than_the_client_reads() {
    for framing in ["Content-Length: 2000000", "Transfer-Encoding: chunked"] {
        let client = Client::new();
        client.wire.set_capacity(10_000);
        let piece = "x".repeat(20_000);
        client.send(format!("PUT /echo HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n").as_bytes());
        for _ in 0..100 {
            if framing.starts_with('T') {
                client.wire.send(format!("4e20\r\n{piece}\r\n").as_bytes());
            } else {
                client.wire.send(piece.as_bytes());
            }
        }
        client.stage.run();
        assert!(client.wire.unread() > 1_000_000, "{} bytes are unread", client.wire.unread());
        assert!(client.kept() < 256 * 1024, "{} bytes are kept", client.kept());
        if framing.starts_with('T') {
            client.wire.send(b"0\r\n\r\n");
        }
        let answers = joined(&without_dates(&client.rest()));
        assert_eq!(answers.bytes().filter(|&byte| byte == b'x').count(), 2_000_000);
    }
}

#[test]
fn a_long_burst_lets_others_have_their_turn() {
    let client = Client::with(Limits { burst: 10, ..Limits::default() });
    client.wire.send("HEAD /plaintext HTTP/1.1\r\nHost: x\r\n\r\n".repeat(25).as_bytes());
    let count = || client.answers().matches("200 OK").count();
    let mut turns = Vec::new();
    while turns.iter().sum::<usize>() < 25 {
        assert!(client.stage.turn(), "{turns:?}");
        turns.push(count());
    }
    assert_eq!(turns.iter().filter(|&&count| count > 0).collect::<Vec<_>>(), [&10, &10, &5]);
    assert!(client.transport.is_reading());
}

#[test]
fn a_server_that_stops_finishes_what_has_begun() {
    let client = Client::new();
    let idle = client.stage.wire(Connection::new(&client.site));
    client.stage.run();
    client.send(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n");
    client.site.stop();
    client.stage.run();
    assert_eq!(idle.2.seen(), Seen::Eof);
    assert_eq!(client.wire.seen(), Seen::Open);
    assert!(client.ask("ok").ends_with("Connection: close\r\n\r\nok"));
    assert_eq!(client.wire.seen(), Seen::Eof);
}
