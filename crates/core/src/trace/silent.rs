//! Spans and events of `tracing`: none, because the feature `tracing` is off. With it this module is `trace.rs`.

use std::io;
use std::time::Duration;

use crate::guard::FaultReport;
use crate::observe::Moment;
use crate::{Address, BaseTransport, Scheduler, TransportId};

/// Runs a callback of the transport's protocol.
#[inline(always)]
pub(crate) fn inside<S, R>(_: &S, _: TransportId, callback: impl FnOnce() -> R) -> R
where
    S: Scheduler + ?Sized,
{
    callback()
}

/// Something has happened to a transport.
#[inline(always)]
pub(crate) fn observe<S: Scheduler + ?Sized>(_: &S, _: &dyn BaseTransport, _: &Moment<'_>) {}

/// A callback was slow. For hosts that look at the time.
#[inline(always)]
pub fn slow_callback<S>(_: &S, _: Option<TransportId>, _: &'static str, _: Duration)
where
    S: Scheduler + ?Sized,
{
}

/// User code has failed. For [`Scheduler::report`].
#[inline(always)]
pub fn fault<S: Scheduler + ?Sized>(_: &S, _: &FaultReport) {}

/// The system could not give a connection to a listener. For hosts with listeners.
#[inline(always)]
pub fn accept_trouble(_: Option<&Address>, _: &io::Error, _: Duration) {}
