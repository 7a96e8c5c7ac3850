//! [`TlsIo`]: a session as the I/O object of core's stream driver. Its reads open records, its writes make them.
//! [`Place`]: the same session as the driver's place on the loop.

use std::any::Any;
use std::io::{self, IoSlice};
use std::rc::Rc;

use wharf_core::Limits;
use wharf_core::driver::{Seat, StreamIo};
use wharf_core::extra::Request;
use wharf_core::stream::Interest;

use crate::host::LayerHost;
use crate::session::Session;

pub(crate) struct TlsIo(pub(crate) Rc<Session>);

/// The way to the loop, and by the layer back to the driver.
pub(crate) struct Place(pub(crate) Rc<Session>);

impl Seat for Place {
    type Host = LayerHost;

    fn host(&self) -> &LayerHost {
        self.0.host()
    }

    fn driver<D: 'static>(&self) -> Option<Rc<D>> {
        let driver: Rc<dyn Any> = self.0.layer()?.driver()?;
        driver.downcast().ok()
    }
}

impl StreamIo for TlsIo {
    type Seat = Place;

    const LAYERED: bool = true;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.end_writing()
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn set_interest(&mut self, _: &Self::Seat, interest: Interest) -> io::Result<()> {
        self.0.set_reading(interest.read);
        Ok(())
    }

    fn close(&mut self, _: &Self::Seat, _: bool) {
        self.0.close();
    }

    fn provide(&self, _: &Self::Seat, request: &mut Request<'_>) {
        self.0.provide(request);
    }

    fn unsent_below(&self) -> usize {
        self.0.unsent()
    }

    fn is_closing_below(&self) -> bool {
        self.0.is_closing_below()
    }

    fn can_half_close(&self) -> bool {
        self.0.can_half_close()
    }

    fn say_goodbye(&mut self) -> bool {
        self.0.say_goodbye()
    }

    fn limits_changed(&mut self, limits: &Limits) {
        self.0.set_limits(*limits);
    }
}
