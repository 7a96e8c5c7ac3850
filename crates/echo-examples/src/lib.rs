//! Echo over every transport of wharf: the small programs in `src/bin`, and what the demo among them consists of.
//!
//! The small programs stand alone and share nothing but [`throwaway`]; read them first.
//! The demo (`cargo xtask demo`) is [`demo`].

#![forbid(unsafe_code)]

pub mod demo;
pub mod throwaway;

/// The code of the project's prose, compiled with the doctests.
#[cfg(doctest)]
mod prose {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/asyncio.md")]
    struct Asyncio;

    #[doc = include_str!("../../../docs/tls.md")]
    struct Tls;
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_shows_the_code_of_the_example() {
        let readme = include_str!("../../../README.md");
        let example = include_str!("bin/unix_echo.rs");
        let (_, protocol) = example.split_once("struct Echo;").unwrap();
        let (protocol, _) = protocol.split_once("\n}\n").unwrap();
        assert!(readme.contains(&format!("struct Echo;{protocol}\n}}\n")), "{protocol}");
    }
}
