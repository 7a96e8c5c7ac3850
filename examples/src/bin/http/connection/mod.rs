//! One client's connection: requests in, answers out, in their order.
//!
//! ```text
//!            head               body over                content over
//!   Head ──────────────▶ Body ─────────────▶ (answer) ─────────────────▶ Head
//!     │                    │                    │ /bytes/N: Page            ▲
//!     │ no request         │ no body            ▼                           │
//!     └──────────┬─────────┴──── last answer ───┴──────── the client reads ─┘
//!                ▼
//!            Lingering ──▶ the client ends, or the time is over
//! ```
//!
//! Nothing is kept but a part of a head, or what came in the same read after a request whose answer finds no room:
//! then reading pauses until the client has taken what was written.
//! So a slow client costs one head, and one that never reads costs one read and one write buffer.

#[cfg(test)]
mod tests;
mod watch;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Instant;

use wharf::{Flow, KeepOpen, Lost, Protocol, Scheduler, TransportRef};
use wharf_examples::output::Output;

use crate::answer::{self, Length, Stays};
use crate::body::{Body, Piece};
use crate::request::{self, Framing, Head, Method, Search};
use crate::routes::{self, Page};
use crate::site::Site;
use crate::status::Status;
use watch::{Awaited, Watch};

/// What `/bytes/` is made of.
static PATTERN: [u8; 16 * 1024] = {
    let mut bytes = [b'\n'; 16 * 1024];
    let mut at = 0;
    while at < bytes.len() {
        if at % 64 != 63 {
            bytes[at] = b'0' + (at % 64) as u8;
        }
        at += 1;
    }
    bytes
};

const TEXT: &str = "\r\nContent-Type: text/plain";
const BYTES: &str = "\r\nContent-Type: application/octet-stream";

pub(crate) struct Connection {
    site: Rc<Site>,
    /// Ourselves, for timers and later turns.
    me: Weak<RefCell<Self>>,
    /// What has come and waits: a part of a head or of a chunk's line, or what an answer keeps from being read.
    input: Vec<u8>,
    stage: Stage,
    watch: Watch,
    /// Where time comes from; there while the connection is.
    scheduler: Option<Rc<dyn Scheduler>>,
    paused: bool,
}

/// What comes next.
enum Stage {
    Head(Search),
    Body(Exchange, Body),
    /// So much of a page is to be written.
    Page(Exchange, u64),
    /// Nothing: the last answer is given, and what still comes is not looked at.
    Lingering,
}

/// One request and its answer.
#[derive(Clone, Copy)]
struct Exchange {
    page: Page,
    framing: Framing,
    /// The answer has no content.
    is_head: bool,
    is_old: bool,
    stays: bool,
    /// Whether a part of the answer has been written.
    begun: bool,
}

/// What a step came to.
enum Step {
    /// So much of the input was used.
    Used(usize),
    /// The same, and a request was answered.
    Answered(usize),
    /// More has to come first.
    Missing,
    /// Nothing more is read.
    Over,
}

impl Connection {
    pub(crate) fn new(site: &Rc<Site>) -> Rc<RefCell<Self>> {
        Rc::new_cyclic(|me| {
            RefCell::new(Self {
                site: Rc::clone(site),
                me: Weak::clone(me),
                input: Vec::new(),
                stage: Stage::Head(Search::default()),
                watch: Watch::default(),
                scheduler: None,
                paused: false,
            })
        })
    }

