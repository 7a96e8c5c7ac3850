//! Linked into what runs under ThreadSanitizer: makes it see that the last owner of an `Arc` comes after all the others.
//!
//! Each owner gives its count back with `Release`, and the last one goes on behind a fence; the sanitizer knows no fences.
//! A standard library that is built for it loads in the place of the fence, and this one is not: so what gives a count back
//! has `AcqRel` here.
//! The linker brings the calls to it (`--wrap`), and takes the original by its other name.

#![no_std]

/// The orders by the numbers that C++ has for them.
const RELEASE: i32 = 3;
const ACQ_REL: i32 = 4;

unsafe extern "C" {
    fn __real___tsan_atomic64_fetch_sub(place: *mut u64, value: u64, order: i32) -> u64;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap___tsan_atomic64_fetch_sub(
    place: *mut u64,
    value: u64,
    order: i32,
) -> u64 {
    let order = if order == RELEASE { ACQ_REL } else { order };
    // SAFETY: the arguments are those that the original was called with, but for an order that asks for more.
    unsafe { __real___tsan_atomic64_fetch_sub(place, value, order) }
}
