//! Socket addresses as the bytes that system calls take and give.
//!
//! The layouts are those of `sockaddr_in`, `sockaddr_in6` and `sockaddr_un`, which every system shares but for the first
//! two bytes. Reading is safe code over a slice, like that of control messages.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use wharf_core::datagram::Peer;
use wharf_core::{Address, UnixAddress};

/// Before the name of a Unix socket comes its family.
const FAMILY: usize = 2;

/// The longest name that a Unix socket's address has room for; a path ends in a zero byte, within this.
const UNIX_NAME: usize = size_of::<libc::sockaddr_un>() - FAMILY;

/// Room for every address.
pub(crate) const CAPACITY: usize = size_of::<libc::sockaddr_un>();

const V4: usize = size_of::<libc::sockaddr_in>();
const V6: usize = size_of::<libc::sockaddr_in6>();

/// The family's number in the first two bytes of an address of `len` bytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn mark(name: &mut [u8], family: i32, _len: usize) {
    name[..FAMILY].copy_from_slice(&(family as u16).to_ne_bytes());
}

/// The family's number in the second byte, after the length.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn mark(name: &mut [u8], family: i32, len: usize) {
    name[0] = len as u8;
    name[1] = family as u8;
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn family(mark: [u8; FAMILY]) -> i32 {
    u16::from_ne_bytes(mark).into()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn family(mark: [u8; FAMILY]) -> i32 {
    mark[1].into()
}

/// Writes an address, for a socket that wants IPv4 addresses mapped into IPv6 or as they are; says how long it is.
///
/// # Errors
/// A Unix name that is too long for an address, or a path with a zero byte in it.
#[inline]
pub(crate) fn write(name: &mut [u8; CAPACITY], peer: Peer<'_>, mapped: bool) -> io::Result<usize> {
    match peer {
        Peer::Ip(SocketAddr::V4(address)) if mapped => {
            let ip = address.ip().to_ipv6_mapped();
            Ok(write_v6(name, SocketAddrV6::new(ip, address.port(), 0, 0)))
        }
        Peer::Ip(SocketAddr::V4(address)) => Ok(write_v4(name, *address)),
        Peer::Ip(SocketAddr::V6(address)) => Ok(write_v6(name, *address)),
        Peer::Path(path) => {
            if path.contains(&0) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a zero byte in a path"));
            }
            write_unix(name, &[path, b"\0"])
        }
        Peer::Abstract(abstract_name) => write_unix(name, &[b"\0", abstract_name]),
    }
}

#[inline]
fn write_v4(name: &mut [u8; CAPACITY], address: SocketAddrV4) -> usize {
    mark(name, libc::AF_INET, V4);
    name[2..4].copy_from_slice(&address.port().to_be_bytes());
    name[4..8].copy_from_slice(&address.ip().octets());
    name[8..V4].fill(0);
    V4
}

#[inline]
fn write_v6(name: &mut [u8; CAPACITY], address: SocketAddrV6) -> usize {
    mark(name, libc::AF_INET6, V6);
    name[2..4].copy_from_slice(&address.port().to_be_bytes());
    // As std has it: in the order of the network already.
    name[4..8].copy_from_slice(&address.flowinfo().to_ne_bytes());
    name[8..24].copy_from_slice(&address.ip().octets());
    name[24..V6].copy_from_slice(&address.scope_id().to_ne_bytes());
    V6
}

