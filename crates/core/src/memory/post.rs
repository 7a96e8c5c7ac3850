//! Datagrams in memory: the post of a stage, a raw peer in a test's hand, and the I/O object of an endpoint.
//!
//! Nothing is lost, doubled or reordered unless a test says so.
//! A train stays a train on its way, as it does through a kernel that knows them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::{Actor, DatagramPair, Stage, StageRef};
use crate::address::Address;
use crate::datagram::driver::{
    DatagramAccess, DatagramDriver, DatagramIo, DatagramOptions, Target,
};
use crate::datagram::{Ecn, Inbox, IntoDatagramProtocol, MAX_TRAIN_BYTES, Outbox, Packed, Peer};
use crate::driver::Readiness;
use crate::extra::{LocalAddr, Request};
use crate::handle::DatagramTransportRef;
use crate::schedule::Scheduler;
use crate::stream::Interest;
use crate::transport::TransportId;
use crate::vitals::TransportKind;

/// How many bytes wait for one receiver unless a test says otherwise: about what a socket does.
const CAPACITY: usize = 208 * 1024;

/// What one waiting train costs beside its bytes, so that empty datagrams fill a receiver too.
const PARCEL: usize = 256;

/// What an endpoint meets, to be made worse than on a real network.
#[derive(Clone)]
pub struct PostRef {
    post: Rc<RefCell<Post>>,
    desk: usize,
}

impl PostRef {
    /// No receive brings more than `trains`; zero lets none through until it is raised again.
    pub fn limit_receives(&self, trains: usize) {
        self.desk(|desk| desk.max_receive = trains);
    }

    /// No send takes more than `datagrams`; zero refuses all until it is raised again.
    pub fn limit_sends(&self, datagrams: usize) {
        self.desk(|desk| desk.max_send = datagrams);
    }

    /// Datagrams longer than `bytes` come truncated.
    pub fn truncate(&self, bytes: usize) {
        self.desk(|desk| desk.max_len = bytes);
    }

    /// No more than about `bytes` wait for the endpoint before whoever sends to it is refused.
    pub fn set_capacity(&self, bytes: usize) {
        self.desk(|desk| desk.capacity = bytes);
    }

    /// The next sends fail so, each costing one datagram.
    pub fn fail_sends(&self, kinds: &[ErrorKind]) {
        self.desk(|desk| desk.send_errors.extend(kinds));
    }

    /// The next receives fail so, before anything that waits.
    pub fn fail_receives(&self, kinds: &[ErrorKind]) {
        self.desk(|desk| desk.receive_errors.extend(kinds));
    }

    fn desk<R>(&self, look: impl FnOnce(&mut Desk) -> R) -> R {
        look(&mut self.post.borrow_mut().desks[self.desk])
    }
}

impl fmt::Debug for PostRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostRef").field("desk", &self.desk).finish_non_exhaustive()
    }
}

/// A raw peer of a protocol's endpoint, in the hand of a test.
#[derive(Debug)]
pub struct DatagramWire {
    /// The peer's own place.
    mine: PostRef,
    /// The endpoint's, to be made worse.
    endpoint: PostRef,
}

/// One datagram as a [`DatagramWire`] has received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The bytes.
    pub data: Vec<u8>,
    /// Who sent it.
    pub from: Address,
    /// The congestion mark.
    pub ecn: Option<Ecn>,
}

impl DatagramWire {
    /// Sends one datagram to the endpoint.
    pub fn send(&self, data: &[u8]) {
        self.send_train(data, data.len());
    }

    /// Sends `data` to the endpoint as a train of datagrams of `segment` bytes.
    pub fn send_train(&self, data: &[u8], segment: usize) {
        let from = self.address();
        let parcel =
            Parcel { data: data.to_vec(), segment, from, to: self.endpoint_address(), ecn: None };
        self.endpoint.desk(|desk| desk.waiting.push_back(parcel));
    }

    /// Sends one datagram to the endpoint, as if to `to`, which is one of the addresses that it has there.
    pub fn send_to_address(&self, data: &[u8], to: IpAddr) {
        let from = self.address();
        let to = SocketAddr::new(to, self.endpoint_address().port().unwrap_or(0)).into();
        let parcel = Parcel { data: data.to_vec(), segment: data.len(), from, to, ecn: None };
        self.endpoint.desk(|desk| desk.waiting.push_back(parcel));
    }

