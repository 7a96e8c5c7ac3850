//! Callbacks that panic (rows ).

use std::cell::{Cell, RefCell};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use wharf::{FaultPolicy, Protocol, tcp};

use crate::support::{Bench, Call, Log, Peer, Plain, Seen, over_each, pattern};

over_each!(x_01_a_panic_in_data_received_costs_the_connection);
fn x_01_a_panic_in_data_received_costs_the_connection(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.connect_buffered(1);
    log.on(Call::Data, |_| panic!("on purpose"));
    peer.send(b"xyz");
    bench.run_until(|| log.is_lost());
    bench.settle();
    assert_eq!(log.story(), ["made", "data x", "lost fault"], "later input is delivered");
    assert_eq!(log.why().unwrap().text, "buffer_updated failed: on purpose");
    assert_eq!(bench.failed_callbacks(), ["buffer_updated"]);
    assert!(transport.is_closing());

    let (log, _transport, peer) = bench.connect();
    log.on(Call::Data, |_| panic!("on purpose"));
    peer.send(b"x");
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data x", "lost fault"]);
    let faults = bench.faults();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].protocol, Some(std::any::type_name::<Plain>()));
}

over_each!(x_02_a_panic_in_connection_made_ends_the_connection_and_fails_the_connect and read);
fn x_02_a_panic_in_connection_made_ends_the_connection_and_fails_the_connect(bench: &mut Bench) {
    bench.contain_faults();
    let log = bench.log();
    log.on(Call::Made, |_| panic!("on purpose"));
    let (outcome, peer) = bench.try_open(log.plain(), |peer| peer.send(b"x"));
    if !bench.is_in_memory() {
        let error = outcome.expect_err("the caller would hold a dead transport");
        assert_eq!(error.to_string(), "connection_made failed: on purpose");
    }
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost fault"]);
    assert_ne!(peer.seen(), Seen::Open);
    assert_eq!(bench.failed_callbacks(), ["connection_made"]);
}

over_each!(x_03_a_panic_in_eof_received_costs_the_connection and read);
fn x_03_a_panic_in_eof_received_costs_the_connection(bench: &mut Bench) {
    bench.contain_faults();
    let (log, _transport, peer) = bench.connect();
    log.keep_open();
    log.on(Call::Eof, |_| panic!("on purpose"));
    peer.shutdown();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "eof", "lost fault"]);
    assert_eq!(bench.failed_callbacks(), ["eof_received"]);
}

over_each!(x_04_a_panic_in_connection_lost_closes_all_the_same and one_way);
fn x_04_a_panic_in_connection_lost_closes_all_the_same(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.connect();
    log.on(Call::Lost, |_| panic!("on purpose"));
    transport.abort();
    bench.run_until(|| log.is_lost());
    assert_eq!((peer.seen(), bench.sources(), log.protocols()), (Seen::Eof, 0, 0));
    assert!(transport.protocol().is_none());
    assert_eq!(bench.failed_callbacks(), ["connection_lost"]);
}

over_each!(
    x_04_a_server_counts_a_connection_out_whose_loss_panicked
    on tcp: "it is about a server"
);
fn x_04_a_server_counts_a_connection_out_whose_loss_panicked(bench: &mut Bench) {
    bench.contain_faults();
    let log = bench.log();
    log.on(Call::Lost, |_| panic!("on purpose"));
    let protocol = log.clone();
    let handle = bench.event_loop().handle().clone();
    let listening = async { tcp::listen(&handle, "127.0.0.1:0", move || protocol.plain()).await };
    let server = bench.event_loop().block_on(listening).unwrap();
    let client = TcpStream::connect(server.addresses()[0].ip().unwrap()).unwrap();
    bench.run_until(|| log.has(Call::Made));
    drop(client);
    bench.run_until(|| log.is_lost());
    server.close();
    bench.event_loop().block_on(server.wait_closed());
    assert_eq!(bench.failed_callbacks(), ["connection_lost"]);
}

over_each!(x_05_a_panic_in_pause_writing_costs_the_connection_too and written);
fn x_05_a_panic_in_pause_writing_costs_the_connection_too(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.connect();
    log.on(Call::Pause, |_| panic!("on purpose"));
    transport.write(&pattern(1_000_000));
    assert!(!transport.is_closing(), "write itself fails nothing");
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "pause", "lost fault"]);
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert_eq!(bench.failed_callbacks(), ["pause_writing"]);
}

