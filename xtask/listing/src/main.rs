//! Prints the public API of a crate, one item a line, out of the JSON that rustdoc has written of it.
//!
//! `cargo xtask api` runs it; it is a package of its own so that no other command waits for what it is built of.

#![forbid(unsafe_code)]
// A command-line program talks to its terminal.
#![allow(clippy::print_stdout)]

use std::error::Error;

use public_api::{Builder, PublicItem};

/// Traits that hold for almost every type or are the compiler's own affair. `Send` and `Sync` are not among them.
const PLAIN_TRAITS: [&str; 6] =
    ["Freeze", "RefUnwindSafe", "StructuralPartialEq", "Unpin", "UnsafeUnpin", "UnwindSafe"];

/// Methods that say nothing which the trait's name has not said one line before.
const PLAIN_METHODS: [&str; 6] = [
    "::clone(&self) ",
    "::default() ",
    "::eq(&self, ",
    "::fmt(&self, &mut core::fmt::Formatter<'_>)",
    "::hash<__H: ",
    "::partial_cmp(&self, ",
];

fn main() -> Result<(), Box<dyn Error>> {
    let json = std::env::args_os().nth(1).ok_or("which file of JSON?")?;
    let api = Builder::from_rustdoc_json(json).omit_blanket_impls(true).build()?;
    for item in api.items().map(PublicItem::to_string).filter(|item| !is_plain(item)) {
        println!("{item}");
    }
    Ok(())
}

/// Whether a line would only be read over.
fn is_plain(item: &str) -> bool {
    if item.starts_with("impl") {
        PLAIN_TRAITS.iter().any(|name| item.contains(&format!("::{name} for ")))
    } else {
        PLAIN_METHODS.iter().any(|method| item.contains(method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_can_rely_on_is_listed() {
        for item in [
            "impl !core::marker::Send for c::Handle",
            "impl core::clone::Clone for c::Handle",
            "pub fn c::Handle::id(&self) -> c::Id",
            "pub fn c::Handle::default_port() -> u16",
        ] {
            assert!(!is_plain(item), "{item}");
        }
    }

    #[test]
    fn what_follows_from_another_line_is_not() {
        for item in [
            "impl core::marker::Freeze for c::Handle",
            "impl<P> !core::panic::unwind_safe::UnwindSafe for c::Handle<P>",
            "pub fn c::Handle::clone(&self) -> c::Handle",
            "pub fn c::Handle::fmt(&self, &mut core::fmt::Formatter<'_>) -> core::fmt::Result",
        ] {
            assert!(is_plain(item), "{item}");
        }
    }
}
