//! Watching a loop at work: the lists of live connections and listeners, its counters, the wire log, and spans and events of `tracing`.

#[path = "../conformance/support/authority.rs"]
#[allow(dead_code)] // The stories of TLS need more of it.
mod authority;
#[path = "../conformance/support/folder.rs"]
#[allow(dead_code)] // The stories of files need more of it.
mod folder;
#[path = "../corners/support.rs"]
#[allow(dead_code)] // The corners need more of it.
mod support;

mod connections;
mod counters;
mod listeners;
#[cfg(feature = "tracing")]
mod tracing;
mod wire;
