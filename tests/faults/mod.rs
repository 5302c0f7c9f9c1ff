//! Candidates as processes, faults on them, and what must hold: for any ensemble.

pub(crate) mod candidate;
pub(crate) mod log;
pub(crate) mod nemesis;
