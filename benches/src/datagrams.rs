//! Batches of datagrams by hand, over IPv4: one `recvmmsg`, one `sendmmsg`, for the limit and for the generator.
//!
//! Headers are written for each call out of the slices of one value, so no pointer outlives the call.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// Room for the two control messages there are.
const CONTROL: usize = 64;

/// Before the data of a control message: its length, its level, its kind.
const HEADER: usize = size_of::<usize>() + 8;

/// An option that is an int.
#[derive(Debug, Clone, Copy)]
pub enum Setting {
    /// Trains are left together on arrival.
    Coalesce,
    /// Each datagram tells the address that it came to.
    Destination,
    /// Bytes that may wait to be received.
    ReceiveBuffer(usize),
    /// A receive gives up after so many seconds.
    Patience(usize),
}

/// Sets an option.
///
/// # Errors
///
/// The kernel's.
pub fn set(socket: impl AsFd, setting: Setting) -> io::Result<()> {
    let int = |value: usize| [value as libc::c_int, 0, 0, 0];
    let (level, name, value, size) = match setting {
        Setting::Coalesce => (libc::SOL_UDP, libc::UDP_GRO, int(1), 4),
        Setting::Destination => (libc::IPPROTO_IP, libc::IP_PKTINFO, int(1), 4),
        Setting::ReceiveBuffer(bytes) => (libc::SOL_SOCKET, libc::SO_RCVBUF, int(bytes), 4),
        // A timeval: two words.
        Setting::Patience(seconds) => (libc::SOL_SOCKET, libc::SO_RCVTIMEO, int(seconds), 16),
    };
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the value lives through the call, and has at least `size` bytes.
    check(unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), size) } as isize)?;
    Ok(())
}

/// What is known about one message, or wanted of it.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// How many bytes of its space it takes.
    pub len: usize,
    /// The bytes of each of its datagrams but the last; zero for a message that is one datagram.
    pub segment: usize,
    /// The other end.
    pub peer: SocketAddrV4,
    /// The address of ours, where it is known or wanted.
    pub local: Option<Ipv4Addr>,
}

impl Message {
    const BLANK: Self =
        Self { len: 0, segment: 0, peer: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), local: None };
}

/// Messages with their spaces.
pub struct Batch {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_in]>,
    controls: Box<[[u64; CONTROL / 8]]>,
    buffer: Box<[u8]>,
    size: usize,
    messages: Box<[Message]>,
}

impl Batch {
    /// `count` messages with a space of `size` bytes each.
    #[must_use]
    pub fn new(count: usize, size: usize) -> Self {
        // SAFETY: zero is a value of integers and pointers.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let name: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            headers: vec![header; count].into(),
            vectors: vec![vector; count].into(),
            names: vec![name; count].into(),
            controls: vec![[0; CONTROL / 8]; count].into(),
            buffer: vec![0; count * size].into(),
            size,
            messages: vec![Message::BLANK; count].into(),
        }
    }

    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// What is known about message `at`, or wanted of it.
    pub fn message(&mut self, at: usize) -> &mut Message {
        &mut self.messages[at]
    }

    /// The space of message `at`.
    pub fn space(&mut self, at: usize) -> &mut [u8] {
        &mut self.buffer[at * self.size..][..self.size]
    }

    /// The bytes of message `at`.
    #[must_use]
    pub fn data(&self, at: usize) -> &[u8] {
        &self.buffer[at * self.size..][..self.messages[at].len]
    }

    /// Receives; says how many messages came. `flags` are the kernel's. With `control` it is looked at what is said
    /// beside the bytes.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn receive(&mut self, socket: impl AsFd, flags: i32, control: bool) -> io::Result<usize> {
        let room = if control { CONTROL } else { 0 };
        for at in 0..self.count() {
            self.point(at, self.size, room);
        }
        let (first, room) = (self.headers.as_mut_ptr(), self.count() as libc::c_uint);
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: each header was pointed to places of its own in this very value.
        let count =
            check(unsafe { libc::recvmmsg(fd, first, room, flags, ptr::null_mut()) } as isize)?;
        for at in 0..count {
            let header = &self.headers[at];
            let name = &self.names[at];
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            let mut message = Message {
                len: (header.msg_len as usize).min(self.size),
                segment: 0,
                peer: SocketAddrV4::new(ip, u16::from_be(name.sin_port)),
                local: None,
            };
            if control {
                look(&self.controls[at], header.msg_hdr.msg_controllen, &mut message);
            }
            self.messages[at] = message;
        }
        Ok(count)
    }

    /// Sends messages `from..to`; says how many were taken.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn send(&mut self, socket: impl AsFd, from: usize, to: usize) -> io::Result<usize> {
        for at in from..to {
            let message = self.messages[at];
            let name = &mut self.names[at];
            name.sin_family = libc::AF_INET as libc::sa_family_t;
            name.sin_port = message.peer.port().to_be();
            name.sin_addr.s_addr = u32::from(*message.peer.ip()).to_be();
            let room = say(&mut self.controls[at], &message);
            self.point(at, message.len, room);
        }
        let first = self.headers[from..to].as_mut_ptr();
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: each header was pointed to places of its own in this very value.
        check(unsafe { libc::sendmmsg(fd, first, (to - from) as libc::c_uint, 0) } as isize)
    }

    /// Points header `at` to its places, of which `len` and `control` bytes are used.
    fn point(&mut self, at: usize, len: usize, control: usize) {
        let space = &mut self.buffer[at * self.size..][..len];
        self.vectors[at] = libc::iovec { iov_base: space.as_mut_ptr().cast(), iov_len: len };
        let header = &mut self.headers[at].msg_hdr;
        header.msg_name = (&raw mut self.names[at]).cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_iov = &raw mut self.vectors[at];
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut self.controls[at]).cast();
        header.msg_controllen = control;
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("messages", &self.messages).finish_non_exhaustive()
    }
}

/// Reads the control messages in the first `len` bytes of `control`.
fn look(control: &[u64; CONTROL / 8], len: usize, message: &mut Message) {
    let word = |at: usize| control.get(at).copied().unwrap_or(0);
    let mut at = 0;
    while at * 8 + HEADER < len.min(CONTROL) {
        let (size, kind) = (word(at) as usize, word(at + 1));
        let (level, kind) = (kind as u32 as i32, (kind >> 32) as i32);
        match (level, kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => message.segment = word(at + 2) as u32 as usize,
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                message.local = Some(Ipv4Addr::from(((word(at + 2) >> 32) as u32).to_ne_bytes()));
            }
            _ => {}
        }
        at += size.max(HEADER).div_ceil(8);
    }
}

/// Writes the control messages that `message` wants; says how many bytes they take.
fn say(control: &mut [u64; CONTROL / 8], message: &Message) -> usize {
    let header = |level: i32, kind: i32| u64::from(level as u32) | (u64::from(kind as u32) << 32);
    let mut at = 0;
    if message.segment > 0 && message.segment < message.len {
        let size = (HEADER + 2) as u64;
        control[..3].copy_from_slice(&[
            size,
            header(libc::SOL_UDP, libc::UDP_SEGMENT),
            message.segment as u64,
        ]);
        at = 3;
    }
    if let Some(local) = message.local {
        let source = u64::from(u32::from_ne_bytes(local.octets())) << 32;
        let size = (HEADER + 12) as u64;
        let words = [size, header(libc::IPPROTO_IP, libc::IP_PKTINFO), source, 0];
        control[at..at + 4].copy_from_slice(&words);
        at += 4;
    }
    at * 8
}

fn check(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}
