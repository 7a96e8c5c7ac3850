//! Bytes, chosen by the fuzzer, in the place of what the system says about a datagram and its sender.
//!
//! Any bytes give some facts or none; what is found lies within the bytes, and what is written is read back.
//! `cargo +nightly fuzz run --release control_messages -- -max_total_time=60`, or `cargo xtask fuzz 60`.
#![no_main]
// The parsers are taken as files, without the part of their crate that makes system calls.
#![allow(dead_code, unreachable_pub)]

#[path = "../../crates/udp/src/mmsg/control.rs"]
mod control;
#[path = "../../crates/udp/src/mmsg/name.rs"]
mod name;

use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use wharf_core::datagram::{Arrival, Peer};
use wharf_core::{Address, UnixAddress};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (messages, address) = input;
    read_messages(messages);
    read_address(address);
});

fn read_messages(bytes: &[u8]) {
    let within = bytes.as_ptr_range();
    let mut total = 0;
    for message in control::messages(bytes) {
        let data = message.data.as_ptr_range();
        assert!(data.start >= within.start && data.end <= within.end, "outside of the bytes");
        total += control::space(message.data.len());
    }
    // The last one may be without its padding.
    assert!(total < bytes.len() + size_of::<usize>(), "messages that overlap");
    let mut arrival = Arrival::default();
    control::describe(bytes, &mut arrival);
    assert!(arrival.start == 0 && arrival.len == 0 && arrival.from.is_none(), "not its business");

    // What is told about a datagram can be said about another one, and comes back.
    let (Some(local), ecn) = (arrival.local, arrival.ecn) else { return };
    let mut buffer = [0; 256];
    let mut writer = control::Writer::new(&mut buffer);
    writer.local(local);
    if let Some(ecn) = ecn {
        writer.ecn(ecn, local.is_ipv4());
    }
    let len = writer.len();
    let mut again = Arrival::default();
    control::describe(&buffer[..len], &mut again);
    assert_eq!(again.ecn, ecn);
    if !local.is_multicast() {
        assert_eq!(again.local, Some(local));
    }
}

fn read_address(bytes: &[u8]) {
    let mut address = None;
    name::read(bytes, &mut address);
    let peer = match &address {
        Some(Address::Ip(address)) => Peer::Ip(address),
        Some(Address::Unix(UnixAddress::Path(path))) => Peer::Path(path.as_os_str().as_bytes()),
        Some(Address::Unix(UnixAddress::Abstract(name))) => Peer::Abstract(name),
        _ => return,
    };
    let mut written = [0; name::CAPACITY];
    // Names that are longer than a system ever tells do not fit.
    let Ok(len) = name::write(&mut written, peer, false) else { return };
    let mut again = None;
    name::read(&written[..len], &mut again);
    assert_eq!(again, address);
}