    /// Takes what the endpoint has sent here so far, one by one.
    #[must_use]
    pub fn take(&self) -> Vec<Vec<u8>> {
        self.take_letters().into_iter().map(|letter| letter.data).collect()
    }

    /// The same, with what is known about each.
    #[must_use]
    pub fn take_letters(&self) -> Vec<Letter> {
        let waiting = self.mine.desk(|desk| std::mem::take(&mut desk.waiting));
        let mut letters = Vec::new();
        for Parcel { data, segment, from, ecn, .. } in waiting {
            let mut push = |data: &[u8]| {
                letters.push(Letter { data: data.to_vec(), from: from.clone(), ecn });
            };
            if data.is_empty() {
                push(&data);
            }
            data.chunks(segment.max(1)).for_each(push);
        }
        letters
    }

    /// The peer's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.mine.desk(|desk| desk.address.clone())
    }

    /// The endpoint's address.
    #[must_use]
    pub fn endpoint_address(&self) -> Address {
        self.endpoint.desk(|desk| desk.address.clone())
    }

    /// Another peer of the same endpoint.
    #[must_use]
    pub fn another(&self) -> Self {
        let mine = Post::open(&self.mine.post);
        mine.desk(|desk| desk.capacity = usize::MAX);
        Self { mine, endpoint: self.endpoint.clone() }
    }

    /// What the endpoint meets, to be made worse.
    #[must_use]
    pub fn endpoint(&self) -> &PostRef {
        &self.endpoint
    }

    /// No more than about `bytes` wait here before the endpoint is refused. A wire takes everything unless told so.
    pub fn set_capacity(&self, bytes: usize) {
        self.mine.set_capacity(bytes);
    }
}

/// Everybody who has an address.
#[derive(Default)]
pub(super) struct Post {
    desks: Vec<Desk>,
}

/// One place with an address, and what waits there.
struct Desk {
    address: Address,
    /// Whom alone it hears, and sends to when told nobody else.
    peer: Option<Address>,
    is_open: bool,
    waiting: VecDeque<Parcel>,
    capacity: usize,
    max_receive: usize,
    max_send: usize,
    max_len: usize,
    send_errors: VecDeque<ErrorKind>,
    receive_errors: VecDeque<ErrorKind>,
    /// Whose desk was full when something was last sent from here.
    refused_by: Option<usize>,
}

/// A train on its way.
struct Parcel {
    data: Vec<u8>,
    segment: usize,
    from: Address,
    to: Address,
    ecn: Option<Ecn>,
}

impl Desk {
    fn has_room(&self) -> bool {
        let waiting: usize = self.waiting.iter().map(|parcel| parcel.data.len() + PARCEL).sum();
        waiting < self.capacity
    }
}

impl Post {
    /// Opens a place with an address of its own, from those that are reserved for documentation.
    fn open(post: &Rc<RefCell<Self>>) -> PostRef {
        let desks = &mut post.borrow_mut().desks;
        let desk = desks.len();
        let number = u16::try_from(desk + 1).expect("a stage has fewer endpoints than that");
        let [high, low] = number.to_be_bytes();
        desks.push(Desk {
            address: Address::Ip(([198, 18, high, low], number).into()),
            peer: None,
            is_open: true,
            waiting: VecDeque::new(),
            capacity: CAPACITY,
            max_receive: usize::MAX,
            max_send: usize::MAX,
            max_len: usize::MAX,
            send_errors: VecDeque::new(),
            receive_errors: VecDeque::new(),
            refused_by: None,
        });
        PostRef { post: Rc::clone(post), desk }
    }

