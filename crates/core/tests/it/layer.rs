//! A layer of somebody else's: what it may ask of the transport while it is asked itself.

use std::cell::RefCell;
use std::rc::Rc;

use wharf_core::memory::Stage;
use wharf_core::shared::{Held, IntoProtocol, Layer, Reception};
use wharf_core::vitals::Above;
use wharf_core::{KeepOpen, Lost, StreamProtocol, TransportRef};

/// Says where it is by looking at the transport below, which is also the one above.
#[derive(Default)]
struct Curious(RefCell<Option<TransportRef>>);

impl Layer for Curious {
    fn assert_free(&self) {}
    fn reception(&self) -> Reception {
        Reception::Plain
    }
    fn connection_made(&self, transport: &TransportRef) {
        self.0.replace(Some(transport.clone()));
    }
    fn data_received(&self, transport: &TransportRef, data: &[u8]) -> Result<(), Held> {
        transport.write(data);
        assert!(transport.extra::<Above>().is_some());
        assert_eq!(transport.write_buffer_len(), data.len());
        Ok(())
    }
    fn eof_received(&self, _: &TransportRef) -> KeepOpen {
        KeepOpen::No
    }
    fn pause_writing(&self, _: &TransportRef) {}
    fn resume_writing(&self, _: &TransportRef) {}
    fn connection_lost(&self, _: &TransportRef, _: &Lost) {
        self.0.take();
    }
    fn above(&self) -> Option<TransportRef> {
        let transport = self.0.borrow().clone()?;
        let asked = (transport.is_closing(), transport.is_reading(), transport.write_buffer_len());
        (!asked.0).then_some(transport)
    }
}

struct Laid(Rc<Curious>);

impl IntoProtocol for Laid {
    type Shared = Rc<Curious>;
    fn share(self) -> (Rc<Curious>, StreamProtocol) {
        (Rc::clone(&self.0), StreamProtocol::from_layer(self.0))
    }
}

#[test]
fn a_layer_that_is_asked_what_is_above_may_ask_the_transport() {
    let stage = Stage::new();
    let (transport, _layer, wire) = stage.wire(Laid(Rc::default()));
    wire.send(b"hello");
    stage.run();
    assert_eq!(wire.take(), b"hello");
    assert!(transport.extra::<Above>().is_some());
    assert!(stage.take_faults().is_empty());
}
