//! One client: sends a message, waits until all of it has come back, compares, sends the next.

use std::rc::Rc;
use std::time::{Duration, Instant};

use wharf::{Flow, LoopHandle, Lost, Protocol, TransportRef};

use super::board::Board;
use super::pattern::Pattern;
use super::sizes::Sizes;

/// How much is written at once.
const CHUNK: usize = 64 * 1024;

/// How far apart two clients begin in the pattern.
const STRIDE: u64 = 7919;

/// A client and the message that is on its way.
pub(super) struct Client {
    number: usize,
    handle: LoopHandle,
    board: Rc<Board>,
    pattern: Rc<Pattern>,
    sizes: Sizes,
    /// Messages that are still to be begun.
    left: u64,
    message: Message,
    /// Places in the stream: what was written, what has come back, and where the message ends.
    sent: u64,
    received: u64,
    end: u64,
    finished: bool,
}

struct Message {
    size: usize,
    begun: Instant,
}

impl Client {
    pub(super) fn new(
        number: usize,
        handle: &LoopHandle,
        board: &Rc<Board>,
        pattern: &Rc<Pattern>,
        sizes: Sizes,
        messages: u64,
    ) -> Self {
        let start = number as u64 * STRIDE;
        Self {
            number,
            handle: handle.clone(),
            board: Rc::clone(board),
            pattern: Rc::clone(pattern),
            sizes,
            left: messages,
            message: Message { size: 0, begun: handle.now() },
            sent: start,
            received: start,
            end: start,
            finished: false,
        }
    }

    /// Begins the first message.
    pub(super) fn begin(&mut self, transport: &TransportRef) {
        self.next(transport, self.handle.now());
    }

    /// What is wrong when a message is away for longer than `limit`.
    pub(super) fn overdue(&self, now: Instant, limit: Duration) -> Option<String> {
        let away = now.saturating_duration_since(self.message.begun);
        (!self.finished && away > limit).then(|| {
            let (missing, size) = (self.end - self.received, self.message.size);
            format!(
                "client {}: {missing} of {size} bytes did not come back within {limit:?}",
                self.number
            )
        })
    }

    fn next(&mut self, transport: &TransportRef, now: Instant) {
        if self.left == 0 || self.board.deadline.get().is_some_and(|deadline| now >= *deadline) {
            self.finished = true;
            transport.close();
            return;
        }
        self.left -= 1;
        self.message = Message { size: self.sizes.next(), begun: now };
        self.end += self.message.size as u64;
        self.pump(transport);
    }

    /// Writes what is left of the message, as far as the transport takes it.
    fn pump(&mut self, transport: &TransportRef) {
        let mut flow = Flow::Open;
        while self.sent < self.end && flow == Flow::Open {
            let len = usize::try_from(self.end - self.sent).map_or(CHUNK, |left| left.min(CHUNK));
            flow = transport.write(self.pattern.at(self.sent, len));
            self.sent += len as u64;
        }
    }

    fn fail(&mut self, why: &str) {
        self.finished = true;
        self.board.failed(format!("client {}: {why}", self.number));
    }
}

impl Protocol for Client {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        if let Some(place) = self.pattern.mismatch(self.received, data) {
            let place = place - self.number as u64 * STRIDE;
            self.fail(&format!("byte {place} came back as another"));
            return transport.abort();
        }
        self.received += data.len() as u64;
        if self.received > self.sent {
            self.fail("more came back than was sent");
            return transport.abort();
        }
        if self.received == self.end {
            let now = self.handle.now();
            self.board.echoed(self.message.size, now - self.message.begun);
            self.next(transport, now);
        }
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        self.pump(transport);
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        match why {
            Lost::Closed if self.finished => self.board.left(),
            _ => self.fail(&format!("the connection was lost in the middle: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use wharf::EventLoop;
    use wharf::memory::{Stage, Wire};
    use wharf::oneshot;

    /// A client of three messages on a stage, whose far end the test holds.
    struct Scene {
        stage: Stage,
        board: Rc<Board>,
        client: Rc<RefCell<Client>>,
        wire: Wire,
    }

    fn scene() -> Scene {
        let handle = EventLoop::new().unwrap().handle().clone();
        let board = Rc::new(Board::new(1, oneshot().0));
        let pattern = Rc::new(Pattern::new());
        let client = Client::new(5, &handle, &board, &pattern, Sizes::new(1, 5, 4096), 3);
        let stage = Stage::new();
        let (transport, client, wire) = stage.wire(client);
        stage.run();
        client.borrow_mut().begin(&transport);
        stage.run();
        Scene { stage, board, client, wire }
    }

    #[test]
    fn a_faithful_echo_satisfies_it() {
        let Scene { stage, board, wire, .. } = scene();
        while wire.waiting() > 0 {
            wire.send(&wire.take());
            stage.run();
        }
        assert_eq!((board.messages.get(), board.open.get(), board.failure()), (3, 0, None));
    }

    #[test]
    fn a_changed_byte_is_a_failure() {
        let Scene { stage, board, wire, .. } = scene();
        let mut bytes = wire.take();
        bytes[0] ^= 1;
        wire.send(&bytes);
        stage.run();
        assert_eq!(board.failure(), Some("client 5: byte 0 came back as another"));
    }

    #[test]
    fn a_lost_connection_is_a_failure() {
        let Scene { stage, board, wire, .. } = scene();
        wire.close();
        stage.run();
        assert!(board.failure().is_some_and(|why| why.contains("lost in the middle")));
    }

    #[test]
    fn more_than_was_sent_is_a_failure() {
        let Scene { stage, board, wire, .. } = scene();
        let sent = wire.take();
        let start = 5 * STRIDE;
        wire.send(Pattern::new().at(start, sent.len() + 1));
        stage.run();
        assert_eq!(board.failure(), Some("client 5: more came back than was sent"));
    }

    #[test]
    fn silence_is_overdue() {
        let scene = scene();
        let client = scene.client.borrow();
        let begun = client.message.begun;
        let limit = Duration::from_secs(10);
        assert_eq!(client.overdue(begun + limit, limit), None);
        let why = client.overdue(begun + limit * 2, limit);
        assert!(why.is_some_and(|why| why.contains("did not come back within 10s")));
    }
}