over_each!(x_06_a_panic_in_get_buffer_costs_the_connection and read);
fn x_06_a_panic_in_get_buffer_costs_the_connection(bench: &mut Bench) {
    bench.contain_faults();
    let (log, _transport, peer) = bench.connect_buffered(16);
    log.on(Call::GetBuffer, |_| panic!("on purpose"));
    peer.send(b"x");
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost fault"]);
    assert_eq!(bench.failed_callbacks(), ["get_buffer"]);
}

/// Brings a connection to the point where `call` is told.
fn provoke(bench: &mut Bench, log: &Log, transport: &wharf::TransportRef, peer: &Peer, call: Call) {
    match call {
        Call::Made => {}
        Call::GetBuffer | Call::Data => peer.send(b"x"),
        Call::Eof => peer.shutdown(),
        Call::Pause | Call::Resume => {
            transport.write(&pattern(1_000_000));
        }
        Call::Lost => transport.close(),
    }
    bench.run_until(|| {
        if call == Call::Resume {
            peer.read();
        }
        log.has(call)
    });
}

// invariant: T9
over_each!(x_05_a_panic_in_any_callback_costs_its_connection_and_nothing_else);
fn x_05_a_panic_in_any_callback_costs_its_connection_and_nothing_else(bench: &mut Bench) {
    bench.contain_faults();
    let (neighbour, _its_transport, its_peer) = bench.connect();
    let calls = [
        (Call::Made, "connection_made"),
        (Call::GetBuffer, "get_buffer"),
        (Call::Data, "data_received"),
        (Call::Eof, "eof_received"),
        (Call::Pause, "pause_writing"),
        (Call::Resume, "resume_writing"),
        (Call::Lost, "connection_lost"),
    ];
    for buffered in [false, true] {
        for (call, name) in calls {
            if call == Call::GetBuffer && !buffered {
                continue;
            }
            let log = bench.log();
            log.on(call, |_| panic!("on purpose"));
            let peer = if buffered {
                let (outcome, peer) = bench.try_open(log.buffered(16), |_| {});
                if let (Ok((transport, _)), false) = (outcome, call == Call::Made) {
                    provoke(bench, &log, &transport, &peer, call);
                }
                peer
            } else {
                let (outcome, peer) = bench.try_open(log.plain(), |_| {});
                if let (Ok((transport, _)), false) = (outcome, call == Call::Made) {
                    provoke(bench, &log, &transport, &peer, call);
                }
                peer
            };
            bench.run_until(|| log.is_lost());
            let name = if buffered && call == Call::Data { "buffer_updated" } else { name };
            let cause = if call == Call::Lost { "closed" } else { "fault" };
            assert_eq!(log.why().unwrap().name, cause, "{name}");
            assert_eq!(log.count(Call::Lost), 1, "{name}");
            assert_eq!(log.protocols(), 0, "{name}: the transport holds on to its protocol");
            bench.run_until(|| peer.seen() != Seen::Open);
            assert_eq!(bench.failed_callbacks(), [name]);
            let before = neighbour.data_len();
            its_peer.send(b"x");
            bench.run_until(|| neighbour.data_len() > before);
            assert_eq!(bench.sources(), 1, "{name}: more than the neighbour is left");
        }
    }
    assert!(!neighbour.is_lost());
}