    /// Sends a part of `train`, no more than `most` datagrams; says how many.
    fn send(&mut self, from: usize, train: &Packed<'_>, most: usize) -> io::Result<usize> {
        let sender = &mut self.desks[from];
        if let Some(kind) = sender.send_errors.pop_front() {
            return Err(kind.into());
        }
        if train.segment() > MAX_TRAIN_BYTES {
            return Err(io::Error::other("message too long"));
        }
        if most == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let to = match train.to() {
            Some(Peer::Ip(to)) => Address::Ip(*to),
            Some(_) => return Err(ErrorKind::InvalidInput.into()),
            None => sender.peer.clone().ok_or(ErrorKind::NotConnected)?,
        };
        let address = train.local().map_or_else(
            || sender.address.clone(),
            |local| SocketAddr::new(local, sender.address.port().unwrap_or(0)).into(),
        );
        let count = train.datagrams().min(most);
        let data = &train.data()[..train.data().len().min(count * train.segment())];
        let hears = |desk: &Desk| {
            desk.is_open
                && desk.address == to
                && desk.peer.as_ref().is_none_or(|peer| *peer == address)
        };
        // To nobody is lost, as on a network.
        if let Some(place) = self.desks.iter().position(hears) {
            if !self.desks[place].has_room() {
                self.desks[from].refused_by = Some(place);
                return Err(ErrorKind::WouldBlock.into());
            }
            let (data, segment, ecn) = (data.to_vec(), train.segment(), train.ecn());
            self.desks[place].waiting.push_back(Parcel { data, segment, from: address, to, ecn });
        }
        Ok(count)
    }
}

/// One endpoint on the post, as a datagram driver moves datagrams over it.
pub(super) struct PostIo {
    place: PostRef,
    interest: Interest,
}

impl PostIo {
    fn readiness(&self) -> Readiness {
        let post = self.place.post.borrow();
        let desk = &post.desks[self.place.desk];
        let has_mail = !desk.waiting.is_empty() || !desk.receive_errors.is_empty();
        let has_room = desk.refused_by.is_none_or(|place| post.desks[place].has_room());
        Readiness {
            read: self.interest.read && has_mail && desk.max_receive > 0,
            write: self.interest.write && has_room && desk.max_send > 0,
        }
    }
}

impl DatagramIo for PostIo {
    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<bool> {
        self.place.desk(|desk| {
            if let Some(kind) = desk.receive_errors.pop_front() {
                return Err(kind.into());
            }
            let mut start = 0;
            let mut count = 0;
            while count < desk.max_receive {
                let Some(parcel) = desk.waiting.front() else { break };
                if inbox.buffer().len() - start < parcel.data.len() {
                    return Ok(true);
                }
                let Some(parcel) = desk.waiting.pop_front() else { break };
                let truncated = parcel.segment > desk.max_len;
                let segment = parcel.segment.min(desk.max_len);
                let mut keep = 0;
                for datagram in parcel.data.chunks(parcel.segment.max(1)) {
                    let datagram = &datagram[..datagram.len().min(segment)];
                    inbox.buffer()[start + keep..][..datagram.len()].copy_from_slice(datagram);
                    keep += datagram.len();
                }
                inbox.push(|arrival| {
                    arrival.start = start;
                    arrival.len = keep;
                    arrival.segment = segment;
                    arrival.from = Some(parcel.from);
                    arrival.to = parcel.to.ip().map(|to| to.ip());
                    arrival.local = arrival.to;
                    arrival.ecn = parcel.ecn;
                    arrival.truncated = truncated;
                });
                start += keep;
                count += 1;
            }
            if count == 0 {
                Err(ErrorKind::WouldBlock.into())
            } else {
                Ok(!desk.waiting.is_empty())
            }
        })
    }

