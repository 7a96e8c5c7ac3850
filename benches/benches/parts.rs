//! Criterion's benches of the parts, without the kernel: write queue, stream state, timers, deferred calls, echo in memory.

// The macros of criterion define what they do not document.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wharf_core::buffer::WriteQueue;
use wharf_core::memory::Stage;
use wharf_core::stream::StreamState;
use wharf_core::{Limits, Protocol, TransportRef};
use wharf_reactor::EventLoop;

/// Small writes of one callback.
const PIECES: usize = 8;

/// Timers that wait while one of them is cancelled and set again.
const OUTSTANDING: usize = 10_000;

/// Calls of one turn.
const CALLS: usize = 1000;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

fn write_queue(criterion: &mut Criterion) {
    let mut queue = WriteQueue::new();
    criterion.bench_function("write queue: 8 x 8 B gathered, then sent", |bencher| {
        bencher.iter(|| {
            for _ in 0..PIECES {
                queue.push(black_box(&[0; 8]));
            }
            let len = queue.single().map_or(0, <[u8]>::len);
            queue.advance(black_box(len));
        });
    });
    criterion.bench_function("write queue: 64 x 1 KiB gathered, sent in two parts", |bencher| {
        bencher.iter(|| {
            for _ in 0..64 {
                queue.push(black_box(&[0; 1024]));
            }
            queue.advance(black_box(40_000));
            queue.advance(queue.len());
        });
    });
}

fn stream_state(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut state = StreamState::new();
    while let Some(notice) = state.untold() {
        state.told(notice);
    }
    criterion.bench_function("stream state: one message answered", |bencher| {
        bencher.iter(|| {
            if state.may_read() && state.admits_write(0, &limits) {
                state.wrote(black_box(64), 0, &limits);
            }
            if state.may_flush() {
                state.sent(state.queued(), 0, &limits);
            }
            black_box((state.untold(), state.interest()))
        });
    });
}

fn echo_in_memory(criterion: &mut Criterion) {
    let stage = Stage::new();
    let (_transport, _echo, wire) = stage.wire(Echo);
    stage.run();
    let mut group = criterion.benchmark_group("memory");
    group.throughput(Throughput::Elements(1));
    group.bench_function("echo of 64 B through driver and state", |bencher| {
        bencher.iter(|| {
            wire.send(black_box(&[0; 64]));
            stage.turn();
            black_box(wire.take())
        });
    });
    group.finish();
}

fn timers(criterion: &mut Criterion) {
    let Ok(event_loop) = EventLoop::new() else { return };
    let delay =
        |n: usize| Duration::from_secs(10) + Duration::from_micros((n * 7919 % 50_000_000) as u64);
    let mut timers: Vec<_> =
        (0..OUTSTANDING).map(|n| event_loop.call_later(delay(n), || ())).collect();
    let mut n = 0;
    criterion.bench_function("timers: cancel and set one of 10,000", |bencher| {
        bencher.iter(|| {
            n += 1;
            let key = n * 7919 % OUTSTANDING;
            timers[key].cancel();
            timers[key] = event_loop.call_later(delay(n), || ());
        });
    });
}

fn deferred(criterion: &mut Criterion) {
    let Ok(mut event_loop) = EventLoop::new() else { return };
    let handle = event_loop.handle().clone();
    let mut group = criterion.benchmark_group("deferred");
    group.throughput(Throughput::Elements(CALLS as u64));
    group.bench_function("1,000 calls put off and run in one turn", |bencher| {
        bencher.iter(|| {
            for n in 0..CALLS {
                handle.call_soon(move || {
                    black_box(n);
                });
            }
            event_loop.turn(Some(Duration::ZERO))
        });
    });
    group.finish();
}

criterion_group!(parts, write_queue, stream_state, echo_in_memory, timers, deferred);
criterion_main!(parts);
