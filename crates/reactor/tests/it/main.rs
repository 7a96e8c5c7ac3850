//! The stories of the event loop: each test runs over the direct wait and over the portable one.

/// Makes two tests of each function: one for each way of waiting.
macro_rules! both_paths {
    ($($test:ident),* $(,)?) => {
        mod direct {
            $(#[test] fn $test() { super::$test($crate::support::Path::Direct) })*
        }
        mod portable {
            $(#[test] fn $test() { super::$test($crate::support::Path::Portable) })*
        }
    };
}

mod busy;
mod closed;
mod faults;
mod futures;
mod hosting;
mod pool;
mod remote;
mod signals;
mod slow;
mod source;
mod statistics;
mod support;
mod timers;
mod watch;
