//! What lies between two ends in memory: the link, the wire in a test's hand, and the I/O object of one end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use super::StageRef;
use crate::address::UnixAddress;
use crate::driver::{Anchor, Readiness, StreamIo};
use crate::extra::{LocalAddr, PeerAddr, Request};
use crate::stream::Interest;
use crate::vitals::TransportKind;

/// How many bytes one direction holds unless a test says otherwise: about what a socket does.
pub(super) const CAPACITY: usize = 64 * 1024;

/// The link between two ends, to be made worse than a real one.
#[derive(Clone)]
pub struct LinkRef(pub(super) Rc<RefCell<Link>>);

impl LinkRef {
    /// No read gives more than `bytes`; zero lets none through until it is raised again.
    pub fn limit_reads(&self, bytes: usize) {
        self.each_lane(|lane| lane.max_read = bytes);
    }

    /// No write takes more than `bytes`; zero refuses all until it is raised again.
    pub fn limit_writes(&self, bytes: usize) {
        self.each_lane(|lane| lane.max_write = bytes);
    }

    /// Each direction holds `bytes` at most.
    pub fn set_capacity(&self, bytes: usize) {
        self.each_lane(|lane| lane.capacity = bytes);
    }

    /// Breaks the link: after what is on its way, both ends meet a reset.
    pub fn reset(&self) {
        self.each_lane(|lane| lane.reset = true);
    }

    fn each_lane(&self, change: impl FnMut(&mut Lane)) {
        self.0.borrow_mut().lanes.iter_mut().for_each(change);
    }
}

impl fmt::Debug for LinkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkRef").finish_non_exhaustive()
    }
}

/// The raw other end of a protocol's stream, in the hand of a test.
#[derive(Debug)]
pub struct Wire {
    pub(super) link: LinkRef,
}

/// How the stream looks from the wire, after the bytes that came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// More may come.
    Open,
    /// The transport has ended its direction.
    Eof,
    /// The transport was closed with bytes of ours unread.
    Reset,
}

impl Wire {
    /// Sends `bytes` to the protocol, past any capacity.
    pub fn send(&self, bytes: &[u8]) {
        self.link.0.borrow_mut().lanes[1].bytes.extend(bytes);
    }

    /// Takes what the protocol has sent so far.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.link.0.borrow_mut().lanes[0].bytes.drain(..).collect()
    }

    /// How many bytes the protocol has sent and nobody has taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.link.0.borrow().lanes[0].bytes.len()
    }

    /// How many bytes were sent to the protocol and its transport has not read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.link.0.borrow().lanes[1].bytes.len()
    }

    /// How the stream looks after what [`take`](Self::take) gives.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let link = self.link.0.borrow();
        match &link.lanes[0] {
            Lane { reset: true, .. } => Seen::Reset,
            Lane { ended: true, .. } => Seen::Eof,
            _ => Seen::Open,
        }
    }

    /// Ends our direction.
    pub fn shutdown(&self) {
        self.link.0.borrow_mut().lanes[1].ended = true;
    }

    /// Closes both directions; with bytes unread the protocol meets a reset, as with a socket.
    pub fn close(&self) {
        self.link.0.borrow_mut().close(1);
    }

    /// Resets the connection; the protocol still gets what was sent before.
    pub fn reset(&self) {
        let mut link = self.link.0.borrow_mut();
        link.lanes[1].reset = true;
        link.closed[1] = true;
    }

    /// No read of the protocol's transport gives more than `bytes`. See [`LinkRef::limit_reads`].
    pub fn limit_reads(&self, bytes: usize) {
        self.link.limit_reads(bytes);
    }

    /// No write of the protocol's transport takes more than `bytes`. See [`LinkRef::limit_writes`].
    pub fn limit_writes(&self, bytes: usize) {
        self.link.limit_writes(bytes);
    }

    /// The stream holds `bytes` at most before writes would block.
    pub fn set_capacity(&self, bytes: usize) {
        self.link.set_capacity(bytes);
    }
}

/// Two lanes, one for each direction: lane 0 carries what side 0 writes.
pub(super) struct Link {
    lanes: [Lane; 2],
    closed: [bool; 2],
}

struct Lane {
    bytes: VecDeque<u8>,
    capacity: usize,
    max_read: usize,
    max_write: usize,
    ended: bool,
    reset: bool,
}

