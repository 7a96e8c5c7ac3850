//! The demo: echo over every stream transport, with many clients, every byte verified. Try `cargo xtask demo`.
//!
//! `cargo xtask demo -- --help` lists its options; its parts are in `src/demo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wharf_echo_examples::demo::run(std::env::args().skip(1))
}
