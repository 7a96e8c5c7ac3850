//! A panic costs its connection, and is the driver's output.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::spawn_local;
use wharf_core::{Protocol, TransportRef};
use wharf_tokio::serve;

use crate::support::{Log, run};

#[test]
fn a_panic_is_told_to_the_protocol_and_given_to_the_caller() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(100);
        let (_, _, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        theirs.write_all(b"panic").await.unwrap();
        let report = serving.await.unwrap().unwrap_err();
        assert_eq!(report.fault.callback(), "data_received");
        assert_eq!(report.fault.message(), "as it was told");
        assert!(report.payload.is_some(), "it may be resumed");
        assert!(report.protocol.is_some_and(|name| name.ends_with("Echo")));
        let told = log.take();
        assert_eq!(told, ["made", "lost: data_received failed: as it was told"]);
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
    });
}

/// Fails as soon as it can.
struct Early;

impl Protocol for Early {
    fn connection_made(&mut self, _: &TransportRef) {
        panic!("at once");
    }

    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

#[test]
fn a_panic_in_connection_made_is_no_other() {
    run(async {
        let (ours, _theirs) = duplex(100);
        let report = serve(ours, Early).await.unwrap_err();
        assert_eq!(report.fault.callback(), "connection_made");
    });
}

#[test]
fn a_panic_of_a_scheduled_callback_costs_no_connection() {
    run(async {
        let log = Log::default();
        let (ours, theirs) = duplex(100);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        transport.scheduler().call_soon(Box::new(|| panic!("later")));
        drop(theirs);
        let report = serving.await.unwrap().unwrap_err();
        assert_eq!(report.fault.callback(), "call_soon");
        assert_eq!(log.take(), ["made", "eof", "lost: ended by the peer"]);
    });
}

// The mistake is what is tested.
#[allow(clippy::await_holding_refcell_ref)]
#[test]
fn a_borrow_across_a_turn_is_refused_and_nothing_is_lost_by_it() {
    let panicked = std::panic::catch_unwind(|| {
        run(async {
            let (ours, mut theirs) = duplex(100);
            let (_, echo, driver) = serve(ours, Log::default().echo()).start();
            let held = echo.borrow_mut();
            theirs.write_all(b"hello").await.unwrap();
            let _ = driver.await;
            drop(held);
        });
    });
    let message = panicked.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("is borrowed while the loop runs"), "{message}");
}

/// Panics when it is dropped.
struct Clumsy;

impl Drop for Clumsy {
    fn drop(&mut self) {
        panic!("clumsy end");
    }
}

/// Two of them: a second panic in the drop of what holds both would end the process.
#[test]
fn what_never_ran_may_panic_piece_by_piece() {
    run(async {
        let log = Log::default();
        let (ours, theirs) = duplex(100);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        for _ in 0..2 {
            let clumsy = Clumsy;
            let callback = Box::new(move || drop(clumsy));
            drop(transport.scheduler().call_later(Duration::from_secs(100), callback));
        }
        drop(theirs);
        let report = serving.await.unwrap().unwrap_err();
        assert_eq!(report.fault.to_string(), "drop failed: clumsy end");
    });
}
