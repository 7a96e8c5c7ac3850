//! Lists of operations, chosen by the fuzzer, on the state of a stream and on two streams joined in memory.
//!
//! The models, and what they promise, are those of core's own tests, where they run on random lists.
//! `cargo +nightly fuzz run --release stream_state -- -max_total_time=60`, or `cargo xtask fuzz 60`.
#![no_main]

#[path = "../../crates/core/tests/it/pair_model.rs"]
mod pair_model;
#[path = "../../crates/core/tests/it/state_model.rs"]
mod state_model;

use libfuzzer_sys::fuzz_target;

/// One life: of a stream's state by itself, or of two streams.
#[derive(Debug, arbitrary::Arbitrary)]
enum Story {
    State(Vec<state_model::Operation>),
    Pair(Vec<pair_model::Operation>),
}

/// Longer stories find nothing that shorter ones do not, and take their time.
const LONGEST: usize = 200;

fuzz_target!(|story: Story| {
    match story {
        Story::State(operations) => {
            let mut model = state_model::Model::default();
            operations.into_iter().take(LONGEST).for_each(|operation| model.apply(operation));
            model.finish();
        }
        Story::Pair(operations) => {
            let mut model = pair_model::Model::default();
            operations.into_iter().take(LONGEST).for_each(|operation| model.apply(operation));
            model.finish();
        }
    }
});
