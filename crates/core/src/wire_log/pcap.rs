//! [`Pcap`]: a wire log as a capture file, for Wireshark and its kin.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Entry, Subject, WireLog};
use crate::address::Address;

/// The mark of a capture file whose times are in nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;

/// The type of link whose packets begin with an IP header.
const RAW_IP: u32 = 101;

/// No packet is longer: an IPv4 header tells its length in sixteen bits.
const LONGEST_PACKET: usize = 65_535;

/// As much as fits into one packet behind the headers of either family, with some room.
const LONGEST_PAYLOAD: usize = 65_000;

const TCP: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PUSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// A wire log as a capture file (pcap, with times in nanoseconds), one for each stream.
///
/// The bytes are those of the stream, each read and each write as a packet, or as several where it is longer than one can
/// be; the headers around them are made up: an IP and a TCP header for each, with sequence numbers and checksums that
/// agree, a handshake before them and an end after them.
/// So whatever the stream is (a Unix socket, a pipe, the plaintext above TLS), it is followed and dissected as a TCP
/// connection.
/// Ends without an IP address are put at loopback addresses with ports that follow from the transport's number.
#[derive(Debug)]
pub struct Pcap<W> {
    writer: W,
    epoch: Duration,
    ends: Option<(SocketAddr, SocketAddr)>,
    ours: End,
    peers: End,
    packets: Vec<u8>,
}

/// One end of the connection that is made up.
#[derive(Debug)]
struct End {
    address: SocketAddr,
    /// The next sequence number.
    next: u32,
    /// Whether its direction has ended.
    ended: bool,
}

impl End {
    fn at(address: SocketAddr) -> Self {
        Self { address, next: 0, ended: false }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Us,
    Peer,
}

impl<W: Write> Pcap<W> {
    /// A capture file that goes to `writer`. Its times begin in 1970, unless it is told [`begun_at`](Self::begun_at).
    pub fn new(writer: W) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            writer,
            epoch: Duration::ZERO,
            ends: None,
            ours: End::at(nowhere),
            peers: End::at(nowhere),
            packets: Vec::new(),
        }
    }

    /// The log begins at this time of day: `SystemTime::now()`, most often. A loop's own clock counts from nowhere.
    #[must_use]
    pub fn begun_at(mut self, time: SystemTime) -> Self {
        self.epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self
    }

    /// The ends are shown at these addresses in the place of their own. What Wireshark takes a stream for follows from its
    /// ports: plaintext of HTTPS is best shown at port 80.
    ///
    /// Ignored unless both are of one family.
    #[must_use]
    pub fn between(mut self, local: SocketAddr, peer: SocketAddr) -> Self {
        self.ends = Some((local, peer));
        self
    }

    /// The ends from the one that sends to the other.
    fn ends(&mut self, from: From) -> (&mut End, &mut End) {
        match from {
            From::Us => (&mut self.ours, &mut self.peers),
            From::Peer => (&mut self.peers, &mut self.ours),
        }
    }

    fn send(&mut self, at: Duration, from: From, bytes: &[u8]) {
        for chunk in bytes.chunks(LONGEST_PAYLOAD) {
            self.packet(at, from, PUSH | ACK, chunk);
        }
    }

    /// Appends one packet, and counts what it takes of the sequence.
    fn packet(&mut self, at: Duration, from: From, flags: u8, payload: &[u8]) {
        let at = self.epoch + at;
        let (sender, receiver) = self.ends(from);
        let segment = segment(sender, receiver, flags, payload);
        let header = ip_header(sender.address.ip(), receiver.address.ip(), segment.len());
        // What is never longer than a packet can be counts in 32 bits.
        #[allow(clippy::cast_possible_truncation)]
        let taken = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        sender.next = sender.next.wrapping_add(taken);
        sender.ended |= flags & FIN != 0;
        #[allow(clippy::cast_possible_truncation)] // As above; the seconds last until 2106.
        let (seconds, length) = (at.as_secs() as u32, (header.len() + segment.len()) as u32);
        for number in [seconds, at.subsec_nanos(), length, length] {
            self.packets.extend(number.to_le_bytes());
        }
        self.packets.extend(header);
        self.packets.extend(segment);
    }

    fn put(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(&self.packets);
        self.packets.clear();
        written
    }
}

