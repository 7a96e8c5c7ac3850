//! Small corners: delays without end, destructors in odd places, and callbacks that keep each other busy.

use std::cell::Cell;
use std::future::IntoFuture;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use nix::libc::{SIGUSR1, SIGUSR2};
use wharf::memory::Stage;
use wharf::{
    Blocking, EventLoop, FaultPolicy, JoinHandle, Limits, LoopHandle, Lost, Protocol, TransportRef,
    tcp,
};

use crate::support::{Log, adopted, builder, event_loop, turns};

#[test]
fn a_timer_may_be_set_for_ever() {
    let mut ev = event_loop();
    let timer = ev.call_later(Duration::MAX, || panic!("it is not over yet"));
    assert_eq!(ev.statistics().timers, 1);
    turns(&mut ev, 3);
    timer.cancel();
    assert_eq!(ev.statistics().timers, 0);
}

#[test]
fn a_timeout_may_be_for_ever() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    assert_eq!(ev.block_on(handle.timeout(Duration::MAX, async { 1 })), Ok(1));
}

#[test]
fn a_close_may_take_for_ever() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connecting = tcp::connect(&handle, listener.local_addr().unwrap(), Log::default)
        .close_timeout(Some(Duration::MAX));
    let (transport, log) = ev.block_on(connecting.into_future()).unwrap();
    // More than the system takes for a peer that does not read.
    transport.write(&vec![0; 15_000_000]);
    transport.close();
    turns(&mut ev, 3);
    assert_eq!(ev.statistics().timers, 1);
    assert_eq!(log.borrow().story(), ["made"]);
}

#[test]
fn a_turn_may_wait_for_ever() {
    fn waits(mut ev: EventLoop) {
        for limit in [Duration::MAX, Duration::from_secs(i64::MAX.unsigned_abs())] {
            let (_transport, log, mut peer) = adopted(&mut ev);
            turns(&mut ev, 3);
            peer.write_all(b"x").unwrap();
            ev.turn(Some(limit)).unwrap();
            assert_eq!(log.borrow().story(), ["made", "data x"]);
        }
    }
    waits(event_loop());
    waits(builder().portable_poll(true).build().unwrap());
}

#[test]
fn a_signal_callback_that_is_replaced_may_use_signals_in_its_drop() {
    struct Remover(LoopHandle, Rc<Cell<bool>>);

    impl Drop for Remover {
        fn drop(&mut self) {
            self.1.set(self.0.remove_signal_handler(SIGUSR2));
        }
    }

    let ev = event_loop();
    let removed = Rc::new(Cell::new(false));
    let remover = Remover(ev.handle().clone(), Rc::clone(&removed));
    ev.add_signal_handler(SIGUSR2, || {}).unwrap();
    let callback = move || {
        let _remover = &remover;
    };
    ev.add_signal_handler(SIGUSR1, callback).unwrap();
    ev.add_signal_handler(SIGUSR1, || {}).unwrap();
    assert!(removed.get());
}

#[test]
fn a_reader_that_removes_itself_may_panic_in_its_drop() {
    struct Clumsy;

    impl Drop for Clumsy {
        fn drop(&mut self) {
            panic!("clumsy end");
        }
    }

    let mut ev = builder().fault_policy(FaultPolicy::Contain).build().unwrap();
    let handle = ev.handle().clone();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let (watched, clumsy) = (Rc::clone(&ours), Clumsy);
    let callback = move || {
        let _clumsy = &clumsy;
        handle.remove_reader(&*watched);
    };
    ev.add_reader(ours, callback).unwrap();
    peer.write_all(b"x").unwrap();
    turns(&mut ev, 1);
    assert_eq!((ev.statistics().faults, ev.statistics().sources), (1, 0));
}

#[test]
#[should_panic(expected = "an assertion of the protocol")]
fn an_assertion_in_connection_lost_fails_though_the_stage_is_being_dropped() {
    struct Asserting;

    impl Protocol for Asserting {
        fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}

        fn connection_lost(&mut self, _: &TransportRef, _: &Lost) {
            panic!("an assertion of the protocol");
        }
    }

    let stage = Stage::new();
    let _ends = stage.wire(Asserting);
    stage.run();
    drop(stage);
}

#[test]
fn a_protocol_that_moves_its_marks_to_and_fro_does_not_keep_the_turn() {
    /// More pauses than one turn may bring; the protocol gives up then, so that a test that fails also ends.
    const TOO_MANY: usize = 1_000;

    struct Restless(Rc<Cell<usize>>);

    impl Protocol for Restless {
        fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}

        fn pause_writing(&mut self, transport: &TransportRef) {
            self.0.set(self.0.get() + 1);
            if self.0.get() < TOO_MANY {
                transport.set_write_buffer_limits(Limits::low(1 << 26));
            }
        }

        fn resume_writing(&mut self, transport: &TransportRef) {
            transport.set_write_buffer_limits(Limits::high(0));
        }
    }

    let stage = Stage::new();
    let pauses = Rc::new(Cell::new(0));
    let (transport, _protocol, wire) = stage.wire(Restless(Rc::clone(&pauses)));
    stage.run();
    wire.limit_writes(0);
    transport.set_write_buffer_limits(Limits::high(0));
    transport.write(b"xx");
    stage.turn();
    assert!((1..TOO_MANY).contains(&pauses.get()), "{} pauses", pauses.get());
}

#[test]
fn what_one_waits_for_a_task_with_may_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<JoinHandle<u32>>();
    is_send::<Blocking<u32>>();
}
