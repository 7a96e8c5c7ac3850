//! One client of a datagram echo: sends a datagram, waits until it has come back, compares, sends the next.
//!
//! A datagram may be lost, on loopback too, where a receiver's buffer is full; then it is sent once more.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use wharf::{
    Address, Batch, DatagramProtocol, DatagramTransportRef, LoopHandle, Lost, Outgoing, udp,
};

use super::board::Board;
use super::pattern::Pattern;
use super::place::Kind;
use super::sizes::Sizes;

/// The largest datagram: what goes over every network, and what a receiver's buffer holds dozens of.
const LARGEST: usize = 1200;

/// The number of a message stands before its bytes.
const NUMBER: usize = 8;

/// A datagram that is away for so long is taken to be lost.
const LOST: Duration = Duration::from_millis(300);

/// Sends back what comes, train by train.
pub(super) struct Echo;

impl DatagramProtocol for Echo {
    fn datagrams_received(&mut self, transport: &DatagramTransportRef, batch: &Batch<'_>) {
        for train in batch.trains() {
            if let Some(from) = train.from() {
                // One that cannot be sent now is lost, as on any network.
                let _ = transport.send(&[Outgoing::forward(&train, from)]);
            }
        }
    }
}

/// Opens the echo of `kind` at `place`.
pub(super) async fn echo(
    handle: &LoopHandle,
    place: Address,
) -> io::Result<(DatagramTransportRef, Rc<RefCell<Echo>>)> {
    match place {
        Address::Ip(at) => udp::bind(handle, at, || Echo).await,
        Address::Unix(at) => udp::unix::bind(handle, at, || Echo).await,
        other => Err(io::Error::new(io::ErrorKind::Unsupported, other.to_string())),
    }
}

/// A client and the datagram that is on its way.
pub(super) struct Client {
    number: usize,
    handle: LoopHandle,
    board: Rc<Board>,
    pattern: Rc<Pattern>,
    sizes: Sizes,
    /// Messages that are still to be begun.
    left: u64,
    /// How many were begun: the number of the one that is on its way.
    message: u64,
    datagram: Vec<u8>,
    begun: Instant,
    sent: Instant,
    finished: bool,
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
        Self {
            number,
            handle: handle.clone(),
            board: Rc::clone(board),
            pattern: Rc::clone(pattern),
            sizes,
            left: messages,
            message: 0,
            datagram: Vec::new(),
            begun: handle.now(),
            sent: handle.now(),
            finished: false,
        }
    }

    /// Connects it to the echo of `kind` at `to`. A Unix socket that is to be answered needs a name, in `folder`.
    pub(super) async fn connect(
        self,
        kind: Kind,
        to: &Address,
    ) -> io::Result<(DatagramTransportRef, Rc<RefCell<Self>>)> {
        let handle = self.handle.clone();
        let number = self.number;
        match to {
            Address::Ip(to) => udp::connect(&handle, *to, || self).await,
            Address::Unix(to) => {
                let path = Address::Unix(to.clone()).path().map(|path| path.to_owned());
                let path = path.ok_or(io::ErrorKind::Unsupported)?;
                let own = path.with_extension(format!("{}-{number}", kind.name()));
                udp::unix::connect(&handle, to.clone(), || self).local_addr(own).await
            }
            other => Err(io::Error::new(io::ErrorKind::Unsupported, other.to_string())),
        }
    }

    /// Begins the first message.
    pub(super) fn begin(&mut self, transport: &DatagramTransportRef) {
        self.next(transport, self.handle.now());
    }

    /// Sends a datagram once more that seems to be lost.
    pub(super) fn look(&mut self, transport: &DatagramTransportRef, now: Instant) {
        if !self.finished && now.saturating_duration_since(self.sent) > LOST {
            self.send(transport, now);
        }
    }

    /// What is wrong when a message is away for longer than `limit`.
    pub(super) fn overdue(&self, now: Instant, limit: Duration) -> Option<String> {
        let away = now.saturating_duration_since(self.begun);
        (!self.finished && away > limit).then(|| {
            format!("client {}: a datagram did not come back within {limit:?}", self.number)
        })
    }

    fn next(&mut self, transport: &DatagramTransportRef, now: Instant) {
        if self.left == 0 || self.board.deadline.get().is_some_and(|deadline| now >= *deadline) {
            self.finished = true;
            transport.close();
            return;
        }
        self.left -= 1;
        self.message += 1;
        let size = self.sizes.next().min(LARGEST - NUMBER);
        self.datagram.clear();
        self.datagram.extend_from_slice(&self.message.to_be_bytes());
        self.datagram.extend_from_slice(self.pattern.at(self.message * 31, size));
        self.begun = now;
        self.send(transport, now);
    }

    fn send(&mut self, transport: &DatagramTransportRef, now: Instant) {
        self.sent = now;
        if let Err(error) = transport.send_to(&self.datagram, None) {
            self.fail(&format!("a datagram cannot be sent: {error}"));
        }
    }

    fn fail(&mut self, why: &str) {
        self.finished = true;
        self.board.failed(format!("client {}: {why}", self.number));
    }
}

