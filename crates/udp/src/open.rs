//! UDP endpoints: bound to addresses of ours, connected to a peer, or both.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use socket2::Type;
use wharf_core::datagram::driver::{DatagramOptions, Target};
use wharf_core::{Address, IntoDatagramProtocol};
use wharf_reactor::{EndpointList, Endpoints, LoopHandle};

use crate::establish::{Opened, establish};
use crate::groups::{self, Interface};
use crate::options::{Buffers, endpoint_setters, fact_setters};
use crate::socket::{Socket, Speaks, Wishes, invalid};

/// Opens an endpoint at `at`, which hears everybody, and puts the protocol of `factory` on it.
///
/// Await it, after any of the settings of [`Open`].
/// It ends after `connection_made` has returned and before the first datagram.
/// An endpoint at `[::]`, or everywhere, speaks IPv4 as well.
///
/// ```
/// use wharf_core::{Address, DatagramProtocol, DatagramTransportRef};
/// use wharf_reactor::EventLoop;
///
/// struct Echo;
/// impl DatagramProtocol for Echo {
///     fn datagram_received(
///         &mut self,
///         transport: &DatagramTransportRef,
///         data: &[u8],
///         from: Option<&Address>,
///     ) {
///         let _ = transport.send_to(data, from);
///     }
/// }
///
/// let mut ev = EventLoop::new()?;
/// let handle = ev.handle().clone();
/// let (transport, _echo) =
///     ev.block_on(async { wharf_udp::bind(&handle, "127.0.0.1:0", || Echo).await })?;
/// assert!(transport.local_addr().is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "create_datagram_endpoint")]
pub fn bind<P, F>(handle: &LoopHandle, at: impl Endpoints, factory: F) -> Open<F>
where
    P: IntoDatagramProtocol,
    F: FnOnce() -> P,
{
    Open { local: Some(at.endpoints()), ..Open::new(handle, factory) }
}

/// Opens an endpoint that is connected to `to`, hears that peer alone, and learns of its ICMP errors.
///
/// Each such error is told by `error_received`, some time after the datagram that caused it has gone out. A system keeps
/// one of them at a time, so those of several datagrams may be told as one.
///
/// Await it, after any of the settings of [`Open`].
#[doc(alias = "remote_addr")]
#[doc(alias = "create_datagram_endpoint")]
pub fn connect<P, F>(handle: &LoopHandle, to: impl Endpoints, factory: F) -> Open<F>
where
    P: IntoDatagramProtocol,
    F: FnOnce() -> P,
{
    Open { remote: Some(to.endpoints()), ..Open::new(handle, factory) }
}

/// A UDP endpoint to be: its settings. Awaiting it opens it.
#[must_use = "an endpoint is opened when this is awaited"]
pub struct Open<F> {
    handle: LoopHandle,
    factory: F,
    local: Option<io::Result<EndpointList>>,
    remote: Option<io::Result<EndpointList>>,
    only_v6: bool,
    reuse_port: bool,
    broadcast: bool,
    ttl: Option<u8>,
    groups: Vec<(IpAddr, Interface)>,
    group_interface: Option<Interface>,
    group_loop: Option<bool>,
    group_ttl: Option<u8>,
    buffers: Buffers,
    wishes: Wishes,
    options: DatagramOptions,
}

impl<F> Open<F> {
    endpoint_setters!();
    fact_setters!();

    fn new(handle: &LoopHandle, factory: F) -> Self {
        Self {
            handle: handle.clone(),
            factory,
            local: None,
            remote: None,
            only_v6: false,
            reuse_port: false,
            broadcast: false,
            ttl: None,
            groups: Vec::new(),
            group_interface: None,
            group_loop: None,
            group_ttl: None,
            buffers: Buffers::default(),
            wishes: Wishes::default(),
            options: DatagramOptions::default(),
        }
    }

    /// Connects from this address. Addresses of the other family than the peer's are left out.
    pub fn local_addr(mut self, at: impl Endpoints) -> Self {
        self.local = Some(at.endpoints());
        self
    }

