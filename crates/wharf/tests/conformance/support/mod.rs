//! What the tests share: a [`Bench`] for each transport, the raw [`Peer`] on the other end, and the [`Log`] of a
//! protocol.
//!
//! A test is a function over a bench, and [`over_each!`] makes one `#[test]` of it for each transport:
//!
//! ```ignore
//! over_each!(r_09_no_empty_slice_is_delivered);
//! fn r_09_no_empty_slice_is_delivered(bench: &mut Bench) {
//!     let (log, _transport, peer) = bench.connect();
//!     peer.send(b"abc");
//!     bench.run_until(|| log.has(Call::Data));
//!     assert_eq!(log.story(), ["made", "data abc"]);
//! }
//! ```

pub(crate) mod authority;
pub(crate) mod bench;
pub(crate) mod folder;
pub(crate) mod log;
pub(crate) mod methods;
pub(crate) mod one_way;
pub(crate) mod over;
pub(crate) mod peer;
pub(crate) mod stubborn;
pub(crate) mod tls_peer;

pub(crate) use bench::{Bench, limits, loop_builder, new_loop, pattern, pattern_from, poll};
pub(crate) use folder::Folder;
pub(crate) use log::{Call, Log, Plain};
pub(crate) use methods::{ENDING, METHODS, Method, poke};
pub(crate) use over::{Over, over_each, over_each_carrier};
pub(crate) use peer::Peer;
pub(crate) use stubborn::Stubborn;
pub(crate) use wharf::memory::Seen;
