//! Protocols on tokio's streams, as users of tokio meet them.
//!
//! Time stands still unless everything waits for it; no test sleeps.

mod ending;
mod faults;
mod moving;
mod objects;
mod scheduling;
mod support;
