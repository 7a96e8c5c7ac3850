//! Frames as their users meet them: protocols of frames in memory, and the codecs under random input.

mod codecs;
mod framed;
mod limits;
mod model;
mod pausing;
mod switching;
mod verifier;
