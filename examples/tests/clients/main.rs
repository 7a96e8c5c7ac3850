//! The servers among the examples, called by other people's programs.
//!
//! What is not installed is named, and its tests are skipped.

mod http;
mod program;
mod redis;
