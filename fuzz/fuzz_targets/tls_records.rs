//! A client of TLS that cuts, changes, repeats and leaves out records, as the fuzzer says.
//!
//! What the protocol above must hear stands in the tests of the TLS crate, where it is tried on stories of its own.
//! `cargo +nightly fuzz run --release tls_records -- -max_total_time=60`, or `cargo xtask fuzz 60`.
#![no_main]

#[path = "../../crates/tls/tests/it/model.rs"]
mod model;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use model::{Deed, Ground};

/// The deeds of the model, as the fuzzer makes them.
#[derive(Debug, arbitrary::Arbitrary)]
enum Choice {
    Write(u16),
    Send,
    Flip(u16, u8),
    Cut(u16),
    Repeat,
    Garbage(u16, u8),
    Goodbye,
    Read,
    Refresh,
    End,
    Turn,
    Pause(bool),
    Close,
}

impl From<Choice> for Deed {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Write(count) => Self::Write(count),
            Choice::Send => Self::Send,
            Choice::Flip(place, bit) => Self::Flip(place, bit),
            Choice::Cut(count) => Self::Cut(count),
            Choice::Repeat => Self::Repeat,
            Choice::Garbage(count, byte) => Self::Garbage(count, byte),
            Choice::Goodbye => Self::Goodbye,
            Choice::Read => Self::Read,
            Choice::Refresh => Self::Refresh,
            Choice::End => Self::End,
            Choice::Turn => Self::Turn,
            Choice::Pause(paused) => Self::Pause(paused),
            Choice::Close => Self::Close,
        }
    }
}

/// Making keys takes longer than playing a story.
static GROUND: OnceLock<Ground> = OnceLock::new();

fuzz_target!(|choices: Vec<Choice>| {
    let deeds: Vec<Deed> = choices.into_iter().take(100).map(Deed::from).collect();
    GROUND.get_or_init(Ground::new).play(&deeds);
});
