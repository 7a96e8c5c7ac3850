//! A layer of somebody else's: what it may ask of the transport while it is asked itself, and what a panic in it costs.

use std::cell::RefCell;
use std::rc::Rc;

use wharf_core::memory::Stage;
use wharf_core::shared::{Held, IntoProtocol, Layer, Reception};
use wharf_core::vitals::Above;
use wharf_core::{Fault, KeepOpen, Lost, StreamProtocol, TransportRef};

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

/// Panics over its buffer, before or after the transport has read into it.
struct Clumsy {
    reads_first: bool,
    told: RefCell<Vec<String>>,
}

impl Layer for Clumsy {
    fn assert_free(&self) {}
    fn reception(&self) -> Reception {
        Reception::Buffered
    }
    fn connection_made(&self, _: &TransportRef) {}
    fn get_buffer(&self, _: Option<usize>, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        if self.reads_first {
            assert_eq!(read(&mut [0; 8]), 5);
        }
        panic!("no room");
    }
    fn buffer_updated(&self, _: &TransportRef, count: usize) {
        self.told.borrow_mut().push(format!("{count} bytes"));
    }
    fn eof_received(&self, _: &TransportRef) -> KeepOpen {
        KeepOpen::No
    }
    fn pause_writing(&self, _: &TransportRef) {}
    fn resume_writing(&self, _: &TransportRef) {}
    fn connection_lost(&self, _: &TransportRef, why: &Lost) {
        self.told.borrow_mut().push(why.to_string());
    }
}

#[test]
fn a_layer_that_panics_over_its_buffer_hears_of_its_loss_and_of_no_bytes() {
    for reads_first in [false, true] {
        let stage = Stage::new();
        stage.contain_faults();
        let layer = Rc::new(Clumsy { reads_first, told: RefCell::default() });
        let (transport, _, wire) = stage.wire(StreamProtocol::from_layer(Rc::clone(&layer) as _));
        wire.send(b"hello");
        stage.run();
        let faults: Vec<Fault> =
            stage.take_faults().into_iter().map(|report| report.fault).collect();
        assert_eq!(faults, [Fault::new("get_buffer", "no room")]);
        assert!(transport.is_closing());
        assert_eq!(layer.told.take(), [Lost::Fault(faults[0].clone()).to_string()]);
    }
}
