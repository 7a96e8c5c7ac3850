//! [`Feed`]: the protocol of one pipe of a child, which passes on what it hears to the protocol of the child.

use std::rc::Rc;

use wharf_core::shared::{Held, Layer, Reception};
use wharf_core::{KeepOpen, Lost, TransportRef};

use crate::process::Process;

pub(crate) struct Feed {
    process: Rc<Process>,
    fd: i32,
}

impl Feed {
    pub(crate) fn new(process: &Rc<Process>, fd: i32) -> Self {
        Self { process: Rc::clone(process), fd }
    }
}

impl Layer for Feed {
    fn assert_free(&self) {
        self.process.assert_free();
    }

    fn reception(&self) -> Reception {
        Reception::Plain
    }

    fn connection_made(&self, _: &TransportRef) {}

    fn data_received(&self, _: &TransportRef, data: &[u8]) -> Result<(), Held> {
        if !self.process.is_free() {
            return Err(Held);
        }
        self.process.count_received(data.len());
        self.process.tell_of_pipe("pipe_data_received", &mut |protocol, transport| {
            protocol.pipe_data_received(transport, self.fd, data);
        });
        Ok(())
    }

    fn eof_received(&self, _: &TransportRef) -> KeepOpen {
        KeepOpen::No
    }

    fn pause_writing(&self, _: &TransportRef) {
        self.process.tell_of_pipe("pause_writing", &mut |protocol, transport| {
            protocol.pause_writing(transport, self.fd);
        });
    }

    fn resume_writing(&self, _: &TransportRef) {
        self.process.tell_of_pipe("resume_writing", &mut |protocol, transport| {
            protocol.resume_writing(transport, self.fd);
        });
    }

    fn connection_lost(&self, _: &TransportRef, why: &Lost) {
        self.process.tell_of_pipe("pipe_connection_lost", &mut |protocol, transport| {
            protocol.pipe_connection_lost(transport, self.fd, why);
        });
        self.process.pipe_lost();
    }
}