    /// Whether an IPv6 endpoint leaves IPv4 to others (`IPV6_V6ONLY`); off unless said otherwise.
    pub fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = only;
        self
    }

    /// Whether several endpoints may share a port, each getting a share of the peers (`SO_REUSEPORT`).
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Whether datagrams may be sent to broadcast addresses (`SO_BROADCAST`).
    ///
    /// An endpoint with a peer is not connected to it then, so that answers of others are heard: the peer's address is
    /// only where datagrams go that name none.
    #[doc(alias = "allow_broadcast")]
    pub fn broadcast(mut self, allow: bool) -> Self {
        self.broadcast = allow;
        self
    }

    /// How many routers a datagram may pass (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    pub fn ttl(mut self, hops: u8) -> Self {
        self.ttl = Some(hops);
        self
    }

    /// Hears what is sent to `group`, if it comes by `interface`. May be said for several groups.
    pub fn join(mut self, group: IpAddr, interface: Interface) -> Self {
        self.groups.push((group, interface));
        self
    }

    /// Sends to groups by this interface.
    pub fn multicast_interface(mut self, interface: Interface) -> Self {
        self.group_interface = Some(interface);
        self
    }

    /// Whether what is sent to a group is heard by this machine too, where somebody has joined it; on unless said
    /// otherwise.
    pub fn multicast_loop(mut self, on: bool) -> Self {
        self.group_loop = Some(on);
        self
    }

    /// How many routers what is sent to a group may pass; one, and so none, unless said otherwise.
    pub fn multicast_ttl(mut self, hops: u8) -> Self {
        self.group_ttl = Some(hops);
        self
    }

    async fn start<P: IntoDatagramProtocol>(mut self) -> io::Result<Opened<P>>
    where
        F: FnOnce() -> P,
    {
        let (local, remote) = (self.local.take().transpose()?, self.remote.take().transpose()?);
        let local = resolved(&self.handle, local).await?;
        let remote = resolved(&self.handle, remote).await?;
        let (socket, target) = self.first_that_opens(&places(local, remote)?)?;
        let options = DatagramOptions { target, ..self.options };
        establish(&self.handle, socket, self.factory, options).await
    }

    /// Tries one place after the other.
    fn first_that_opens(&self, places: &[Place]) -> io::Result<(Socket, Target)> {
        let mut failures = Vec::new();
        for place in places {
            match self.open(*place) {
                Ok(opened) => return Ok(opened),
                Err(error) => failures.push((place, error)),
            }
        }
        let kind = failures.last().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
        let texts: Vec<String> =
            failures.iter().map(|(place, error)| format!("{place}: {error}")).collect();
        Err(io::Error::new(kind, texts.join("; ")))
    }

    fn open(&self, place: Place) -> io::Result<(Socket, Target)> {
        let speaks = Speaks::of(place.ip(), self.only_v6);
        let socket = socket2::Socket::new(speaks.domain(), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        self.set_options(&socket, speaks)?;
        if let Some(local) = place.local {
            socket.bind(&local.into())?;
        }
        for (group, interface) in &self.groups {
            groups::join(&socket, *group, *interface)?;
        }
        let connects = !self.broadcast;
        if let Some(remote) = place.remote.filter(|_| connects) {
            socket.connect(&remote.into())?;
        }
        let (socket, connected) = Socket::new(&self.handle, socket, true, self.wishes)?;
        let target = match place.remote {
            Some(remote) if !connects => Target::Default(Address::Ip(remote)),
            // As it was written: the system's own form may differ, in the scope of an IPv6 address for one.
            Some(remote) => Target::Connected(Some(Address::Ip(remote))),
            None => connected,
        };
        Ok((socket, target))
    }

    /// Sets what must be set before the socket is bound.
    fn set_options(&self, socket: &socket2::Socket, speaks: Speaks) -> io::Result<()> {
        let v4 = speaks == Speaks::V4;
        if !v4 {
            // Systems differ in what they do unasked.
            socket.set_only_v6(speaks == Speaks::V6)?;
        }
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if self.broadcast {
            socket.set_broadcast(true)?;
        }
        match self.ttl {
            Some(hops) if v4 => socket.set_ttl_v4(hops.into())?,
            Some(hops) => socket.set_unicast_hops_v6(hops.into())?,
            None => {}
        }
        if let Some(interface) = self.group_interface {
            groups::set_interface(socket, v4, interface)?;
        }
        if let Some(on) = self.group_loop {
            groups::set_loop(socket, v4, on)?;
        }
        if let Some(hops) = self.group_ttl {
            groups::set_ttl(socket, v4, hops)?;
        }
        self.buffers.set(socket)
    }
}

