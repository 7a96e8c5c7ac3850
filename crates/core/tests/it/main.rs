//! Core under random operations: the write queue, the state of a stream, and two streams joined in memory.
//!
//! The models are shared with the fuzzer, which finds its own ways through them.

mod pair;
mod pair_model;
mod queue;
mod state;
mod state_model;
