//! Core under random operations, the write queue, the state of a stream and two streams joined in memory; and its stage.
//!
//! The models are shared with the fuzzer, which finds its own ways through them.

mod datagrams;
mod layer;
mod pair;
mod pair_model;
mod queue;
mod stage;
mod state;
mod state_model;
mod tray;
mod wire_log;

use proptest::prelude::ProptestConfig;

/// How the models are run; `PROPTEST_CASES` asks for more. A failure becomes a test of its own, named after its cause,
/// and not a file of seeds.
fn cases(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if asked { config.cases } else { cases };
    ProptestConfig { cases, failure_persistence: None, ..config }
}