fn write_unix(name: &mut [u8; CAPACITY], parts: &[&[u8]]) -> io::Result<usize> {
    let long: usize = parts.iter().map(|part| part.len()).sum();
    if long > UNIX_NAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too long for a Unix socket's name",
        ));
    }
    mark(name, libc::AF_UNIX, FAMILY + long);
    let mut len = FAMILY;
    for part in parts {
        name[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    Ok(len)
}

/// Reads an address into `address`; none is what a sender without a name has.
#[inline]
pub(crate) fn read(name: &[u8], address: &mut Option<Address>) {
    let Some((first, rest)) = name.split_first_chunk::<FAMILY>() else {
        *address = None;
        return;
    };
    *address = match family(*first) {
        // Cut to lengths that are known here, which leaves nothing to check while they are read.
        libc::AF_INET => name.get(FAMILY..V4).and_then(read_v4).map(Address::Ip),
        libc::AF_INET6 => name.get(FAMILY..V6).and_then(read_v6).map(Address::Ip),
        libc::AF_UNIX => read_unix(rest).map(Address::Unix),
        _ => None,
    };
}

#[inline]
fn read_v4(rest: &[u8]) -> Option<SocketAddr> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (ip, _) = rest.split_first_chunk::<4>()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(*ip), u16::from_be_bytes(*port)).into())
}

#[inline]
fn read_v6(rest: &[u8]) -> Option<SocketAddr> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (flow, rest) = rest.split_first_chunk::<4>()?;
    let (ip, rest) = rest.split_first_chunk::<16>()?;
    let (scope, _) = rest.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes(*port);
    Some(match Ipv6Addr::from(*ip).to_canonical() {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
        IpAddr::V6(ip) => {
            let (flow, scope) = (u32::from_ne_bytes(*flow), u32::from_ne_bytes(*scope));
            SocketAddrV6::new(ip, port, flow, scope).into()
        }
    })
}

fn read_unix(rest: &[u8]) -> Option<UnixAddress> {
    match rest {
        [] => None,
        [0, name @ ..] if cfg!(any(target_os = "linux", target_os = "android")) => {
            Some(UnixAddress::Abstract(name.into()))
        }
        // Systems without abstract names fill the place of a name that is not there with zeros.
        [0, ..] => None,
        path => {
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            Some(UnixAddress::Path(Path::new(OsStr::from_bytes(&path[..end])).into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(peer: Peer<'_>, mapped: bool) -> Option<Address> {
        let mut name = [0xff; CAPACITY];
        let len = write(&mut name, peer, mapped).unwrap();
        let mut address = None;
        read(&name[..len], &mut address);
        address
    }

    #[test]
    fn every_kind_of_address_comes_back_as_it_was() {
        for text in ["127.0.0.1:80", "255.255.255.255:65535", "[::1]:1", "[2001:db8::7]:443"] {
            let address: SocketAddr = text.parse().unwrap();
            for mapped in [false, true] {
                assert_eq!(round_trip(Peer::Ip(&address), mapped), Some(address.into()));
            }
        }
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0x0102_0304, 5);
        assert_eq!(round_trip(Peer::Ip(&scoped.into()), true), Some(Address::Ip(scoped.into())));
        let path = Path::new("/run/socket");
        assert_eq!(
            round_trip(Peer::Path(path.as_os_str().as_bytes()), false),
            Some(UnixAddress::from(path).into())
        );
        let name = UnixAddress::abstract_name(b"a\0b");
        assert_eq!(round_trip(Peer::Abstract(b"a\0b"), false), Some(name.into()));
    }

    #[test]
    fn the_longest_names_fit_and_longer_ones_are_refused() {
        let mut name = [0; CAPACITY];
        let long = "x".repeat(UNIX_NAME);
        for (path, fits) in [(&long[..UNIX_NAME - 1], true), (&long[..], false)] {
            assert_eq!(write(&mut name, Peer::Path(path.as_bytes()), false).is_ok(), fits);
            assert_eq!(write(&mut name, Peer::Abstract(path.as_bytes()), false).is_ok(), fits);
        }
        let error = write(&mut name, Peer::Path(b"a\0b"), false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn no_bytes_at_all_are_read_beyond_the_end() {
        let mut name = [0; CAPACITY];
        for family in [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, 99] {
            mark(&mut name, family, CAPACITY);
            for len in 0..CAPACITY {
                let mut address = Some(Address::Unix(UnixAddress::Unnamed));
                read(&name[..len], &mut address);
                assert_ne!(address, Some(Address::Unix(UnixAddress::Unnamed)), "it was written");
            }
        }
    }
}
