//! Frames over byte streams: codecs as protocols.

#![deny(unsafe_code)]