impl DatagramProtocol for Client {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransportRef,
        data: &[u8],
        _: Option<&Address>,
    ) {
        let number = data.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
        if number < self.message && number > 0 {
            // One that was sent twice because it seemed to be lost.
            return;
        }
        if data != self.datagram {
            self.fail("a datagram came back as another");
            return transport.abort();
        }
        let now = self.handle.now();
        self.board.echoed(data.len() - NUMBER, now - self.begun);
        self.next(transport, now);
    }

    fn error_received(&mut self, _: &DatagramTransportRef, error: &io::Error) {
        self.fail(&error.to_string());
    }

    fn connection_lost(&mut self, _: &DatagramTransportRef, why: &Lost) {
        if self.finished {
            self.board.left();
        } else {
            self.fail(&format!("lost in the middle of a message: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf::memory::{DatagramWire, Stage};
    use wharf::{EventLoop, oneshot};

    struct Scene {
        stage: Stage,
        board: Rc<Board>,
        transport: DatagramTransportRef,
        client: Rc<RefCell<Client>>,
        wire: DatagramWire,
    }

    fn scene() -> Scene {
        let handle = EventLoop::new().unwrap().handle().clone();
        let board = Rc::new(Board::new(1, oneshot().0));
        let pattern = Rc::new(Pattern::new());
        let client = Client::new(5, &handle, &board, &pattern, Sizes::new(1, 5, 4096), 3);
        let stage = Stage::new();
        let (transport, client, wire) = stage.datagram_wire_with(client, |peer| {
            let target = udp::Target::Connected(Some(peer.clone()));
            wharf::datagram::driver::DatagramOptions { target, ..Default::default() }
        });
        stage.run();
        client.borrow_mut().begin(&transport);
        stage.run();
        Scene { stage, board, transport, client, wire }
    }

    #[test]
    fn a_faithful_echo_satisfies_it() {
        let Scene { stage, board, wire, .. } = scene();
        while board.open.get() > 0 {
            wire.take().iter().for_each(|datagram| wire.send(datagram));
            stage.run();
        }
        assert_eq!((board.messages.get(), board.failure()), (3, None));
    }

    #[test]
    fn what_is_lost_is_sent_again_and_what_comes_twice_is_no_failure() {
        let Scene { stage, board, transport, client, wire } = scene();
        let lost = wire.take();
        let later = client.borrow().sent + LOST * 2;
        client.borrow_mut().look(&transport, later);
        stage.run();
        assert_eq!(wire.take(), lost);
        wire.send(&lost[0]);
        wire.send(&lost[0]);
        stage.run();
        assert_eq!((board.messages.get(), board.failure()), (1, None));
    }

    #[test]
    fn a_changed_byte_and_an_error_are_failures() {
        let first = scene();
        let mut datagram = first.wire.take().remove(0);
        *datagram.last_mut().unwrap() ^= 1;
        first.wire.send(&datagram);
        first.stage.run();
        assert_eq!(first.board.failure(), Some("client 5: a datagram came back as another"));
        let second = scene();
        second.wire.endpoint().fail_receives(&[io::ErrorKind::ConnectionRefused]);
        second.stage.run();
        assert!(second.board.failure().is_some());
    }
}
