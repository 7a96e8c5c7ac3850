//! The differential scenarios: scripts that asyncio's recorded traces hold ours against, line by line.
//!
//! `conformance/scenarios.py` plays each script on asyncio and writes down every callback; `record.py` keeps the traces.
//! Here the same scripts play on wharf and write in the same language; a test compares, after the intended differences
//! of `conformance/differences.txt` have been applied to asyncio's trace.
//! Where the Python script waits for a moment, ours takes turns of the loop until what it waits for is there.
//!
//! The traces were recorded on Linux, and some lines are the kernel's.

#![cfg(target_os = "linux")]

mod comparison;
mod differences;
mod peer;
mod performance;
mod python;
mod recorder;
mod scene;

mod connecting;
mod datagrams;
mod ending;
mod errors;
mod flow;
mod life;
mod loop_;
mod pipes;
mod probes;
mod processes;
mod servers;
mod switching;
mod tls;
