use std::{fmt, time::Duration};

use incumbent_core::Token;

use crate::LossReason;

/// What happens to one candidate, for logs, metrics and terminals. See [`Candidate::events`](crate::Candidate::events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CandidateEvent {
    /// It stands in the queue.
    Waiting {
        /// How many stand before it, at least: exact up to 2.
        ahead: usize,
    },
    /// It leads.
    Leading {
        /// The fencing token.
        token: Token,
        /// For how long that is proven for now.
        remaining: Duration,
    },
    /// It leads, and contact with the ensemble is lost for the moment.
    Suspended {
        /// Why the latest heartbeat failed.
        reason: String,
    },
    /// It leads, and there is contact again.
    Confirmed,
    /// It leads no more.
    Lost {
        /// Why.
        reason: LossReason,
    },
    /// It stepped down, and its entry is gone.
    Resigned,
    /// It lost its place in the queue and joins again.
    Rejoining {
        /// Why.
        reason: String,
    },
    /// It does not lead; an attempt or the latest heartbeat failed, and another follows.
    Troubled {
        /// What failed.
        reason: String,
    },
}

impl fmt::Display for CandidateEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { ahead } => write!(f, "waiting behind {ahead}{}", if *ahead > 2 { " or more" } else { "" }),
            Self::Leading { token, remaining } => write!(f, "leading with token {token}, valid for {remaining:.1?}"),
            Self::Suspended { reason } => write!(f, "suspended: {reason}"),
            Self::Confirmed => f.write_str("confirmed"),
            Self::Lost { reason } => write!(f, "lost: {reason}"),
            Self::Resigned => f.write_str("resigned"),
            Self::Rejoining { reason } => write!(f, "joining again: {reason}"),
            Self::Troubled { reason } => write!(f, "trying again: {reason}"),
        }
    }
}
