//! What transport handles are for, one program each: `chat`, `proxy`, `idle_timeout`, `supervisor`, `https_hello`,
//! `dns`, `debug_page`, `redis`.
//!
//! The programs stand in `src/bin` and share nothing but [`throwaway`]; read them from the top.

#![forbid(unsafe_code)]

#[path = "../../crates/echo-examples/src/throwaway.rs"]
pub mod throwaway;
