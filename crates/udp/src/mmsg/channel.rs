//! [`Channel`]: how datagrams are moved over one socket, and what was found out about it.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use wharf_core::datagram::{
    Arrival, Inbox, MAX_TRAIN_BYTES, MAX_TRAIN_DATAGRAMS, Outbox, Packed, Peer,
};

use super::control::{self, Writer};
use super::missing::Missing;
use super::name;
use super::options;
use super::segments::Segments;
use super::system::{Headers, Parcel, Received, Slot, Terms};

/// The family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6, which takes IPv4 addresses in IPv6's clothes.
    V6,
    /// Unix.
    Unix,
}

impl Family {
    /// The space for one message. No datagram or train of IP is longer; those of Unix sockets may be as long as the
    /// sender's buffer, and this is more than systems give them unasked.
    pub(super) const fn space(self) -> usize {
        /// An odd number of cache lines, as many as a common datagram has: caches choose a place by the lower bits of an
        /// address, and spaces that begin at like ones would drive each other's datagrams out.
        const APART: usize = 21 * 64;
        match self {
            Self::V4 | Self::V6 => 64 * 1024 + APART,
            Self::Unix => 256 * 1024 + APART,
        }
    }
}

/// What the system of a socket is able to do, as far as that was found out.
///
/// Nothing is lost where something is missing: only more system calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// Whether many messages are moved by one call.
    pub batches: bool,
    /// Whether a train is sent as one message; `None` before there was one to send. It stays true where trains of large
    /// segments only are refused.
    pub segments: Option<bool>,
    /// Whether a train is received as one message.
    pub coalescing: bool,
}

/// What the system is to tell about each datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// Which address and interface it came to.
    pub(crate) destination: bool,
    /// Its congestion mark.
    pub(crate) ecn: bool,
    /// When it came.
    pub(crate) timestamp: bool,
}

/// How datagrams are moved over one socket.
#[derive(Debug)]
pub(crate) struct Channel {
    family: Family,
    /// Whether what is sent without an address goes to an IPv4 peer.
    is_v4: bool,
    batches: bool,
    coalescing: bool,
    segments: Segments,
    missing: Missing,
    headers: Rc<RefCell<Headers>>,
}

impl Channel {
    /// A channel over `fd`, of which nothing is known but its family. It asks for trains to be left together.
    ///
    /// The headers are those of the loop; they are borrowed for one call at a time.
    pub(crate) fn new(
        headers: Rc<RefCell<Headers>>,
        fd: BorrowedFd<'_>,
        family: Family,
        missing: Missing,
    ) -> Self {
        let is_ip = family != Family::Unix;
        Self {
            headers,
            family,
            is_v4: family == Family::V4,
            batches: cfg!(any(target_os = "linux", target_os = "android")),
            coalescing: is_ip && missing.ask_for_coalescing(fd),
            segments: if is_ip { Segments::default() } else { Segments::never() },
            missing,
        }
    }

    /// The socket was connected to `peer`.
    pub(crate) fn connected(&mut self, peer: IpAddr) {
        self.is_v4 = peer.to_canonical().is_ipv4();
    }

    /// What was found out.
    pub(crate) fn abilities(&self) -> Abilities {
        Abilities {
            batches: self.batches,
            segments: self.segments.are_sent(),
            coalescing: self.coalescing,
        }
    }

    /// Asks the system to tell this about each datagram, and what is not asked for to keep to itself.
    ///
    /// # Errors
    /// The system's, for something that it cannot tell.
    pub(crate) fn ask_for(&self, fd: BorrowedFd<'_>, facts: Facts) -> io::Result<()> {
        options::ask_for(fd, self.family, facts)
    }

    // ---- receiving ----

