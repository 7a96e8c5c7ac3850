//! Bytes and settings, chosen by the fuzzer, for the codecs of lines, delimiters and lengths.
//!
//! What they promise stands in the tests of the codec crate, where it is tried on random input.
//! `cargo +nightly fuzz run --release codec -- -max_total_time=60`, or `cargo xtask fuzz 60`.
#![no_main]

#[path = "../../crates/codec/tests/it/model.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

/// Numbers that become the settings of a codec, and what is fed to it.
#[derive(Debug, arbitrary::Arbitrary)]
struct Story {
    limit: u8,
    width: u8,
    oversize: u8,
    flag: bool,
    little: bool,
    input: Input,
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Input {
    Received(Vec<u8>),
    Sent(Vec<Vec<u8>>),
}

/// Every input is cut at each of its positions, so a long one takes its time and finds nothing that a short one does not.
const LONGEST: usize = 256;

fuzz_target!(|story: Story| {
    let Story { limit, width, oversize, flag, little, input } = story;
    let settings = model::Settings { limit, width, oversize, flag, little };
    match input {
        Input::Received(mut bytes) => {
            bytes.truncate(LONGEST);
            model::splits_do_not_matter(settings, &bytes);
        }
        Input::Sent(mut items) => {
            items.truncate(6);
            items.iter_mut().for_each(|item| item.truncate(LONGEST / 4));
            model::what_goes_in_comes_out(settings, &items);
        }
    }
});
