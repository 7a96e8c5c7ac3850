//! What transport handles are for, one program each: `chat`, `proxy`, `idle_timeout`, `supervisor`, `https_hello`,
//! `dns`, `debug_page`, `redis`, `http`.
//!
//! The programs stand in `src/bin` and share nothing but what stands here; read them from the top.

#![forbid(unsafe_code)]

pub mod decimal;
pub mod output;

#[path = "../../crates/echo-examples/src/throwaway.rs"]
pub mod throwaway;
