//! One client's connection: bytes become requests, and replies become bytes.
//!
//! While replies are not taken nothing more is read, and no request is done that has come already.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use wharf::{Flow, Lost, Protocol, Scheduler, TransportRef};
use wharf_examples::output::Output;

use crate::commands::{self, After, Reply};
use crate::resp::Parser;
use crate::store::Store;

/// How long a client that is refused is heard out.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What all connections share.
#[derive(Default)]
pub(crate) struct Shared {
    store: RefCell<Store>,
    /// Where replies are gathered; one connection at a time works with it, so idle ones need none.
    space: Cell<Vec<u8>>,
}

pub(crate) struct Connection {
    shared: Rc<Shared>,
    parser: Parser,
    /// What has come and waits: a part of a request, or what there is no room to answer.
    input: Vec<u8>,
    /// Where time comes from; there while the connection is.
    scheduler: Option<Rc<dyn Scheduler>>,
    paused: bool,
}

impl Connection {
    pub(crate) fn new(shared: Rc<Shared>) -> Self {
        let parser = Parser::default();
        Self { shared, parser, input: Vec::new(), scheduler: None, paused: false }
    }

    /// Goes on with what waits.
    fn go_on(&mut self, transport: &TransportRef) {
        let mut input = std::mem::take(&mut self.input);
        let used = self.work(transport, &input);
        input.drain(..used);
        if !input.is_empty() {
            self.input = input;
        }
    }

    /// Does what was asked for, until the replies are too many or there is no request left; says how much was used.
    fn work(&mut self, transport: &TransportRef, input: &[u8]) -> usize {
        let Some(scheduler) = &self.scheduler else { return input.len() };
        let now = scheduler.now();
        let mut store = self.shared.store.borrow_mut();
        store.expire(now);
        let mut output = Output::new(transport, self.shared.space.take());
        let mut rest = input;
        let (mut is_over, mut is_refused) = (false, false);
        while !is_over && output.is_open() {
            match self.parser.next(rest) {
                Ok(None) => break,
                Ok(Some(request)) => {
                    rest = &rest[request.bytes()..];
                    is_over =
                        commands::execute(&mut store, request, now, &mut output) == After::Quit;
                }
                Err(error) => {
                    Reply::Error(error.message().into()).write(&mut output);
                    (is_over, is_refused) = (true, true);
                }
            }
        }
        let (flow, space) = output.finish();
        self.shared.space.set(space);
        if is_refused {
            // The client may be in the midst of a command, and is to hear why it goes no further.
            transport.close_lingering(LAST_WORDS);
            return input.len();
        }
        if is_over {
            transport.close();
            return input.len();
        }
        match (flow, self.paused) {
            (Flow::Open, true) => transport.resume_reading(),
            (Flow::Full, false) => transport.pause_reading(),
            _ => {}
        }
        self.paused = flow == Flow::Full;
        input.len() - rest.len()
    }
}

