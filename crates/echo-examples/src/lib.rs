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

/// The guide's pages, likewise.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/first-server.md")]
    struct FirstServer;

    #[doc = include_str!("../../../docs/guide/testing.md")]
    struct Testing;

    #[doc = include_str!("../../../docs/guide/flow-control.md")]
    struct FlowControl;

    #[doc = include_str!("../../../docs/guide/closing.md")]
    struct Closing;

    #[doc = include_str!("../../../docs/guide/switching.md")]
    struct Switching;

    #[doc = include_str!("../../../docs/guide/processes.md")]
    struct Processes;

    #[doc = include_str!("../../../docs/guide/frames-and-streams.md")]
    struct FramesAndStreams;

    #[doc = include_str!("../../../docs/guide/datagrams.md")]
    struct Datagrams;

    #[doc = include_str!("../../../docs/guide/threads.md")]
    struct Threads;

    #[doc = include_str!("../../../docs/guide/watching.md")]
    struct Watching;

    #[doc = include_str!("../../../docs/guide/embedding.md")]
    struct Embedding;

    #[doc = include_str!("../../../docs/guide/from-asyncio.md")]
    struct FromAsyncio;

    #[doc = include_str!("../../../docs/guide/from-twisted.md")]
    struct FromTwisted;
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