impl Link {
    pub(super) fn new() -> Rc<RefCell<Self>> {
        let lane = || Lane {
            bytes: VecDeque::new(),
            capacity: CAPACITY,
            max_read: usize::MAX,
            max_write: usize::MAX,
            ended: false,
            reset: false,
        };
        Rc::new(RefCell::new(Self { lanes: [lane(), lane()], closed: [false; 2] }))
    }

    fn close(&mut self, side: usize) {
        if !self.lanes[1 - side].bytes.is_empty() {
            self.lanes[side].reset = true;
        }
        self.lanes[side].ended = true;
        self.closed[side] = true;
    }
}

/// One end of a link, as a stream driver moves bytes over it; of a pipe if `ONE_WAY`.
pub(super) struct MemoryIo<const ONE_WAY: bool = false> {
    link: Rc<RefCell<Link>>,
    side: usize,
    interest: Interest,
    /// Whether the one notice of a broken link that comes without any interest has been given.
    noticed: bool,
}

impl<const ONE_WAY: bool> MemoryIo<ONE_WAY> {
    /// The end on `side` of `link`.
    pub(super) fn new(link: &Rc<RefCell<Link>>, side: usize) -> Self {
        Self { link: Rc::clone(link), side, interest: Interest::default(), noticed: false }
    }

    pub(super) fn readiness(&mut self) -> Readiness {
        let link = self.link.borrow();
        let inbound = &link.lanes[1 - self.side];
        let outbound = &link.lanes[self.side];
        let broken = link.closed[1 - self.side] || inbound.reset;
        let readable = match inbound.bytes.len() {
            0 => inbound.ended || inbound.reset,
            _ => inbound.max_read > 0,
        };
        let writable =
            (outbound.bytes.len() < outbound.capacity && outbound.max_write > 0) || broken;
        if self.interest == Interest::default() && inbound.reset && !self.noticed {
            // As a poller does for a descriptor that is polled for nothing.
            self.noticed = true;
            return Readiness { read: true, write: false };
        }
        Readiness { read: self.interest.read && readable, write: self.interest.write && writable }
    }
}

impl<const ONE_WAY: bool> StreamIo for MemoryIo<ONE_WAY> {
    type Seat = Anchor<StageRef>;

    const ONE_WAY: bool = ONE_WAY;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut link = self.link.borrow_mut();
        let lane = &mut link.lanes[1 - self.side];
        if !lane.bytes.is_empty() {
            let count = buffer.len().min(lane.bytes.len()).min(lane.max_read);
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            for (slot, byte) in buffer.iter_mut().zip(lane.bytes.drain(..count)) {
                *slot = byte;
            }
            return Ok(count);
        }
        match lane {
            Lane { reset: true, .. } => Err(ErrorKind::ConnectionReset.into()),
            Lane { ended: true, .. } => Ok(0),
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut link = self.link.borrow_mut();
        if link.lanes[1 - self.side].reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if link.closed[1 - self.side] {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let lane = &mut link.lanes[self.side];
        let room = lane.capacity.saturating_sub(lane.bytes.len());
        let count = bytes.len().min(room).min(lane.max_write);
        if count == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        lane.bytes.extend(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut total = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match self.write(slice) {
                Ok(count) => {
                    total += count;
                    if count < slice.len() {
                        break;
                    }
                }
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut link = self.link.borrow_mut();
        if link.lanes[1 - self.side].reset {
            return Err(ErrorKind::NotConnected.into());
        }
        link.lanes[self.side].ended = true;
        Ok(())
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        let link = self.link.borrow();
        Ok(link.lanes[1 - self.side].reset.then(|| ErrorKind::ConnectionReset.into()))
    }

    fn set_interest(&mut self, _: &Self::Seat, interest: Interest) -> io::Result<()> {
        self.interest = interest;
        self.noticed = false;
        Ok(())
    }

    fn close(&mut self, _: &Self::Seat, _keep_facts: bool) {
        self.interest = Interest::default();
        self.link.borrow_mut().close(self.side);
    }

    fn provide(&self, _: &Self::Seat, request: &mut Request<'_>) {
        request
            .provide(|| TransportKind("memory".into()))
            .provide(|| LocalAddr(UnixAddress::Unnamed.into()))
            .provide(|| PeerAddr(UnixAddress::Unnamed.into()));
    }
}
