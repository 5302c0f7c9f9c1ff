//! One file an invariant.

pub(crate) mod deadline;
pub(crate) mod exclusion;
pub(crate) mod fence;
pub(crate) mod finality;
pub(crate) mod head;
pub(crate) mod liveness;
pub(crate) mod observed;
pub(crate) mod orphans;
pub(crate) mod tokens;

use std::{fmt, time::Duration};

use incumbent::LeadershipView;

/// An invariant that was broken.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// One leadership, from its grant on.
pub(crate) struct Term {
    pub(crate) client: usize,
    pub(crate) election: usize,
    pub(crate) view: LeadershipView,
    /// Whether it was valid when last looked at.
    pub(crate) valid: bool,
}

/// Time between two looks at something that is waited for.
const TICK: Duration = Duration::from_millis(50);
