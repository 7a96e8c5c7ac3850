//! Circles that users tie by accident: a loop or a server lets go of the closures that hold it.

use std::cell::RefCell;
use std::future::IntoFuture;
use std::rc::Rc;

use wharf::{FaultPolicy, Server, tcp};

use crate::support::{Log, event_loop};

#[test]
fn a_fault_policy_that_holds_its_loop_goes_with_it() {
    let token = Rc::new(());
    let ev = event_loop();
    let (handle, captured) = (ev.handle().clone(), Rc::clone(&token));
    ev.set_fault_policy(FaultPolicy::report(move |_| {
        let _token = &captured;
        handle.stop();
    }));
    drop(ev);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn a_factory_that_holds_its_server_goes_when_that_is_closed() {
    let token = Rc::new(());
    let slot: Rc<RefCell<Option<Server>>> = Rc::default();
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let captured = (Rc::clone(&slot), Rc::clone(&token));
    let factory = move || {
        let _captured = &captured;
        Log::default()
    };
    let listening = tcp::listen(&handle, "127.0.0.1:0", factory).into_future();
    let server = ev.block_on(listening).unwrap();
    *slot.borrow_mut() = Some(server.clone());
    server.close();
    assert_eq!((Rc::strong_count(&token), Rc::strong_count(&slot)), (1, 1));
}

#[test]
fn a_factory_that_holds_its_server_goes_with_the_loop() {
    let token = Rc::new(());
    let slot: Rc<RefCell<Option<Server>>> = Rc::default();
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let captured = (Rc::clone(&slot), Rc::clone(&token));
    let factory = move || {
        let _captured = &captured;
        Log::default()
    };
    let listening = tcp::listen(&handle, "127.0.0.1:0", factory).into_future();
    let server = ev.block_on(listening).unwrap();
    *slot.borrow_mut() = Some(server);
    drop((ev, handle));
    assert_eq!((Rc::strong_count(&token), Rc::strong_count(&slot)), (1, 1));
}
