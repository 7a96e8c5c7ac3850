//! Multicast groups: joining and leaving, and how datagrams go out to them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::rc::Rc;

use socket2::InterfaceIndexOrAddress;
use wharf_core::datagram::driver::DatagramAccess;
use wharf_reactor::datagram::PolledDatagrams;

use crate::socket::{Socket, invalid};

/// A network interface, as multicast names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Interface {
    /// The one that the system chooses.
    #[default]
    Any,
    /// The one with this number, for both families.
    Index(NonZeroU32),
    /// The one with this address, for IPv4 alone.
    Address(Ipv4Addr),
}

impl Interface {
    fn for_v4(self) -> InterfaceIndexOrAddress {
        match self {
            Self::Any => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
            Self::Index(index) => InterfaceIndexOrAddress::Index(index.get()),
            Self::Address(address) => InterfaceIndexOrAddress::Address(address),
        }
    }

    fn for_v6(self) -> io::Result<u32> {
        match self {
            Self::Any => Ok(0),
            Self::Index(index) => Ok(index.get()),
            Self::Address(address) => {
                Err(invalid(format!("IPv6 names an interface by its number, not by {address}")))
            }
        }
    }
}

/// The multicast groups of a live endpoint, as a fact: `transport.extra::<udp::Groups>()`. UDP endpoints alone have it.
///
/// What must be set before the first datagram is set on the endpoint to be: see [`Open`](crate::Open).
#[derive(Clone)]
pub struct Groups(Rc<dyn DatagramAccess<PolledDatagrams<Socket>>>);

impl Groups {
    pub(crate) fn new(access: Rc<dyn DatagramAccess<PolledDatagrams<Socket>>>) -> Self {
        Self(access)
    }

    /// Hears what is sent to `group`, if it comes by `interface`.
    ///
    /// # Errors
    /// `InvalidInput` when `group` is no group; the system's; `NotConnected` once the endpoint is lost.
    pub fn join(&self, group: IpAddr, interface: Interface) -> io::Result<()> {
        self.with(|socket| join(socket, group, interface))
    }

    /// Hears it no longer.
    ///
    /// # Errors
    /// As [`join`](Self::join); also when it was not joined.
    pub fn leave(&self, group: IpAddr, interface: Interface) -> io::Result<()> {
        self.with(|socket| match checked(group)? {
            IpAddr::V4(group) => socket.leave_multicast_v4_n(&group, &interface.for_v4()),
            IpAddr::V6(group) => socket.leave_multicast_v6(&group, interface.for_v6()?),
        })
    }

    /// Sends to groups by this interface.
    ///
    /// # Errors
    /// `InvalidInput` for a kind of name that the endpoint's family has not; the system's.
    pub fn set_interface(&self, interface: Interface) -> io::Result<()> {
        self.with(|socket| set_interface(socket, is_v4(socket)?, interface))
    }

    /// Whether what is sent to a group is heard by this machine too, where somebody has joined it; on unless said
    /// otherwise.
    ///
    /// # Errors
    /// The system's.
    pub fn set_loop(&self, on: bool) -> io::Result<()> {
        self.with(|socket| set_loop(socket, is_v4(socket)?, on))
    }

    /// How many routers what is sent to a group may pass; one, and so none, unless said otherwise.
    ///
    /// # Errors
    /// The system's.
    pub fn set_ttl(&self, hops: u8) -> io::Result<()> {
        self.with(|socket| set_ttl(socket, is_v4(socket)?, hops))
    }

    fn with(&self, change: impl FnOnce(&socket2::Socket) -> io::Result<()>) -> io::Result<()> {
        let mut change = Some(change);
        let mut outcome = Err(io::ErrorKind::NotConnected.into());
        self.0.with_io(&mut |io| {
            if let (Some(socket), Some(change)) = (io.socket(), change.take()) {
                outcome = change(socket.as_raw());
            }
        });
        outcome
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

fn is_v4(socket: &socket2::Socket) -> io::Result<bool> {
    Ok(socket.local_addr()?.is_ipv4())
}

fn checked(group: IpAddr) -> io::Result<IpAddr> {
    if group.is_multicast() { Ok(group) } else { Err(invalid(format!("{group} is no group"))) }
}

pub(crate) fn join(
    socket: &socket2::Socket,
    group: IpAddr,
    interface: Interface,
) -> io::Result<()> {
    match checked(group)? {
        IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &interface.for_v4()),
        IpAddr::V6(group) => socket.join_multicast_v6(&group, interface.for_v6()?),
    }
}

pub(crate) fn set_interface(
    socket: &socket2::Socket,
    v4: bool,
    interface: Interface,
) -> io::Result<()> {
    match interface {
        Interface::Index(index) if v4 => set_interface_v4(socket, index),
        Interface::Any if v4 => socket.set_multicast_if_v4(&Ipv4Addr::UNSPECIFIED),
        Interface::Address(address) if v4 => socket.set_multicast_if_v4(&address),
        other => socket.set_multicast_if_v6(other.for_v6()?),
    }
}

/// Linux takes a number in a structure of its own, which is what joining by number takes too.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_interface_v4(socket: &socket2::Socket, index: NonZeroU32) -> io::Result<()> {
    let index = i32::try_from(index.get())
        .map_err(|_| invalid(format!("no interface has the number {index}")))?;
    let none = libc::in_addr { s_addr: 0 };
    let by_number = libc::ip_mreqn { imr_multiaddr: none, imr_address: none, imr_ifindex: index };
    Ok(nix::sys::socket::setsockopt(socket, OutgoingInterface, &by_number)?)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug, Clone, Copy)]
struct OutgoingInterface;

#[cfg(any(target_os = "linux", target_os = "android"))]
nix::setsockopt_impl!(
    OutgoingInterface,
    libc::IPPROTO_IP,
    libc::IP_MULTICAST_IF,
    libc::ip_mreqn,
    nix::sys::socket::sockopt::SetStruct<'_, libc::ip_mreqn>
);

/// Elsewhere the number is not taken everywhere.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_interface_v4(_: &socket2::Socket, _: NonZeroU32) -> io::Result<()> {
    Err(invalid("an IPv4 endpoint sends to groups by an interface that is named by address here"))
}

pub(crate) fn set_loop(socket: &socket2::Socket, v4: bool, on: bool) -> io::Result<()> {
    if v4 { socket.set_multicast_loop_v4(on) } else { socket.set_multicast_loop_v6(on) }
}

pub(crate) fn set_ttl(socket: &socket2::Socket, v4: bool, hops: u8) -> io::Result<()> {
    if v4 {
        socket.set_multicast_ttl_v4(hops.into())
    } else {
        socket.set_multicast_hops_v6(hops.into())
    }
}
