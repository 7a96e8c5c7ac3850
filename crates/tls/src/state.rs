//! [`TlsState`]: the life of a TLS connection beside that of its byte stream, decided without I/O.
//!
//! ```text
//!               established              goodbye                peer done
//!   Handshaking ───────────▶ Open ─────────────────▶ Farewell ───────────▶ Leaving
//!        │                    │                         │                     │
//!        │ failed             │ failed                  │ failed              │ failed
//!        ▼                    ▼                         ▼                     ▼
//!      Failed ◀───────────────┴─────────────────────────┴─────────────────────┘
//!
//!   lost below, from anywhere: Lost
//! ```
//!
//! Every pair of phase and event; `·` stays.
//! A unit test computes this table and compares.
//!
//! | phase | established | goodbye | peer done | failed | lost below |
//! | --- | --- | --- | --- | --- | --- |
//! | Handshaking | Open | Failed | · | Failed | Lost |
//! | Open | · | Farewell | · | Failed | Lost |
//! | Farewell | · | · | Leaving | Failed | Lost |
//! | Leaving | · | · | · | Failed | Lost |
//! | Failed | · | · | · | · | Lost |
//! | Lost | · | · | · | · | · |
//!
//! The stream's own life (who may write, who was told what) is [`StreamState`](wharf_core::stream::StreamState)'s, which
//! decides for TLS as it does for TCP; what is here is only what TLS adds.

/// Where a TLS connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Nothing of the user's is sent or delivered yet.
    Handshaking,
    /// Records carry the user's bytes.
    Open,
    /// Everything has been sent, our goodbye too; the peer's has yet to come.
    Farewell,
    /// Both have said goodbye, or we do not wait: the transport below closes.
    Leaving,
    /// It is broken, or was dropped: the transport below ends, perhaps after an alert.
    Failed,
    /// The transport below is lost.
    Lost,
}

/// What changes the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The handshake is over.
    Established,
    /// We say goodbye, because the stream closes.
    Goodbye,
    /// The peer has said goodbye, or has ended without; or we do not wait for it.
    PeerDone,
    /// An error, a deadline, an abort.
    Failed,
    /// The transport below is lost.
    LostBelow,
}

/// The state of a TLS connection. See the drawing at the top of this module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsState {
    phase: Phase,
    /// The peer has said goodbye, or its bytes have ended.
    peer_done: bool,
}

impl Phase {
    /// The phase that follows on `event`.
    const fn after(self, event: Event) -> Self {
        match (self, event) {
            (Self::Handshaking, Event::Established) => Self::Open,
            (Self::Open, Event::Goodbye) => Self::Farewell,
            (Self::Farewell, Event::PeerDone) => Self::Leaving,
            // Without keys there is nothing to say goodbye with.
            (Self::Handshaking, Event::Goodbye)
            | (Self::Handshaking | Self::Open | Self::Farewell | Self::Leaving, Event::Failed) => {
                Self::Failed
            }
            (_, Event::LostBelow) => Self::Lost,
            _ => self,
        }
    }
}

impl TlsState {
    /// A handshake that has not begun.
    pub(crate) const fn new() -> Self {
        Self { phase: Phase::Handshaking, peer_done: false }
    }

    /// The phase.
    pub(crate) fn phase(self) -> Phase {
        self.phase
    }

    /// Takes note of `event`. A peer that was done before our goodbye is not waited for.
    pub(crate) fn note(&mut self, event: Event) {
        self.peer_done |= event == Event::PeerDone;
        self.phase = self.phase.after(event);
        if self.peer_done {
            self.phase = self.phase.after(Event::PeerDone);
        }
    }

    /// Whether the transport below is to be read: `reading` says whether the user wants more.
    pub(crate) fn wants_bytes(self, reading: bool) -> bool {
        match self.phase {
            // A peer that was refused is heard out.
            Phase::Handshaking | Phase::Farewell | Phase::Failed => true,
            // After the peer's goodbye nothing is delivered, but its end is still worth knowing.
            Phase::Open => reading || self.peer_done,
            Phase::Leaving | Phase::Lost => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 6] = [
        Phase::Handshaking,
        Phase::Open,
        Phase::Farewell,
        Phase::Leaving,
        Phase::Failed,
        Phase::Lost,
    ];

    const EVENTS: [Event; 5] =
        [Event::Established, Event::Goodbye, Event::PeerDone, Event::Failed, Event::LostBelow];

    #[test]
    fn the_table_at_the_top_is_what_the_code_does() {
        let rows: Vec<String> = PHASES
            .iter()
            .map(|phase| {
                let cells: Vec<String> = EVENTS
                    .iter()
                    .map(|event| match phase.after(*event) {
                        after if after == *phase => "·".to_owned(),
                        after => format!("{after:?}"),
                    })
                    .collect();
                format!("//! | {phase:?} | {} |", cells.join(" | "))
            })
            .collect();
        let source = include_str!("state.rs");
        let start = source.find("//! | Handshaking |").unwrap();
        let written: Vec<&str> = source[start..].lines().take(PHASES.len()).collect();
        assert_eq!(written, rows);
    }

    #[test]
    fn a_peer_that_is_done_is_not_waited_for() {
        let mut state = TlsState::new();
        state.note(Event::Established);
        state.note(Event::PeerDone);
        assert_eq!(state.phase(), Phase::Open, "we may go on writing");
        assert!(state.wants_bytes(false));
        state.note(Event::Goodbye);
        assert_eq!(state.phase(), Phase::Leaving);
    }
}
