//! Putting a protocol on a socket: the last step of every endpoint.

use std::io;
use std::rc::Rc;

use wharf_core::datagram::driver::DatagramOptions;
use wharf_core::{DatagramTransportRef, IntoDatagramProtocol};
use wharf_reactor::datagram::{DatagramDriver, datagrams};
use wharf_reactor::{Handle, LoopClosed, LoopHandle, oneshot};

use crate::socket::Socket;

/// What opening an endpoint gives: the transport, and the protocol as the user keeps it.
pub type Opened<P> = (DatagramTransportRef, <P as IntoDatagramProtocol>::Shared);

/// Puts a protocol on a socket. Ends after `connection_made` has returned.
pub(crate) async fn establish<P: IntoDatagramProtocol>(
    handle: &LoopHandle,
    socket: Socket,
    factory: impl FnOnce() -> P,
    options: DatagramOptions,
) -> io::Result<Opened<P>> {
    let (shared, protocol) = factory().share();
    let driver = datagrams(handle, socket, protocol, options);
    let (sender, receiver) = oneshot();
    let begun = Rc::clone(&driver);
    let begin = handle.call_soon(move || {
        // Nobody waits any more: the guard below has taken the endpoint back.
        let _ = sender.send(begun.begin());
    });
    let mut guard = TakeBack { driver: Some(driver), begin };
    let Some(begun) = receiver.await else {
        // It did not begin: the loop is gone. The guard takes the endpoint back.
        return Err(io::Error::other(LoopClosed));
    };
    let Some(driver) = guard.driver.take() else { return Err(io::ErrorKind::Other.into()) };
    begun.map(|()| (driver.handle(), shared)).map_err(io::Error::other)
}

/// Takes an endpoint back whose maker has given up: without a word if its protocol knows nothing, else by an abort.
struct TakeBack {
    driver: Option<Rc<DatagramDriver<Socket>>>,
    begin: Handle,
}

impl Drop for TakeBack {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.begin.cancel();
            if !driver.abandon() {
                driver.handle().abort();
            }
        }
    }
}
