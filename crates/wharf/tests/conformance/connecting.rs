//! Rows of the conformance suite: connecting.

mod adopted;
mod failing;
mod giving_up;
mod naming;
mod racing;
