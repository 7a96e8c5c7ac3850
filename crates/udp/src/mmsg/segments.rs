//! Whether a socket can send trains, which is found out by trying.
//!
//! A system without them is asked once for the option.
//! A device or a route without them shows only when a train is refused, with errors that other mistakes have too.
//! So a refused train is taken apart, and its datagrams are sent one by one; if the first of them goes out, it was the
//! train that was refused and not the datagram, and no such train is tried again on this socket.

use std::os::fd::BorrowedFd;

use super::missing::Missing;

/// What is known about trains on a socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Segments {
    /// The largest segment that may make a train; nothing before the system was asked.
    limit: Option<usize>,
    /// How many datagrams at the front of the queue go one by one, because their train was refused.
    apart: usize,
    /// What is to become of the limit if the first of these goes out.
    suspicion: Option<usize>,
}

impl Segments {
    /// Of a socket of a family that has no trains.
    pub(crate) fn never() -> Self {
        Self { limit: Some(0), ..Self::default() }
    }

    /// Whether trains are sent; nothing before one was to be sent.
    pub(crate) fn are_sent(&self) -> Option<bool> {
        self.limit.map(|limit| limit > 0)
    }

    /// The largest segment that may make a train; asks the system if that was not done yet.
    pub(crate) fn limit(&mut self, fd: BorrowedFd<'_>, missing: Missing) -> usize {
        *self.limit.get_or_insert_with(|| if missing.has_segments(fd) { usize::MAX } else { 0 })
    }

    /// How many datagrams at the front of the queue must go one by one.
    pub(crate) fn apart(&self) -> usize {
        self.apart
    }

    /// A train was refused: it had `count` datagrams of `segment` bytes. Says whether it is to be taken apart.
    pub(crate) fn refused(&mut self, errno: Option<i32>, segment: usize, count: usize) -> bool {
        let limit = match errno {
            // The device, or something on the way to it, cannot.
            Some(libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT) => 0,
            // The segment is too large for a train on this route, or the system does not say what it has against it.
            Some(libc::EINVAL | libc::EMSGSIZE) => segment.saturating_sub(1),
            _ => return false,
        };
        self.apart = count;
        self.suspicion = Some(limit);
        true
    }

    /// So many datagrams have gone out.
    pub(crate) fn sent(&mut self, count: usize) {
        if let Some(limit) = self.suspicion.take() {
            self.limit = self.limit.map(|before| before.min(limit));
        }
        self.apart = self.apart.saturating_sub(count);
    }

    /// The first datagram was refused, and is given up.
    pub(crate) fn failed(&mut self) {
        self.suspicion = None;
        self.apart = self.apart.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Segments {
        Segments { limit: Some(usize::MAX), ..Segments::default() }
    }

    #[test]
    fn a_train_is_to_blame_when_its_first_datagram_goes_out_alone() {
        for (errno, limit) in [(libc::EIO, 0), (libc::EMSGSIZE, 999), (libc::EINVAL, 999)] {
            let mut segments = known();
            assert!(segments.refused(Some(errno), 1000, 3));
            assert_eq!((segments.apart(), segments.limit), (3, Some(usize::MAX)));
            segments.sent(1);
            assert_eq!((segments.apart(), segments.limit), (2, Some(limit)));
            segments.sent(2);
            assert_eq!(segments.apart(), 0);
        }
    }

    #[test]
    fn a_datagram_that_is_refused_alone_clears_its_train() {
        let mut segments = known();
        assert!(segments.refused(Some(libc::EINVAL), 1000, 3));
        segments.failed();
        segments.sent(2);
        assert_eq!((segments.apart(), segments.limit), (0, Some(usize::MAX)));
    }

    #[test]
    fn errors_that_are_not_about_trains_take_none_apart() {
        for errno in [libc::EAGAIN, libc::ECONNREFUSED, libc::ENOBUFS, libc::EPERM] {
            let mut segments = known();
            assert!(!segments.refused(Some(errno), 1000, 3));
            assert_eq!(segments.apart(), 0);
        }
    }

    #[test]
    fn a_limit_only_ever_falls() {
        let mut segments = known();
        for (segment, limit) in [(1000, 999), (1200, 999), (1, 0), (7, 0)] {
            assert!(segments.refused(Some(libc::EINVAL), segment, 2));
            segments.sent(2);
            assert_eq!(segments.limit, Some(limit));
        }
        assert_eq!(segments.are_sent(), Some(false));
    }
}
