//! The system calls, and the headers that tell them where things are: the only unsafe code of this crate.
//!
//! A header is written for each call, out of slices that the call borrows, and only for that call; whatever pointers
//! are left in it afterwards are never followed, but overwritten by the next call.
//! What the system writes back is a number, and is taken for no more than the space that it was given.

// Libraries disagree on the types of these fields.
#![allow(clippy::unnecessary_cast)]

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::name;

/// Room for the control messages of one datagram: what wharf asks for takes 176 bytes, and a socket that was adopted
/// may have been asked for more.
const CONTROL: usize = 256;

/// Who a message is from or for, and what is said about it.
#[repr(C, align(8))]
#[derive(Clone)]
pub(crate) struct Slot {
    // First, so that it is aligned as the slot is: the system asks for that on some processors.
    control: [u8; CONTROL],
    name: [u8; name::CAPACITY],
}

impl Slot {
    /// Where the control messages of what is sent are written, and the address.
    pub(crate) fn parts(&mut self) -> (&mut [u8; CONTROL], &mut [u8; name::CAPACITY]) {
        (&mut self.control, &mut self.name)
    }
}

/// One message to send: its bytes, and how much of its slot is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parcel<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) control: usize,
    pub(crate) name: usize,
}

/// One message that came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    /// How many bytes of its space it fills.
    pub(crate) len: usize,
    pub(crate) name: &'a [u8],
    pub(crate) control: &'a [u8],
    /// Whether there was not room enough for its bytes.
    pub(crate) is_truncated: bool,
    /// Whether there was not room enough for what was said about it.
    pub(crate) lacks_control: bool,
}

/// How messages are received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// The space for one message.
    pub(crate) size: usize,
    /// How many at most.
    pub(crate) count: usize,
    /// Whether control messages are wanted.
    pub(crate) control: bool,
    /// Whether many come by one call.
    pub(crate) batched: bool,
}

/// Headers for some messages, and what they point to but the bytes. One set is enough for all sockets of a loop.
pub(crate) struct Headers {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    slots: Box<[Slot]>,
    size: usize,
}

impl Headers {
    /// How many messages one call moves at most. More gain nothing: beyond some sixteen the call itself no longer shows
    /// in the cost of a message.
    pub(crate) const COUNT: usize = 64;

    pub(crate) fn new() -> Self {
        // SAFETY: a header is integers and pointers, for all of which zero is a value; some libraries have padding in
        // it that cannot be named.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let slot = Slot { control: [0; CONTROL], name: [0; name::CAPACITY] };
        Self {
            headers: vec![header; Self::COUNT].into(),
            vectors: vec![vector; Self::COUNT].into(),
            slots: vec![slot; Self::COUNT].into(),
            size: 0,
        }
    }

    /// Receives messages into `buffer`, one into each `terms.size` bytes; says how many.
    ///
    /// # Errors
    /// The system's, when nothing was received.
    pub(crate) fn receive(
        &mut self,
        fd: BorrowedFd<'_>,
        buffer: &mut [u8],
        terms: Terms,
    ) -> io::Result<usize> {
        let count = if terms.batched { terms.count } else { 1 };
        let spaces = buffer.chunks_exact_mut(terms.size).take(count);
        let places = self.headers.iter_mut().zip(&mut *self.vectors).zip(&mut *self.slots);
        let mut count = 0;
        for (((header, vector), slot), space) in places.zip(spaces) {
            *vector = libc::iovec { iov_base: space.as_mut_ptr().cast(), iov_len: space.len() };
            let header = &mut header.msg_hdr;
            header.msg_name = slot.name.as_mut_ptr().cast();
            header.msg_namelen = slot.name.len() as _;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = slot.control.as_mut_ptr().cast();
            header.msg_controllen = if terms.control { slot.control.len() as _ } else { 0 };
            header.msg_flags = 0;
            count += 1;
        }
        self.size = terms.size;
        let call: Call = if terms.batched { receive_many } else { receive_one };
        let headers = &mut self.headers[..count];
        // SAFETY: the headers were written above: they point into `buffer`, which is borrowed until we return, and into
        // the vectors and slots of this very set, each to a place of its own and no further than its end.
        unsafe { call(fd, headers) }
    }

