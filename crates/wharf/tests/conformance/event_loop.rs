//! Rows of the conformance suite: event loop.
