//! TLS with others: openssl, curl and Python on the far end, both ways, in both versions.
//!
//! A tool that is not installed is named in a notice, and its tests are skipped; `.ci/run` installs them.

mod peer;
mod served;
// The examples use more of it, and as a library.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../echo-examples/src/throwaway.rs"]
mod throwaway;
mod tools;

mod curl;
mod openssl;
mod python;
