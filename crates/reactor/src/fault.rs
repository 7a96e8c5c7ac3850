//! The fault policy: what a loop does with a panic of user code that it has caught (rule T9).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;

use wharf_core::guard::{self, FaultReport};

/// What happens when a callback panics. Whichever it is, the connection that the callback belongs to ends, and nothing
/// else does.
#[derive(Default)]
pub enum FaultPolicy {
    /// Nothing more: the panic hook has printed the message, and the loop goes on.
    #[doc(alias = "default_exception_handler")]
    #[default]
    Contain,
    /// The turn ends its work and then resumes the panic. For tests: an `assert!` in a callback fails its test.
    Resume,
    /// The report is handed to this function, and the loop goes on. A panic in it is contained.
    Report(Box<dyn FnMut(FaultReport)>),
}

impl FaultPolicy {
    /// Hands each report to `report`.
    #[must_use]
    pub fn report(report: impl FnMut(FaultReport) + 'static) -> Self {
        Self::Report(Box::new(report))
    }
}

impl fmt::Debug for FaultPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contain => "Contain",
            Self::Resume => "Resume",
            Self::Report(_) => "Report(..)",
        })
    }
}

/// The policy in force, and a panic that waits for the end of the turn.
#[derive(Default)]
pub(crate) struct Faults {
    policy: RefCell<FaultPolicy>,
    /// Set anew while a report was under way.
    replaced: Cell<bool>,
    pending: RefCell<Option<Box<dyn Any + Send>>>,
}

impl Faults {
    pub(crate) fn new(policy: FaultPolicy) -> Self {
        Self { policy: RefCell::new(policy), ..Self::default() }
    }

    pub(crate) fn set(&self, policy: FaultPolicy) -> FaultPolicy {
        self.replaced.set(true);
        self.policy.replace(policy)
    }

    pub(crate) fn report(&self, mut report: FaultReport) {
        // Out of its cell while it runs: it may set another.
        let mut policy = self.policy.take();
        self.replaced.set(false);
        match &mut policy {
            FaultPolicy::Contain => {}
            FaultPolicy::Resume => {
                let message = report.fault.to_string();
                let payload = report.payload.take().unwrap_or_else(|| Box::new(message));
                self.pending.borrow_mut().get_or_insert(payload);
            }
            FaultPolicy::Report(function) => {
                // Its own panic has been printed by the hook, and there is nobody else to tell.
                let _ = guard::call("fault report", || function(report));
            }
        }
        if self.replaced.get() {
            // So has one in its end.
            let _ = guard::call("fault report", || drop(policy));
        } else {
            self.policy.replace(policy);
        }
    }

    /// A panic that is nobody's fault but the caller's: it is resumed whatever the policy.
    pub(crate) fn resume_later(&self, payload: Box<dyn Any + Send>) {
        self.pending.borrow_mut().get_or_insert(payload);
    }

    /// The panic to resume now, if there is one.
    pub(crate) fn take_pending(&self) -> Option<Box<dyn Any + Send>> {
        self.pending.take()
    }
}