impl<P, F> IntoFuture for Open<F>
where
    P: IntoDatagramProtocol + 'static,
    F: FnOnce() -> P + 'static,
{
    type Output = io::Result<Opened<P>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl<F> fmt::Debug for Open<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

async fn resolved(
    handle: &LoopHandle,
    list: Option<EndpointList>,
) -> io::Result<Option<Vec<SocketAddr>>> {
    match list {
        None => Ok(None),
        Some(list) => list.resolve(handle).await.map(Some),
    }
}

/// Where one socket may be bound and connected to. One of them is there at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
}

impl Place {
    fn ip(self) -> IpAddr {
        let address = self.local.or(self.remote);
        address.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |address| address.ip())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.local, self.remote) {
            (Some(local), Some(remote)) => write!(f, "{local} to {remote}"),
            (Some(address), None) | (None, Some(address)) => address.fmt(f),
            (None, None) => f.write_str("nowhere"),
        }
    }
}

/// The places to try, in order: every remote address with every local one of its family.
fn places(
    local: Option<Vec<SocketAddr>>,
    remote: Option<Vec<SocketAddr>>,
) -> io::Result<Vec<Place>> {
    let places: Vec<Place> = match (local, remote) {
        (None, None) => Vec::new(),
        (None, Some(remote)) => {
            remote.into_iter().map(|to| Place { local: None, remote: Some(to) }).collect()
        }
        (Some(mut local), None) => {
            put_dual_stack_first(&mut local);
            local.into_iter().map(|at| Place { local: Some(at), remote: None }).collect()
        }
        (Some(local), Some(remote)) => {
            let pairs = remote.iter().flat_map(|to| local.iter().map(move |at| (at, to)));
            pairs
                .filter(|(at, to)| at.is_ipv4() == to.is_ipv4())
                .map(|(at, to)| Place { local: Some(*at), remote: Some(*to) })
                .collect()
        }
    };
    if places.is_empty() {
        return Err(invalid("no address of ours is of the family of the peer's"));
    }
    Ok(places)
}

/// Of everywhere in both families the IPv6 one comes first, because one socket then serves both.
fn put_dual_stack_first(local: &mut [SocketAddr]) {
    let everywhere = local.iter().position(|at| at.ip() == Ipv4Addr::UNSPECIFIED);
    let Some(v4) = everywhere else { return };
    let twin = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), local[v4].port());
    if let Some(v6) = local.iter().position(|at| *at == twin) {
        if v6 > v4 {
            local.swap(v4, v6);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(texts: &[&str]) -> Option<Vec<SocketAddr>> {
        Some(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn told(local: Option<Vec<SocketAddr>>, remote: Option<Vec<SocketAddr>>) -> Vec<String> {
        places(local, remote).unwrap().iter().map(Place::to_string).collect()
    }

    #[test]
    fn every_remote_address_is_tried_with_the_local_ones_of_its_family() {
        let local = at(&["127.0.0.1:1", "[::1]:2"]);
        let remote = at(&["[::1]:3", "127.0.0.1:4"]);
        assert_eq!(told(local, remote), ["[::1]:2 to [::1]:3", "127.0.0.1:1 to 127.0.0.1:4"]);
        assert_eq!(told(None, at(&["127.0.0.1:4"])), ["127.0.0.1:4"]);
    }

    #[test]
    fn everywhere_is_one_socket_of_both_families_where_that_can_be() {
        assert_eq!(told(at(&["0.0.0.0:5", "[::]:5"]), None), ["[::]:5", "0.0.0.0:5"]);
        assert_eq!(told(at(&["0.0.0.0:5", "[::]:6"]), None), ["0.0.0.0:5", "[::]:6"]);
    }
}