    /// Receives once, as much as the system gives in one call; says whether the call was filled.
    ///
    /// # Errors
    /// The system's. Nothing was received then.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, inbox: &mut Inbox) -> io::Result<bool> {
        let headers = Rc::clone(&self.headers);
        let mut headers = headers.borrow_mut();
        // A smaller buffer is one space: no space at all would look like a call that was filled.
        let size = self.family.space().min(inbox.buffer().len());
        let count = (inbox.buffer().len() / size).min(Headers::COUNT);
        // Without space for them, descriptors that a peer passes to a Unix socket are closed by the system.
        let control = self.family != Family::Unix;
        let received = loop {
            let terms = Terms { size, count, control, batched: self.batches };
            let checked = if self.batches { self.missing.check_batches() } else { Ok(()) };
            match checked.and_then(|()| headers.receive(fd, inbox.buffer(), terms)) {
                Err(error) if self.batches && is_unknown(&error) => self.batches = false,
                other => break other?,
            }
        };
        for index in 0..received {
            let message = headers.received(index);
            inbox.push(|arrival| self.describe(message, index * size, arrival));
        }
        Ok(received == if self.batches { count } else { 1 })
    }

    /// Describes a message that lies at `start`.
    #[inline]
    fn describe(&self, message: Received<'_>, start: usize, arrival: &mut Arrival) {
        arrival.start = start;
        arrival.len = message.len;
        name::read(message.name, &mut arrival.from);
        control::describe(message.control, arrival);
        // Where the size of its segments was lost, a train passes for one datagram, and whoever gets it must know.
        let is_blurred = message.lacks_control && self.coalescing && arrival.segment == 0;
        arrival.truncated = message.is_truncated || is_blurred;
    }

    // ---- sending ----

    /// Sends from `outbox` as many datagrams as the system takes in one call; says how many.
    ///
    /// # Errors
    /// The system's, about the first datagram.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, outbox: &Outbox) -> io::Result<usize> {
        loop {
            let mut first = Train::default();
            match self.send_once(fd, outbox, &mut first) {
                Ok(count) => {
                    self.segments.sent(count);
                    return Ok(count);
                }
                Err(error) if self.batches && is_unknown(&error) => self.batches = false,
                Err(error) => {
                    let errno = error.raw_os_error();
                    let is_train = first.count > 1;
                    if is_train && self.segments.refused(errno, first.segment, first.count) {
                        continue;
                    }
                    if !is_transient(&error) {
                        self.segments.failed();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// One system call's worth of sending; says how many datagrams went, and in `first` what the first message was.
    fn send_once(
        &mut self,
        fd: BorrowedFd<'_>,
        outbox: &Outbox,
        first: &mut Train,
    ) -> io::Result<usize> {
        if self.batches {
            self.missing.check_batches()?;
        }
        let mut pieces = Pieces::new(outbox.trains(), self.segments.apart());
        let mut counts = [0; Headers::COUNT];
        let mut filled = 0;
        let mut refused = None;
        let headers = Rc::clone(&self.headers);
        let sent = headers.borrow_mut().send(fd, self.batches, |slot| {
            let piece = pieces.next(|| self.segments.limit(fd, self.missing))?;
            let count = piece.datagrams();
            if filled == 0 {
                *first = Train { count, segment: piece.segment() };
            }
            let checked = if count > 1 { self.missing.check_train() } else { Ok(()) };
            match checked.and_then(|()| self.address(piece, slot)) {
                Ok(parcel) => {
                    counts[filled] = count;
                    filled += 1;
                    Some(parcel)
                }
                Err(error) => {
                    refused = Some(error);
                    None
                }
            }
        })?;
        match refused {
            // Those before it go first; the next call begins with it.
            Some(error) if filled == 0 => Err(error),
            _ => Ok(counts[..sent].iter().sum()),
        }
    }

    /// Writes into `slot` where `piece` goes and how.
    #[inline]
    fn address<'a>(&self, piece: Packed<'a>, slot: &mut Slot) -> io::Result<Parcel<'a>> {
        let (control, name) = slot.parts();
        let name = match piece.to() {
            Some(peer) => name::write(name, peer, self.family == Family::V6)?,
            None => 0,
        };
        let mut control = Writer::new(control);
        if piece.datagrams() > 1 {
            // No more than a datagram has bytes, which fit.
            control.segment(piece.segment() as u16);
        }
        if let Some(local) = piece.local() {
            control.local(local);
        }
        if let Some(ecn) = piece.ecn() {
            control.ecn(ecn, self.is_for_v4(piece));
        }
        Ok(Parcel { data: piece.data(), control: control.len(), name })
    }

    /// Whether `piece` goes out as IPv4.
    fn is_for_v4(&self, piece: Packed<'_>) -> bool {
        match piece.to() {
            Some(Peer::Ip(to)) => to.ip().to_canonical().is_ipv4(),
            _ => self.is_v4,
        }
    }
}

/// How many datagrams a message has, and their size.
#[derive(Debug, Clone, Copy, Default)]
struct Train {
    count: usize,
    segment: usize,
}

/// Cuts queued trains into messages that the system takes.
struct Pieces<'a, I> {
    trains: I,
    /// What is left of the present train.
    rest: Option<Packed<'a>>,
    /// How many datagrams from now on must go one by one.
    apart: usize,
}

impl<'a, I: Iterator<Item = Packed<'a>>> Pieces<'a, I> {
    fn new(trains: I, apart: usize) -> Self {
        Self { trains, rest: None, apart }
    }

    /// The next message. `limit` is the largest segment that makes a train.
    #[inline]
    fn next(&mut self, limit: impl FnOnce() -> usize) -> Option<Packed<'a>> {
        let train = match self.rest.take() {
            Some(rest) => rest,
            None => self.trains.next()?,
        };
        let most = if train.datagrams() == 1 || self.apart > 0 || train.segment() > limit() {
            1
        } else {
            // Two that are too long for a train go one by one.
            (MAX_TRAIN_BYTES / train.segment()).clamp(1, MAX_TRAIN_DATAGRAMS)
        };
        self.apart = self.apart.saturating_sub(most);
        if train.datagrams() <= most {
            return Some(train);
        }
        let (head, rest) = train.split_at(most);
        self.rest = Some(rest);
        Some(head)
    }
}

/// Whether the system does not know a call.
fn is_unknown(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOSYS)
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
