//! [`ProcessState`]: what a child process has been through, and what its protocol has yet to be told. No I/O.
//!
//! ```text
//!             connection_made          the child ends                 every pipe is over
//!   Unmade ───────────────────▶ Running ─────────────▶ Ended ───────────────────────────▶ Lost
//!                                  drain, process_exited        connection_lost
//! ```
//!
//! Pipes may be over before the child ends, or long after: a grandchild may hold them.

use std::process::ExitStatus;

use wharf_core::Lost;
use wharf_core::vitals::Life;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Tell `connection_made`.
    Made,
    /// Deliver what the pipes hold: it was written before the child ended.
    Drain,
    /// Tell `process_exited`.
    Exited,
    /// Tell `connection_lost`.
    Lost,
}

#[derive(Debug)]
pub(crate) struct ProcessState {
    made: bool,
    /// How many pipes are not over yet.
    pipes: usize,
    status: Option<ExitStatus>,
    drained: bool,
    exit_told: bool,
    /// Why we ended it; `None` while it may end by itself.
    cause: Option<Lost>,
    /// The protocol failed, and hears of its loss only.
    silent: bool,
    lost: bool,
}

impl ProcessState {
    pub(crate) fn new(pipes: usize) -> Self {
        Self {
            made: false,
            pipes,
            status: None,
            drained: false,
            exit_told: false,
            cause: None,
            silent: false,
            lost: false,
        }
    }

    /// The next thing that is owed, if any; [`told`](Self::told) takes note of it.
    pub(crate) fn untold(&self) -> Option<Notice> {
        if self.lost {
            None
        } else if !self.made {
            Some(Notice::Made)
        } else if self.status.is_some() && !self.drained {
            Some(Notice::Drain)
        } else if self.status.is_some() && !self.exit_told {
            Some(Notice::Exited)
        } else if self.exit_told && self.pipes == 0 {
            Some(Notice::Lost)
        } else {
            None
        }
    }

    pub(crate) fn told(&mut self, notice: Notice) {
        match notice {
            Notice::Made => self.made = true,
            Notice::Drain => self.drained = true,
            Notice::Exited => self.exit_told = true,
            Notice::Lost => self.lost = true,
        }
    }

    pub(crate) fn exited(&mut self, status: ExitStatus) {
        self.status.get_or_insert(status);
    }

    pub(crate) fn pipe_lost(&mut self) {
        self.pipes -= 1;
    }

    /// Ends it for `cause`, unless it was ended before; says whether this did.
    pub(crate) fn end(&mut self, cause: Lost) -> Result<(), Lost> {
        if self.lost || self.cause.is_some() {
            return Err(cause);
        }
        self.cause = Some(cause);
        Ok(())
    }

    /// The protocol failed: whatever the cause was, it is this one now.
    pub(crate) fn fail(&mut self, fault: Lost) -> Option<Lost> {
        self.silent = true;
        // What is still in the pipes is not for it.
        self.drained = true;
        self.cause.replace(fault)
    }

    /// Ends it as if it had never been.
    pub(crate) fn abandon(&mut self) {
        self.lost = true;
    }

    /// Whether the protocol hears of what happens.
    pub(crate) fn is_audible(&self) -> bool {
        self.made && !self.silent && !self.lost
    }

    pub(crate) fn life(&self) -> Life {
        match self {
            Self { lost: true, .. } => Life::Lost,
            Self { cause: Some(_), .. } | Self { exit_told: true, .. } => Life::Closing,
            Self { made: false, .. } => Life::Beginning,
            _ => Life::Open,
        }
    }

    /// Whether nobody was told anything.
    pub(crate) fn is_unmade(&self) -> bool {
        !self.made && !self.lost
    }

    /// Whether it is over: the loss is told, or it was taken back.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether we have ended it, or it has ended by itself and everybody knows.
    pub(crate) fn is_closing(&self) -> bool {
        self.cause.is_some() || self.lost
    }

    /// The status, once the protocol knows.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.status.filter(|_| self.exit_told)
    }

    /// Why it is over: we ended it, or the child did.
    pub(crate) fn take_cause(&mut self) -> Lost {
        self.cause.take().unwrap_or(Lost::Eof)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn everything(state: &mut ProcessState) -> Vec<Notice> {
        std::iter::from_fn(|| {
            let notice = state.untold()?;
            state.told(notice);
            Some(notice)
        })
        .collect()
    }

    #[test]
    fn a_child_that_is_dead_before_its_start_is_told_in_order() {
        let mut state = ProcessState::new(1);
        state.exited(ExitStatus::from_raw(0));
        assert_eq!(everything(&mut state), [Notice::Made, Notice::Drain, Notice::Exited]);
        state.pipe_lost();
        assert_eq!(everything(&mut state), [Notice::Lost]);
        assert_eq!(state.take_cause().to_string(), Lost::Eof.to_string());
    }

    #[test]
    fn the_loss_waits_for_the_exit_as_it_does_for_the_pipes() {
        let mut state = ProcessState::new(1);
        state.told(Notice::Made);
        state.pipe_lost();
        assert_eq!(state.untold(), None);
        state.exited(ExitStatus::from_raw(0));
        assert_eq!(everything(&mut state), [Notice::Drain, Notice::Exited, Notice::Lost]);
    }

    #[test]
    fn the_status_is_known_from_process_exited_on() {
        let mut state = ProcessState::new(0);
        state.told(Notice::Made);
        state.exited(ExitStatus::from_raw(9));
        assert_eq!(state.status(), None);
        state.told(Notice::Drain);
        state.told(Notice::Exited);
        assert_eq!(state.status(), Some(ExitStatus::from_raw(9)));
    }

    #[test]
    fn the_first_cause_counts_and_a_fault_replaces_it() {
        let mut state = ProcessState::new(0);
        assert!(state.end(Lost::Closed).is_ok());
        assert!(state.end(Lost::Aborted).is_err());
        assert!(state.is_closing());
        state.fail(Lost::Overflow);
        assert_eq!(state.take_cause().to_string(), Lost::Overflow.to_string());
        assert!(!state.is_audible());
    }
}