impl Protocol for Connection {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.scheduler = Some(transport.scheduler());
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        if self.input.is_empty() {
            let used = self.work(transport, data);
            self.input.extend_from_slice(&data[used..]);
        } else {
            self.input.extend_from_slice(data);
            self.go_on(transport);
        }
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        // A close drains too, and what follows a QUIT is not done.
        if !transport.is_closing() {
            self.go_on(transport);
        }
    }

    fn connection_lost(&mut self, _: &TransportRef, _: &Lost) {
        self.scheduler = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf::memory::{Seen, Stage, Wire};

    fn client() -> (Stage, Wire) {
        let stage = Stage::new();
        let (_, _, wire) = stage.wire(Connection::new(Rc::default()));
        (stage, wire)
    }

    /// What is answered, as text.
    fn ask(stage: &Stage, wire: &Wire, request: &str) -> String {
        wire.send(request.as_bytes());
        stage.run();
        String::from_utf8(wire.take()).unwrap()
    }

    #[test]
    fn commands_are_answered_as_redis_answers() {
        let (stage, wire) = client();
        let cases = [
            ("PING\r\n", "+PONG\r\n"),
            ("*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n", "$2\r\nhi\r\n"),
            ("SET n 9\r\nGET n\r\nGET none\r\n", "+OK\r\n$1\r\n9\r\n$-1\r\n"),
            ("INCR n\r\nINCR new\r\nDBSIZE\r\n", ":10\r\n:1\r\n:2\r\n"),
            ("DEL n new none\r\nEXISTS n\r\n", ":2\r\n:0\r\n"),
            ("SET n x\r\nINCR n\r\n", "+OK\r\n-ERR value is not an integer or out of range\r\n"),
            ("GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"),
            ("*1\r\n$4\r\na\r\nb\r\n", "-ERR unknown command 'a??b'\r\n"),
            ("SET n 1 EX 0\r\n", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET n 1 WHEN\r\n", "-ERR syntax error\r\n"),
            ("CONFIG GET save\r\nCOMMAND DOCS\r\n", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n*0\r\n"),
        ];
        for (request, answer) in cases {
            assert_eq!(ask(&stage, &wire, request), answer, "{request}");
        }
        let last = format!("SET n {}\r\nINCR n\r\n", i64::MAX);
        assert!(ask(&stage, &wire, &last).ends_with("would overflow\r\n"));
    }

    #[test]
    fn keys_expire_by_the_clock_of_the_loop() {
        let (stage, wire) = client();
        assert_eq!(ask(&stage, &wire, "SET k v\r\nTTL k\r\nTTL none\r\n"), "+OK\r\n:-1\r\n:-2\r\n");
        assert_eq!(ask(&stage, &wire, "EXPIRE k 10\r\nTTL k\r\n"), ":1\r\n:10\r\n");
        stage.advance(Duration::from_millis(9_999));
        assert_eq!(ask(&stage, &wire, "EXISTS k\r\n"), ":1\r\n");
        stage.advance(Duration::from_millis(1));
        assert_eq!(ask(&stage, &wire, "EXISTS k\r\nDBSIZE\r\n"), ":0\r\n:0\r\n");
        assert_eq!(ask(&stage, &wire, "SET k v EX 1\r\nINCR n\r\n"), "+OK\r\n:1\r\n");
        // A value that is set anew has all the time.
        assert_eq!(
            ask(&stage, &wire, "SET k v\r\nEXPIRE n 5\r\nINCR n\r\n"),
            "+OK\r\n:1\r\n:2\r\n"
        );
        stage.advance(Duration::from_secs(2));
        assert_eq!(ask(&stage, &wire, "GET k\r\nTTL n\r\n"), "$1\r\nv\r\n:3\r\n");
        assert_eq!(ask(&stage, &wire, "EXPIRE k -1\r\nGET k\r\n"), ":1\r\n$-1\r\n");
        let never = format!("EXPIRE n {}\r\n", i64::MAX);
        assert!(ask(&stage, &wire, &never).contains("invalid expire time"));
    }

    #[test]
    fn what_is_no_request_is_named_after_the_answers_before_it_and_ends_the_connection() {
        let (stage, wire) = client();
        let answer = ask(&stage, &wire, "PING\r\n*1\r\n$2000000000\r\n");
        assert_eq!(answer, "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
        assert_eq!(wire.seen(), Seen::Eof);
    }

    #[test]
    fn nothing_is_done_after_quit() {
        let (stage, wire) = client();
        assert_eq!(ask(&stage, &wire, "QUIT\r\nPING\r\n"), "+OK\r\n");
        assert_eq!(wire.seen(), Seen::Eof);
    }

    #[test]
    fn a_length_reserves_nothing_and_what_has_come_is_given_back() {
        let stage = Stage::new();
        let (_, connection, wire) = stage.wire(Connection::new(Rc::default()));
        let kept = || connection.borrow().input.capacity();
        assert_eq!(ask(&stage, &wire, "*2\r\n$4\r\nECHO\r\n$1000000\r\n"), "");
        assert!(kept() < 1024, "{} bytes are kept", kept());
        let message = "x".repeat(1_000_000);
        for piece in message.as_bytes().chunks(10_000) {
            wire.send(piece);
            stage.run();
        }
        wire.set_capacity(2_000_000);
        assert_eq!(ask(&stage, &wire, "\r\n"), format!("$1000000\r\n{message}\r\n"));
        assert_eq!(kept(), 0);
    }

    #[test]
    fn a_client_that_takes_no_answers_is_not_read_and_loses_none() {
        let (stage, wire) = client();
        wire.set_capacity(1024);
        let value = "x".repeat(1000);
        assert_eq!(ask(&stage, &wire, &format!("SET k {value}\r\n")), "+OK\r\n");
        wire.limit_reads(1024);
        let asked = 10_000;
        wire.send("GET k\r\n".repeat(asked).as_bytes());
        stage.run();
        assert!(wire.unread() > 0, "everything was read");
        let mut answers = Vec::new();
        while wire.waiting() > 0 {
            answers.extend(wire.take());
            stage.run();
        }
        let answer = format!("$1000\r\n{value}\r\n");
        assert!(answers == answer.repeat(asked).as_bytes(), "{} bytes came", answers.len());
    }
}
