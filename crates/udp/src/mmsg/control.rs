//! Control messages: what the system says about a datagram beside its bytes, read from and written as bytes.
//!
//! All of it is safe code over slices, because what is read here was written by somebody else: any bytes at all give
//! some messages or none, and never a read outside of the slice.
//! The layout is that of `cmsghdr`: a length that counts the header, a level, a kind, the data, and padding up to the
//! alignment of a machine word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use wharf_core::datagram::{Arrival, Ecn};

/// Linux counts in machine words here, other systems in 32 bits.
#[cfg(any(target_os = "linux", target_os = "android"))]
type Word = usize;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
type Word = u32;

const WORD: usize = size_of::<Word>();

/// A word, a level and a kind.
const HEADER: usize = (WORD + 4 + 4).next_multiple_of(WORD);

/// How many bytes a message with `len` bytes of data takes.
pub(crate) const fn space(len: usize) -> usize {
    HEADER + len.next_multiple_of(WORD)
}

/// One control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) level: i32,
    pub(crate) kind: i32,
    pub(crate) data: &'a [u8],
}

/// The messages in `bytes`, up to the first that is not whole.
#[inline]
pub(crate) fn messages(bytes: &[u8]) -> Messages<'_> {
    Messages { rest: bytes }
}

/// An iterator over control messages.
#[derive(Debug, Clone)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    #[inline]
    fn next(&mut self) -> Option<Message<'a>> {
        let (len, after) = self.rest.split_first_chunk()?;
        let (level, after) = after.split_first_chunk()?;
        let (kind, _) = after.split_first_chunk()?;
        #[allow(clippy::unnecessary_cast)] // Not on every system.
        let len = Word::from_ne_bytes(*len) as usize;
        // Fails for a message shorter than its own header, and for one that goes on beyond the end.
        let data = self.rest.get(HEADER..len)?;
        // The last one may be without its padding.
        self.rest = len
            .checked_next_multiple_of(WORD)
            .and_then(|next| self.rest.get(next..))
            .unwrap_or(&[]);
        Some(Message { level: i32::from_ne_bytes(*level), kind: i32::from_ne_bytes(*kind), data })
    }
}

/// Writes down in `arrival` what the control messages in `bytes` say; what they do not say, or say in a way that
/// makes no sense, stays as it is.
#[inline]
pub(crate) fn describe(bytes: &[u8], arrival: &mut Arrival) {
    for message in messages(bytes) {
        let data = message.data;
        match (message.level, message.kind) {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (libc::SOL_UDP, libc::UDP_GRO) => {
                arrival.segment = number(data).unwrap_or(0);
            }
            #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => describe_v4(data, arrival),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => describe_v6(data, arrival),
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                // One byte or four, as the system likes.
                arrival.ecn = data.first().and_then(|first| {
                    let class = number(data).unwrap_or_else(|| usize::from(*first));
                    Ecn::from_bits((class & 0b11) as u8)
                });
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => arrival.timestamp = time(data),
            _ => {}
        }
    }
}

/// The first four bytes as a C integer that is not negative.
#[inline]
fn number(data: &[u8]) -> Option<usize> {
    data.first_chunk().and_then(|bytes| usize::try_from(i32::from_ne_bytes(*bytes)).ok())
}

/// `in_pktinfo`: the interface, the address to answer from, the destination in the header.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn describe_v4(data: &[u8], arrival: &mut Arrival) {
    let Some((interface, data)) = data.split_first_chunk::<4>() else { return };
    let Some((local, data)) = data.split_first_chunk::<4>() else { return };
    let Some((to, _)) = data.split_first_chunk::<4>() else { return };
    arrival.interface = NonZeroU32::new(u32::from_ne_bytes(*interface));
    arrival.local = named(Ipv4Addr::from(*local).into());
    arrival.to = named(Ipv4Addr::from(*to).into());
}

/// `in6_pktinfo`: the destination in the header, and the interface.
fn describe_v6(data: &[u8], arrival: &mut Arrival) {
    let Some((to, data)) = data.split_first_chunk::<16>() else { return };
    let Some((interface, _)) = data.split_first_chunk::<4>() else { return };
    arrival.interface = NonZeroU32::new(u32::from_ne_bytes(*interface));
    let to = Ipv6Addr::from(*to).to_canonical();
    // A dual-stack socket may tell of an IPv4 datagram in both ways, and IPv4's own knows more.
    if to.is_ipv6() || arrival.to.is_none() {
        arrival.to = named(to);
        // Nobody answers from the address of a group.
        arrival.local = arrival.to.filter(|to| !to.is_multicast());
    }
}

/// An address, unless it is the one that stands for none.
fn named(address: IpAddr) -> Option<IpAddr> {
    (!address.is_unspecified()).then_some(address)
}

/// `timespec`, in words of 32 or 64 bits.
fn time(data: &[u8]) -> Option<SystemTime> {
    let (seconds, nanoseconds) = match *data {
        [ref seconds @ .., _, _, _, _, _, _, _, _] if seconds.len() == 8 => {
            let nanoseconds = data.last_chunk()?;
            (i64::from_ne_bytes(*data.first_chunk()?), i64::from_ne_bytes(*nanoseconds))
        }
        [ref seconds @ .., _, _, _, _] if seconds.len() == 4 => {
            let nanoseconds = data.last_chunk()?;
            (
                i32::from_ne_bytes(*data.first_chunk()?).into(),
                i32::from_ne_bytes(*nanoseconds).into(),
            )
        }
        _ => return None,
    };
    let since = Duration::new(u64::try_from(seconds).ok()?, 0);
    let part = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)?.checked_add(part)
}

/// Control messages that go out with a datagram, one after the other in a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// How many bytes of the buffer the messages take.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends a message.
    ///
    /// # Panics
    /// When the buffer is full: it is made for all messages that there are.
    pub(crate) fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let whole = space(data.len());
        let place = &mut self.buffer[self.len..self.len + whole];
        let (header, place) = place.split_at_mut(HEADER);
        let (len, header) = header.split_at_mut(WORD);
        len.copy_from_slice(&((HEADER + data.len()) as Word).to_ne_bytes());
        header[..4].copy_from_slice(&level.to_ne_bytes());
        header[4..8].copy_from_slice(&kind.to_ne_bytes());
        place[..data.len()].copy_from_slice(data);
        self.len += whole;
    }

    /// The datagram is a train, to be cut into pieces of `size` bytes.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn segment(&mut self, size: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }

    /// Elsewhere there are no trains, and nobody makes one.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn segment(&mut self, _size: u16) {}

    /// The datagram leaves from this address.
    pub(crate) fn local(&mut self, local: IpAddr) {
        match local {
            #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
            IpAddr::V4(local) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&local.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
            IpAddr::V4(_) => {}
            IpAddr::V6(local) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&local.octets());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    /// The datagram, of IPv4 or IPv6, has this congestion mark.
    pub(crate) fn ecn(&mut self, ecn: Ecn, v4: bool) {
        let (level, kind) = if v4 {
            (libc::IPPROTO_IP, libc::IP_TOS)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
        };
        self.push(level, kind, &i32::from(ecn.bits()).to_ne_bytes());
    }
}
