//! The primitives of the cross-thread queue: the standard ones, or loom's when it models them.

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, atomic::AtomicU8};
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, atomic::AtomicU8};