    /// The `index`th of what was received last.
    #[inline]
    pub(crate) fn received(&self, index: usize) -> Received<'_> {
        let (header, slot) = (&self.headers[index], &self.slots[index]);
        let name = (header.msg_hdr.msg_namelen as usize).min(slot.name.len());
        let control = (header.msg_hdr.msg_controllen as usize).min(slot.control.len());
        Received {
            len: (header.msg_len as usize).min(self.size),
            name: &slot.name[..name],
            control: &slot.control[..control],
            is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            lacks_control: header.msg_hdr.msg_flags & libc::MSG_CTRUNC != 0,
        }
    }

    /// Sends what `next` gives, until it gives nothing or there is no more room; says how many messages were taken.
    /// `next` writes the address and the control messages of its parcel into the slot.
    ///
    /// # Errors
    /// The system's, about the first message.
    pub(crate) fn send<'a>(
        &mut self,
        fd: BorrowedFd<'_>,
        batched: bool,
        mut next: impl FnMut(&mut Slot) -> Option<Parcel<'a>>,
    ) -> io::Result<usize> {
        let places = self.headers.iter_mut().zip(&mut *self.vectors).zip(&mut *self.slots);
        let mut count = 0;
        for ((header, vector), slot) in places.take(if batched { Self::COUNT } else { 1 }) {
            let Some(parcel) = next(slot) else { break };
            // The system does not write through this pointer, though its type would permit it.
            let bytes = parcel.data.as_ptr().cast_mut();
            *vector = libc::iovec { iov_base: bytes.cast(), iov_len: parcel.data.len() };
            let (name, control) =
                (&mut slot.name[..parcel.name], &mut slot.control[..parcel.control]);
            let header = &mut header.msg_hdr;
            // No address is told by no pointer: a name of no bytes is an error to some systems.
            header.msg_name =
                if name.is_empty() { ptr::null_mut() } else { name.as_mut_ptr().cast() };
            header.msg_namelen = name.len() as _;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control =
                if control.is_empty() { ptr::null_mut() } else { control.as_mut_ptr().cast() };
            header.msg_controllen = control.len() as _;
            header.msg_flags = 0;
            count += 1;
        }
        let call: Call = if count > 1 { send_many } else { send_one };
        let headers = &mut self.headers[..count];
        // SAFETY: the headers were written above: they point into what `next` gave, which is borrowed for longer than this
        // call, and into the vectors and slots of this very set, each no further than its end.
        unsafe { call(fd, headers) }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Headers").field("count", &self.headers.len()).finish_non_exhaustive()
    }
}

/// One of the calls below.
type Call = unsafe fn(BorrowedFd<'_>, &mut [libc::mmsghdr]) -> io::Result<usize>;

/// A call for one message, which costs a little less than a call for many with one in it.
///
/// # Safety
/// What the first header points to may be written until the end of the call, within the lengths that it says.
unsafe fn receive_one(fd: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let Some(header) = headers.first_mut() else { return Ok(0) };
    // SAFETY: the caller's promise.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header.msg_hdr, libc::MSG_DONTWAIT) };
    header.msg_len = checked(len)? as _;
    Ok(1)
}

/// # Safety
/// What the first header points to may be read until the end of the call, within the lengths that it says.
unsafe fn send_one(fd: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let Some(header) = headers.first_mut() else { return Ok(0) };
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the caller's promise.
    checked(unsafe { libc::sendmsg(fd.as_raw_fd(), &header.msg_hdr, flags) })?;
    Ok(1)
}

/// # Safety
/// What the headers point to may be written until the end of the call, within the lengths that they say.
#[cfg(any(target_os = "linux", target_os = "android"))]
unsafe fn receive_many(fd: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let (first, count) = (headers.as_mut_ptr(), headers.len() as libc::c_uint);
    let no_timeout = ptr::null_mut();
    // SAFETY: there are `count` headers, and for what they point to there is the caller's promise.
    let received = unsafe {
        libc::recvmmsg(fd.as_raw_fd(), first, count, libc::MSG_DONTWAIT as _, no_timeout)
    };
    checked(received as isize)
}

/// # Safety
/// What the headers point to may be read until the end of the call, within the lengths that they say.
#[cfg(any(target_os = "linux", target_os = "android"))]
unsafe fn send_many(fd: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let (first, count) = (headers.as_mut_ptr(), headers.len() as libc::c_uint);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: there are `count` headers, and for what they point to there is the caller's promise.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), first, count, flags as _) };
    checked(sent as isize)
}

/// Elsewhere there are no such calls, or only pretended ones.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use {receive_one as receive_many, send_one as send_many};

/// What a system call answered.
fn checked(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}
