//! Leader election on etcd or ZooKeeper: one replica runs the job, provably, with a fencing token.

mod backoff;
mod campaign;
mod candidate;
mod connect;
mod driver;
mod election;
mod ensemble;
mod event;
mod host;
mod leadership;
mod observe;
mod options;
mod run;
mod sessions;
mod status;
mod url;

pub use backoff::Backoff;
pub use candidate::Candidate;
pub use connect::{connect, connect_with, parse_duration};
pub use election::Election;
pub use ensemble::Ensemble;
pub use event::CandidateEvent;
pub use leadership::{Leadership, LeadershipView, LossReason};
pub use observe::{Change, Observer};
pub use options::Options;
pub use run::{Outcome, RunError};
pub use status::{SessionStatus, Status};

pub use incumbent_core as core;
pub use incumbent_core::{ElectionName, Entry, Error, ErrorKind, Namespace, Profile, Result, SessionId, Token};
#[cfg(feature = "etcd")]
pub use incumbent_etcd as etcd;
#[cfg(feature = "memory")]
pub use incumbent_memory as memory;
