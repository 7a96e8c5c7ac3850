//! A reader and a writer on any transport, for async code.

#![deny(unsafe_code)]