over_each!(x_05_a_panic_in_the_drop_of_a_protocol_is_contained and one_way);
fn x_05_a_panic_in_the_drop_of_a_protocol_is_contained(bench: &mut Bench) {
    struct Clumsy;
    impl Protocol for Clumsy {
        fn data_received(&mut self, _: &wharf::TransportRef, _: &[u8]) {}
    }
    impl Drop for Clumsy {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    bench.contain_faults();
    let (outcome, peer) = bench.try_open(Clumsy, |_| {});
    let (transport, shared) = outcome.unwrap();
    drop(shared);
    transport.close();
    bench.run_until(|| peer.seen() == Seen::Eof);
    bench.settle();
    assert_eq!(bench.sources(), 0);
    assert_eq!(bench.failed_callbacks(), ["drop"]);
}

over_each!(
    x_10_a_factory_that_panics_fails_the_connect_and_leaks_nothing
    on tcp, unix: "memory takes a protocol, not a factory"
);
fn x_10_a_factory_that_panics_fails_the_connect_and_leaks_nothing(bench: &mut Bench) {
    let over = bench.over();
    let (ours, peer) = over.pair();
    let handle = bench.event_loop().handle().clone();
    let factory = || -> Plain { panic!("in the factory") };
    let adopting = over.adopt(&handle, ours, factory);
    let ev = bench.event_loop();
    let panic = catch_unwind(AssertUnwindSafe(|| ev.block_on(adopting).map(|_| ()))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the factory"));
    assert_eq!(peer.seen(), Seen::Eof);
    assert_eq!(bench.sources(), 0);
    // The loop is none the worse for it.
    let (log, _transport, peer) = bench.connect();
    peer.send(b"x");
    bench.run_until(|| log.has(Call::Data));
}

over_each!(
    x_11_a_factory_that_panics_on_accept_costs_that_client_only
    on tcp: "it is about a server"
);
fn x_11_a_factory_that_panics_on_accept_costs_that_client_only(bench: &mut Bench) {
    bench.contain_faults();
    let log = bench.log();
    let protocol = log.clone();
    let first = Cell::new(true);
    let factory = move || {
        assert!(!first.replace(false), "in the factory");
        protocol.plain()
    };
    let handle = bench.event_loop().handle().clone();
    let listening = async { tcp::listen(&handle, "127.0.0.1:0", factory).await };
    let server = bench.event_loop().block_on(listening).unwrap();
    let address = server.addresses()[0].ip().unwrap();
    let unlucky = Peer::socket(TcpStream::connect(address).unwrap());
    bench.run_until(|| unlucky.seen() != Seen::Open);
    let faults = bench.faults();
    assert_eq!((faults.len(), faults[0].fault.message()), (1, "in the factory"));
    let lucky = Peer::socket(TcpStream::connect(address).unwrap());
    lucky.send(b"x");
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "data x"]);
}

over_each!(x_12_a_fault_report_that_panics_is_contained on tcp, unix: "memory keeps its reports");
fn x_12_a_fault_report_that_panics_is_contained(bench: &mut Bench) {
    let reports = Rc::new(Cell::new(0));
    let counter = Rc::clone(&reports);
    bench.event_loop().set_fault_policy(FaultPolicy::report(move |_| {
        counter.set(counter.get() + 1);
        panic!("in the report");
    }));
    for round in 1..=2 {
        let (log, _transport, peer) = bench.connect();
        log.on(Call::Data, |_| panic!("on purpose"));
        peer.send(b"x");
        bench.run_until(|| log.is_lost());
        assert_eq!(reports.get(), round, "the policy is gone after its first panic");
    }
}

over_each!(
    x_13_what_becomes_of_a_panic_is_chosen_once_for_the_loop
    on tcp, unix: "memory has no policy"
);
fn x_13_what_becomes_of_a_panic_is_chosen_once_for_the_loop(bench: &mut Bench) {
    let policies: [(&str, FaultPolicy); 3] = [
        ("contain", FaultPolicy::Contain),
        ("resume", FaultPolicy::Resume),
        ("report", FaultPolicy::report(|_| {})),
    ];
    for (name, policy) in policies {
        let (neighbour, _its_transport, its_peer) = bench.connect();
        let (log, _transport, peer) = bench.connect();
        log.on(Call::Data, |_| panic!("on purpose"));
        bench.event_loop().set_fault_policy(policy);
        peer.send(b"x");
        its_peer.send(b"y");
        let run = || bench.run_until(|| log.is_lost() && neighbour.has(Call::Data));
        let outcome = catch_unwind(AssertUnwindSafe(run));
        assert_eq!(outcome.is_err(), name == "resume", "{name}");
        bench.run_until(|| log.is_lost() && neighbour.has(Call::Data));
        assert_eq!(log.story(), ["made", "data x", "lost fault"], "{name}");
    }
    bench.event_loop().set_fault_policy(FaultPolicy::Resume);
}

over_each!(x_13_a_resumed_panic_leaves_the_stage_whole on memory: "the loop has a test of its own");
fn x_13_a_resumed_panic_leaves_the_stage_whole(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect();
    log.on(Call::Data, |_| panic!("on purpose"));
    peer.send(b"x");
    let seen = RefCell::new(Vec::new());
    let run = || bench.run_until(|| log.is_lost());
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    seen.borrow_mut().push(panic.downcast_ref::<&str>().copied());
    bench.settle();
    assert_eq!(*seen.borrow(), [Some("on purpose")]);
    assert_eq!(log.story(), ["made", "data x", "lost fault"]);
}