    /// The server stops: who waits for a request ends now, everybody else after the answer.
    pub(crate) fn stop(&self, transport: &TransportRef) {
        if matches!(self.stage, Stage::Head(_)) && self.input.is_empty() {
            transport.close();
        }
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

    /// Works on `input` until something is missing or there is no room; says how much of it was used.
    fn work(&mut self, transport: &TransportRef, input: &[u8]) -> usize {
        let Some(scheduler) = self.scheduler.clone() else { return input.len() };
        let now = scheduler.now();
        let mut output = Output::new(transport, self.site.take_space());
        let (mut rest, mut answered) = (input, 0);
        let has_turn = loop {
            match self.step(rest, now, &mut output) {
                Step::Used(count) => rest = &rest[count..],
                Step::Answered(count) => {
                    rest = &rest[count..];
                    answered += 1;
                }
                Step::Missing => break true,
                Step::Over => {
                    rest = &[];
                    break true;
                }
            }
            if !output.is_open() {
                break true;
            }
            if answered == self.site.limits.burst {
                break rest.is_empty();
            }
        };
        let (flow, space) = output.finish();
        self.site.put_space(space);
        let waiting = match (&self.stage, flow) {
            (Stage::Lingering, _) => Awaited::End,
            (_, Flow::Full) => Awaited::Room(transport.write_buffer_len()),
            (Stage::Head(_), _) if rest.is_empty() => Awaited::Request,
            (Stage::Head(_), _) => Awaited::Head,
            (Stage::Body(..) | Stage::Page(..), _) => Awaited::Body,
        };
        self.wait(waiting, answered > 0, now, transport);
        let may_read = has_turn && (flow == Flow::Open || matches!(self.stage, Stage::Lingering));
        match (may_read, self.paused) {
            (true, true) => transport.resume_reading(),
            (false, false) => transport.pause_reading(),
            _ => {}
        }
        self.paused = !may_read;
        if !has_turn && flow == Flow::Open {
            self.take_another_turn(&*scheduler, transport);
        }
        input.len() - rest.len()
    }

    /// Others come first; what waits is done in the next turn.
    fn take_another_turn(&self, scheduler: &dyn Scheduler, transport: &TransportRef) {
        let (me, transport) = (Weak::clone(&self.me), transport.clone());
        scheduler.call_soon(Box::new(move || {
            if let Some(me) = me.upgrade() {
                if !transport.is_closing() {
                    me.borrow_mut().go_on(&transport);
                }
            }
        }));
    }

    fn step(&mut self, input: &[u8], now: Instant, output: &mut Output<'_>) -> Step {
        match &mut self.stage {
            Stage::Head(_) if input.is_empty() => Step::Missing,
            Stage::Head(search) => match request::read(input, search, &self.site.limits) {
                Ok(None) => Step::Missing,
                Ok(Some((head, used))) => self.begin(&head, used, now, output),
                Err(status) => self.refuse(status, now, output),
            },
            Stage::Body(exchange, body) => match body.next(input) {
                Ok((used, Piece::Data(data))) => {
                    if exchange.page == Page::Echo {
                        exchange.begin_echo(&self.site, now, output);
                        exchange.echo(data, output);
                    }
                    Step::Used(used)
                }
                Ok((used, Piece::Framing)) => Step::Used(used),
                Ok((_, Piece::Missing)) => Step::Missing,
                Ok((used, Piece::End)) => {
                    let exchange = *exchange;
                    self.answer(exchange, used, now, output)
                }
                // Half an answer cannot be taken back; the client sees that it is not whole.
                Err(_) if exchange.begun => self.leave(output),
                Err(status) => self.refuse(status, now, output),
            },
            Stage::Page(exchange, left) => {
                let count =
                    usize::try_from(*left).map_or(PATTERN.len(), |left| left.min(PATTERN.len()));
                *left -= count as u64;
                output.page(&PATTERN[..count]);
                if *left > 0 {
                    return Step::Used(0);
                }
                let exchange = *exchange;
                self.end(exchange, 0, output)
            }
            Stage::Lingering => Step::Over,
        }
    }

    /// A head has come, of `used` bytes.
    fn begin(
        &mut self,
        head: &Head<'_>,
        used: usize,
        now: Instant,
        output: &mut Output<'_>,
    ) -> Step {
        let body = match Body::new(head.framing, self.site.limits.body) {
            Ok(body) => body,
            Err(status) => return self.refuse(status, now, output),
        };
        let mut exchange = Exchange {
            page: routes::find(head.method, head.path),
            framing: head.framing,
            is_head: head.method == Method::Head,
            is_old: head.is_old,
            stays: head.stays,
            begun: false,
        };
        if head.framing == Framing::Sized(0) {
            return self.answer(exchange, used, now, output);
        }
        if head.waits {
            if matches!(exchange.page, Page::Refused(_) | Page::OnlyFor(_)) {
                // It need not send the body, and if it does so nevertheless, that is no request.
                exchange.stays = false;
                return self.answer(exchange, used, now, output);
            }
            output.text().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.stage = Stage::Body(exchange, body);
        Step::Used(used)
    }

    /// The request has come to its end, `used` bytes ago; here is what it gets.
    fn answer(
        &mut self,
        mut exchange: Exchange,
        used: usize,
        now: Instant,
        output: &mut Output<'_>,
    ) -> Step {
        exchange.stays &= !self.site.is_stopping();
        let (status, more, text): (_, &[&str], _) = match exchange.page {
            Page::Echo => {
                exchange.begin_echo(&self.site, now, output);
                if exchange.framing == Framing::Chunked {
                    output.text().extend_from_slice(b"0\r\n\r\n");
                }
                return self.end(exchange, used, output);
            }
            Page::Bytes(count) => {
                exchange.head(Status::Ok, &[BYTES], Length::Sized(count), &self.site, now, output);
                if count == 0 || exchange.is_head {
                    return self.end(exchange, used, output);
                }
                self.stage = Stage::Page(exchange, count);
                return Step::Used(used);
            }
            Page::Text(text) => (Status::Ok, &[TEXT], text),
            Page::Refused(status) => (status, &[TEXT], status.text()),
            Page::OnlyFor(allowed) => {
                let status = Status::MethodNotAllowed;
                (status, &[allowed, TEXT], status.text())
            }
        };
        let length = Length::Sized(text.len() as u64);
        exchange.head(status, more, length, &self.site, now, output);
        if !exchange.is_head {
            output.data(text.as_bytes());
        }
        self.end(exchange, used, output)
    }

    /// An answer is whole.
    fn end(&mut self, exchange: Exchange, used: usize, output: &mut Output<'_>) -> Step {
        if exchange.stays {
            self.stage = Stage::Head(Search::default());
            return Step::Answered(used);
        }
        self.leave(output)
    }

    /// Says what is wrong. Where the next request begins is not known, so there is none.
    fn refuse(&mut self, status: Status, now: Instant, output: &mut Output<'_>) -> Step {
        let text = status.text();
        let (length, date) = (Length::Sized(text.len() as u64), self.site.date(now));
        answer::head(output.text(), status, &[TEXT], length, Stays::No, &date);
        output.data(text.as_bytes());
        self.leave(output)
    }

    /// Ends our side and waits for the client to end its own.
    ///
    /// If we closed at once, what it is still sending would meet a reset, and that would take the answer with it.
    fn leave(&mut self, output: &mut Output<'_>) -> Step {
        output.flush();
        self.stage = Stage::Lingering;
        if output.transport().can_write_eof() {
            output.transport().write_eof();
        } else {
            output.transport().close();
        }
        Step::Over
    }
}

impl Exchange {
    fn head(
        &self,
        status: Status,
        more: &[&str],
        length: Length,
        site: &Site,
        now: Instant,
        output: &mut Output<'_>,
    ) {
        let stays = match (self.stays, self.is_old) {
            (true, false) => Stays::Yes,
            (true, true) => Stays::YesIfTold,
            (false, _) => Stays::No,
        };
        answer::head(output.text(), status, more, length, stays, &site.date(now));
    }

    /// Writes the head of what is sent back, unless that is done.
    fn begin_echo(&mut self, site: &Site, now: Instant, output: &mut Output<'_>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.stays &= !site.is_stopping();
            let length = match self.framing {
                Framing::Sized(size) => Length::Sized(size),
                Framing::Chunked => Length::Chunked,
            };
            self.head(Status::Ok, &[BYTES], length, site, now, output);
        }
    }

    /// Sends a piece of the body back.
    fn echo(&self, data: &[u8], output: &mut Output<'_>) {
        if self.framing == Framing::Chunked {
            output.text().extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            output.data(data);
            output.text().extend_from_slice(b"\r\n");
        } else {
            output.data(data);
        }
    }
}

impl Protocol for Connection {
    fn connection_made(&mut self, transport: &TransportRef) {
        let scheduler = transport.scheduler();
        let now = scheduler.now();
        self.scheduler = Some(scheduler);
        self.site.enter(transport, &self.me);
        self.wait(Awaited::Request, true, now, transport);
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

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        let is_between = matches!(self.stage, Stage::Head(_)) && self.input.is_empty();
        if !is_between && !matches!(self.stage, Stage::Lingering) {
            self.give_up(Status::BadRequest, transport);
        }
        KeepOpen::No
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        // A close drains too, and nothing is answered any more.
        if !transport.is_closing() {
            self.go_on(transport);
        }
    }

    fn connection_lost(&mut self, transport: &TransportRef, _: &Lost) {
        self.site.leave(transport);
        self.watch.stop();
        self.scheduler = None;
    }
}