impl<W: Write + 'static> WireLog for Pcap<W> {
    fn begin(&mut self, subject: &Subject) -> io::Result<()> {
        let given = self.ends.filter(|(local, peer)| local.is_ipv4() == peer.is_ipv4());
        let (local, peer) = given.or_else(|| addresses(subject)).unwrap_or_else(|| {
            // Of the ports that nobody registers, so that nothing is taken for what it is not.
            let port = 49_152 + u16::try_from(subject.id.get() % 16_384).unwrap_or_default();
            let at = |host| SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), port));
            (at(1), at(2))
        });
        (self.ours, self.peers) = (End::at(local), End::at(peer));
        for number in [MAGIC, 0x0004_0002, 0, 0, 65_535, RAW_IP] {
            self.packets.extend(number.to_le_bytes());
        }
        // Whoever called chose a port by chance, and those are the higher ones.
        let (client, server) = if local.port() > peer.port() {
            (From::Us, From::Peer)
        } else {
            (From::Peer, From::Us)
        };
        self.packet(Duration::ZERO, client, SYN, &[]);
        self.packet(Duration::ZERO, server, SYN | ACK, &[]);
        self.packet(Duration::ZERO, client, ACK, &[]);
        self.put()
    }

    fn record(&mut self, at: Duration, entry: &Entry<'_>) -> io::Result<()> {
        match entry {
            Entry::Read(bytes) => self.send(at, From::Peer, bytes),
            Entry::Written(bytes) => self.send(at, From::Us, bytes),
            // A gap in the sequence, which is shown as what was not captured.
            #[allow(clippy::cast_possible_truncation)] // Sequence numbers wrap.
            Entry::WrittenUnseen(count) => {
                self.ours.next = self.ours.next.wrapping_add(*count as u32);
            }
            Entry::ReadEnd => self.packet(at, From::Peer, FIN | ACK, &[]),
            Entry::WriteEnd => self.packet(at, From::Us, FIN | ACK, &[]),
            Entry::Lost(why) if why.is_clean() => {
                if !self.ours.ended {
                    self.packet(at, From::Us, FIN | ACK, &[]);
                }
            }
            Entry::Lost(_) => self.packet(at, From::Us, RST | ACK, &[]),
        }
        self.put()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The addresses of both ends, if they have some of one family.
fn addresses(subject: &Subject) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |address: &Option<Address>| {
        let address = address.as_ref().and_then(Address::ip)?;
        // A client of the other family, on a socket for both.
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    };
    let (local, peer) = (ip(&subject.local)?, ip(&subject.peer)?);
    (local.is_ipv4() == peer.is_ipv4()).then_some((local, peer))
}

/// A TCP header with what it carries.
fn segment(sender: &End, receiver: &End, flags: u8, payload: &[u8]) -> Vec<u8> {
    let acknowledged = if flags & ACK == 0 { 0 } else { receiver.next };
    let mut segment = Vec::with_capacity(20 + payload.len());
    segment.extend(sender.address.port().to_be_bytes());
    segment.extend(receiver.address.port().to_be_bytes());
    segment.extend(sender.next.to_be_bytes());
    segment.extend(acknowledged.to_be_bytes());
    segment.extend([5 << 4, flags]); // Five words of header.
    segment.extend(u16::MAX.to_be_bytes()); // The window.
    segment.extend([0; 4]); // The checksum, and no urgent data.
    segment.extend(payload);
    let sum = checksum(&[&pseudo_header(sender, receiver, segment.len()), &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// What TCP's checksum covers besides the segment.
fn pseudo_header(sender: &End, receiver: &End, length: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(40);
    for end in [sender, receiver] {
        match end.address.ip() {
            IpAddr::V4(address) => header.extend(address.octets()),
            IpAddr::V6(address) => header.extend(address.octets()),
        }
    }
    header.extend([0, TCP]);
    header.extend(sixteen_bits(length).to_be_bytes());
    header
}

fn ip_header(from: IpAddr, to: IpAddr, length: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(40);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([4 << 4 | 5, 0]); // Five words of header.
            header.extend(sixteen_bits(20 + length).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, TCP, 0, 0]); // Not to be fragmented, 64 hops.
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            let octets = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            header.extend([6 << 4, 0, 0, 0]);
            header.extend(sixteen_bits(length).to_be_bytes());
            header.extend([TCP, 64]);
            header.extend(octets(from));
            header.extend(octets(to));
        }
    }
    header
}

/// A length in a header. What does not fit into a packet is cut into payloads that do.
fn sixteen_bits(length: usize) -> u16 {
    debug_assert!(length <= LONGEST_PACKET);
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// The checksum of IP and TCP over `parts`, each of an even length but the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for word in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[allow(clippy::cast_possible_truncation)] // Folded above.
    let sum = sum as u16;
    !sum
}