    fn send(&mut self, outbox: &Outbox) -> io::Result<usize> {
        let mut post = self.place.post.borrow_mut();
        let most = post.desks[self.place.desk].max_send;
        post.desks[self.place.desk].refused_by = None;
        let mut sent = 0;
        for train in outbox.trains() {
            match post.send(self.place.desk, &train, most - sent) {
                Ok(count) => {
                    sent += count;
                    if count < train.datagrams() {
                        break;
                    }
                }
                // It is met again, as the first of the next send.
                Err(error) if sent > 0 => {
                    if error.kind() != ErrorKind::WouldBlock {
                        post.desks[self.place.desk].send_errors.push_front(error.kind());
                    }
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    fn admits(&self, to: &Address) -> io::Result<()> {
        match to {
            Address::Ip(SocketAddr::V4(_)) => Ok(()),
            _ => Err(io::Error::new(
                ErrorKind::InvalidInput,
                format!("{to} is not of the family of the endpoint"),
            )),
        }
    }

    fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        self.interest = interest;
        Ok(())
    }

    fn close(&mut self, _keep_facts: bool) {
        self.interest = Interest::default();
        self.place.desk(|desk| {
            desk.is_open = false;
            desk.waiting.clear();
        });
    }

    fn provide(&self, request: &mut Request<'_>, _: &dyn Fn() -> Rc<dyn DatagramAccess<Self>>) {
        request
            .provide(|| TransportKind("datagrams in memory".into()))
            .provide(|| LocalAddr(self.place.desk(|desk| desk.address.clone())));
    }
}

impl Actor for DatagramDriver<PostIo, StageRef> {
    fn act(self: Rc<Self>) -> bool {
        let mut readiness = Readiness::default();
        self.with_io(&mut |io| readiness = io.readiness());
        let ready = readiness != Readiness::default();
        if ready {
            self.ready(readiness);
        }
        ready
    }

    fn is_lost(&self) -> bool {
        Self::is_lost(self)
    }

    fn shut(self: Rc<Self>) {
        Self::shut(&self);
    }
}

impl Stage {
    /// Joins two datagram protocols by endpoints that are connected to each other. Their `connection_made` comes in the
    /// next turn, the first one's first.
    pub fn datagram_pair<P: IntoDatagramProtocol, Q: IntoDatagramProtocol>(
        &self,
        first: P,
        second: Q,
    ) -> DatagramPair<P, Q> {
        let post = &self.shared.0.post;
        let places = [Post::open(post), Post::open(post)];
        let addresses = [0, 1].map(|index: usize| places[index].desk(|desk| desk.address.clone()));
        let connect = |index: usize| {
            places[index].desk(|desk| desk.peer = Some(addresses[1 - index].clone()));
            let target = Target::Connected(Some(addresses[1 - index].clone()));
            DatagramOptions { target, ..DatagramOptions::default() }
        };
        let options = [connect(0), connect(1)];
        let [first_place, second_place] = places;
        let [first_options, second_options] = options;
        DatagramPair {
            first: self.enter_datagrams(first, first_place.clone(), first_options),
            second: self.enter_datagrams(second, second_place.clone(), second_options),
            posts: [first_place, second_place],
        }
    }

    /// Puts one datagram protocol on the stage, by an endpoint that hears everybody, and gives one peer to the test.
    pub fn datagram_wire<P: IntoDatagramProtocol>(
        &self,
        protocol: P,
    ) -> (DatagramTransportRef, P::Shared, DatagramWire) {
        self.datagram_wire_with(protocol, |_| DatagramOptions::default())
    }

    /// The same by an endpoint with the settings that `options` makes of the peer's address. One whose target is
    /// connected hears that peer alone.
    pub fn datagram_wire_with<P: IntoDatagramProtocol>(
        &self,
        protocol: P,
        options: impl FnOnce(&Address) -> DatagramOptions,
    ) -> (DatagramTransportRef, P::Shared, DatagramWire) {
        let endpoint = Post::open(&self.shared.0.post);
        let mine = Post::open(&self.shared.0.post);
        mine.desk(|desk| desk.capacity = usize::MAX);
        let wire = DatagramWire { mine, endpoint: endpoint.clone() };
        let options = options(&wire.address());
        if matches!(options.target, Target::Connected(_)) {
            let peer = wire.address();
            endpoint.desk(|desk| desk.peer = Some(peer));
        }
        let (transport, shared) = self.enter_datagrams(protocol, endpoint, options);
        (transport, shared, wire)
    }

    fn enter_datagrams<P: IntoDatagramProtocol>(
        &self,
        protocol: P,
        place: PostRef,
        options: DatagramOptions,
    ) -> (DatagramTransportRef, P::Shared) {
        let (shared, protocol) = protocol.share();
        let io = PostIo { place, interest: Interest::default() };
        let id = TransportId::new(self.shared.number());
        let driver = DatagramDriver::new(io, self.shared.clone(), id, protocol, options);
        let transport = driver.handle();
        self.shared.0.actors.borrow_mut().push(Rc::clone(&driver) as Rc<dyn Actor>);
        self.shared.call_soon(Box::new(move || drop(driver.begin())));
        (transport, shared)
    }
}
