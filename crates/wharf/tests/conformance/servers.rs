//! Rows of the conformance suite: servers, and what every socket of theirs has.

mod accepting;
mod crowd;
mod ending;
mod exhaustion;
mod inherited;
mod layers;
mod listening;
pub(crate) mod process;
pub(crate) mod rig;
pub(crate) mod sockets;
