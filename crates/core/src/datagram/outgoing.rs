//! [`Outgoing`]: what is sent, as whoever sends it says it.

use std::net::IpAddr;

use super::batch::{Datagram, Train};
use super::inbox::Ecn;
use crate::address::Address;

/// One datagram, or several of one size, on the way to [`send`](crate::DatagramTransport::send).
///
/// ```
/// use wharf_core::datagram::{Ecn, Outgoing};
///
/// let peer = "192.0.2.1:9".parse::<std::net::SocketAddr>()?.into();
/// let one = Outgoing::new(b"hello").to(&peer);
/// let train = Outgoing::new(&[0; 4000]).to(&peer).segments(1200).ecn(Ecn::Ect0); // four datagrams
/// # let _ = (one, train);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing is sent before it is given to a transport"]
pub struct Outgoing<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) to: Option<&'a Address>,
    pub(crate) local: Option<IpAddr>,
    pub(crate) ecn: Option<Ecn>,
    pub(crate) segment: Option<usize>,
}

impl<'a> Outgoing<'a> {
    /// One datagram to the connected peer, or to the default target.
    #[inline]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, to: None, local: None, ecn: None, segment: None }
    }

    /// An answer to `datagram`: it goes where that came from, and leaves from the address that it came to, also after
    /// the callback has returned.
    pub fn answer(datagram: &Datagram<'a>, data: &'a [u8]) -> Self {
        Self { to: datagram.from(), local: datagram.local(), ..Self::new(data) }
    }

    /// The same train once more, congestion mark included, for `to`.
    pub fn forward(train: &Train<'a>, to: &'a Address) -> Self {
        let segment = (train.datagrams() > 1).then(|| train.segment());
        Self { to: Some(to), ecn: train.ecn(), segment, ..Self::new(train.data()) }
    }

    /// To this address.
    #[inline]
    pub const fn to(mut self, to: &'a Address) -> Self {
        self.to = Some(to);
        self
    }

    /// From this address of ours, on an endpoint that is bound to more than one.
    pub const fn local(mut self, local: IpAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// With this congestion mark.
    pub const fn ecn(mut self, ecn: Ecn) -> Self {
        self.ecn = Some(ecn);
        self
    }

    /// As datagrams of `size` bytes each, of which the last may be shorter. No bytes are no datagram then; a size of zero
    /// is refused when this is sent.
    pub const fn segments(mut self, size: usize) -> Self {
        self.segment = Some(size);
        self
    }

    /// How many datagrams it is, a segment size of zero aside.
    pub(crate) fn datagrams(&self) -> usize {
        match self.segment {
            None | Some(0) => 1,
            Some(size) => self.data.len().div_ceil(size),
        }
    }
}
