//! The driver's wire logs: switching them on and off, and writing what they have gathered, with nothing borrowed.

use super::StreamDriver;
use super::contract::{Host, StreamIo};
use super::inner::Rare;
use crate::extra::{LocalAddr, PeerAddr, Request};
use crate::guard::{self, FaultReport};
use crate::lost::{Fault, Lost};
use crate::schedule::Scheduler;
use crate::stream::Phase;
use crate::transport::BaseTransport;
use crate::vitals::TransportKind;
use crate::wire_log::{Batch, Recorder, Recorders, Subject, Tapped, WireLog};

impl<I: StreamIo> StreamDriver<I> {
    /// Writes one batch of entries. The log is the user's: it runs as a callback does, and may fail or panic.
    #[cold]
    #[inline(never)]
    pub(super) fn write_log(&self) {
        let next = self.inner.borrow_mut().logs().and_then(Recorders::next);
        let Some((place, mut batch)) = next else { return };
        let failed = !self.try_to_write(&mut batch, None);
        let mut inner = self.inner.borrow_mut();
        let over = match inner.logs() {
            Some(logs) => logs.put_back(place, batch, failed),
            None => Some(batch),
        };
        let logged = inner.logs().is_some_and(|logs| !logs.is_empty());
        inner.state.set_logged(logged);
        if inner.rare.as_deref().is_some_and(Rare::is_idle) {
            inner.rare = None;
        }
        drop(inner);
        self.drop_log(over);
    }

    /// Writes what is left, and the loss after it.
    #[inline(never)]
    pub(super) fn finish_logs(&self, logs: Recorders, why: &Lost) {
        for mut batch in logs.into_batches() {
            let lost = (!batch.is_stopped()).then_some(why);
            self.try_to_write(&mut batch, lost);
            self.drop_log(Some(batch));
        }
    }

    fn try_to_write(&self, batch: &mut Batch, lost: Option<&Lost>) -> bool {
        let outcome = guard::call("wire log", || batch.write(lost));
        let mut report = match outcome {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => FaultReport::broken_rule(Fault::new("wire log", error.to_string())),
            Err(caught) => FaultReport::caught(caught),
        };
        report.transport = Some(self.tag.id());
        self.host().report(report);
        false
    }

    fn drop_log(&self, batch: Option<Batch>) {
        super::drop_guarded(batch, self.host());
    }

    fn subject(&self) -> Subject {
        fn ask<T: 'static>(transport: &dyn BaseTransport) -> Option<T> {
            Request::ask(|request| transport.provide(request))
        }
        Subject {
            id: self.tag.id(),
            kind: ask(self).unwrap_or_else(|| TransportKind("stream".into())),
            local: ask(self).map(|LocalAddr(address)| address),
            peer: ask(self).map(|PeerAddr(address)| address),
        }
    }
}

impl<I: StreamIo> Tapped for StreamDriver<I> {
    fn start_log(&self, log: Box<dyn WireLog>) -> bool {
        if self.is_lost() {
            return false;
        }
        let clock = self.host().to_scheduler();
        let recorder = Recorder::new(log, self.subject(), clock);
        let mut inner = self.enter();
        inner.rare().logs.add(recorder);
        inner.state.set_logged(true);
        drop(inner);
        self.settle_soon();
        true
    }

    fn stop_logs(&self) {
        if let Some(logs) = self.inner.borrow_mut().logs() {
            logs.stop();
        }
        self.settle_soon();
    }

    fn is_logged(&self) -> bool {
        let inner = self.inner.borrow();
        inner.state.phase() != Phase::Lost
            && inner.rare.as_deref().is_some_and(|rare| rare.logs.is_on())
    }
}
