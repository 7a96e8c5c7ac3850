//! Rows of the conformance suite: sending files.

mod copying;
mod ending;
mod ground;
mod sending;
mod veil;
