use std::time::Duration;

use incumbent_core::{Error, SessionId};

/// How a process stands with its ensemble. See [`Ensemble::status`](crate::Ensemble::status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The shared session; `None` before the first candidate stands.
    pub session: Option<SessionStatus>,
    /// How many candidates of this process stand or lead.
    pub candidates: usize,
    /// How many of them lead.
    pub leading: usize,
    /// Whether the tasks behind this run.
    pub live: bool,
    /// Whether it was closed.
    pub closed: bool,
}

/// How the shared session is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionStatus {
    /// Its id in the ensemble.
    pub id: SessionId,
    /// The granted time to live.
    pub ttl: Duration,
    /// For how long its life is proven; a session that nobody leads on, or is about to, is not kept proven.
    pub remaining: Duration,
    /// Why there is no contact, or why it ended; `None` while all is well.
    pub trouble: Option<Error>,
    /// Whether it is over; the next candidate opens another.
    pub ended: bool,
}

impl Status {
    /// Whether the ensemble answers, as far as anybody here needs it: for a readiness check. A process that does not lead is
    /// ready too.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let fine = |session: &SessionStatus| {
            // A session that is over is missed only by candidates.
            if session.ended { self.candidates == 0 } else { session.trouble.is_none() }
        };
        self.is_live() && !self.closed && self.session.as_ref().is_none_or(fine)
    }

    /// Whether only a restart of the process can help if not: for a liveness check.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }
}
