//! Subprocesses, and unidirectional pipes, FIFOs and ptys.

#![deny(unsafe_code)]
