//! Leader election on the etcd you already run: one replica does the job, until a deadline that is proven, with a fencing
//! token for what it writes to.
//!
//! ```
//! # use std::{convert::Infallible, time::Duration};
//! # use incumbent::Outcome;
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let ensemble = incumbent::connect("memory://demo").await?; // etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379
//!     let report = ensemble.election("billing/nightly-report")?.candidate().run(|leadership| async move {
//!         // Runs on one replica only. Hand the token to every resource that can check it.
//!         Ok::<_, Infallible>(format!("written under token {}", leadership.token()))
//!     });
//!     assert_eq!(report.await?, Outcome::Finished("written under token 1".into()));
//!     ensemble.close(Duration::from_secs(5)).await?;
//!     Ok(())
//! }
//! ```
//!
//! [`Candidate::run`] keeps a job on one replica for as long as it takes; [`Candidate::campaign`] gives the [`Leadership`]
//! to hold by hand; [`Election::observe`] follows who leads; [`Ensemble::status`] is for readiness and liveness checks. The
//! repository's `examples` show a web service, a shutdown on SIGTERM, and a resource that checks tokens.
//!
//! # Guarantees
//!
//! - **At most one valid leader** of an election at a time: at every moment, [`is_valid`](LeadershipView::is_valid) is true
//!   for one guard at most, in all processes. It holds while the ensemble, the clocks and the other candidates are as
//!   [`guide::safety`] assumes.
//! - **Validity is a comparison with the clock**, not a flag that somebody has to flip. A process that was stopped, stalled
//!   or suspended finds it false on waking.
//! - **Tokens grow**: each leader's [`Token`] is greater than those of all leaders before it. A resource that refuses smaller
//!   tokens than it has seen is safe against any pause, whatever becomes of the assumptions.
//! - **The work stops first**: the job is asked to stop [`stop_within`](Options::stop_within) before the deadline, its future
//!   is dropped at the deadline at the latest, and an entry that is given up goes after the job has ended.
//! - **No loss is silent**: each says its [`LossReason`]. Disturbances are ridden out: a change of the ensemble's own leader
//!   costs nobody the leadership, and who lost it stands again.
//!
//! # Non-guarantees
//!
//! - **Between a look at `is_valid` and the write, any time may pass.** Only tokens cover that.
//! - A hypervisor that pauses, snapshots or migrates the guest may hide that time from every clock of the guest.
//! - Code that never yields, spawned tasks and blocking work cannot be dropped; see [`Candidate::run_blocking`] and
//!   [`Candidate::abort_on_overrun`].
//! - An operator who deletes a leader's entry lets the next one lead before the old leader has heard of it.
//! - With candidates of other libraries in the queue, exclusion is as strong as the weakest of them.
//! - A store restored from a backup may hand out old tokens again.
//! - `memory://` elects within one process.
//!
//! [`guide::safety`] has the whole list, the assumptions and the argument.
//!
//! # States of a candidate
//!
//! ```text
//!      ┌──────────────────── rejoining ◄───────────────────┐
//!      ▼                         ▲                         │
//!   joining ────► waiting ───────┘                         │
//!      │             │                                     │
//!      └──────┬──────┘                                     │
//!             ▼                                            │
//!   leading: confirmed ◄──► suspended ────► lost ──────────┘  (run; a guard held by hand ends here)
//!             │
//!             └────► resigned
//! ```
//!
//! A suspended leader has lost contact for a moment and leads on until its deadline. [`Candidate::events`] tells each change.
//!
//! # Time
//!
//! All durations follow from the TTL that the ensemble grants, unless they are set: see [`Options`]. Deadlines are kept on a
//! clock that counts suspend, [`Clock::boot`](core::Clock::boot). Heartbeats run on a thread of their own, where a job that
//! blocks its runtime cannot starve them.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `memory` (default) | `memory://`, the ensemble inside the process, for quickstarts, tests and simulation |
//! | `etcd` | `etcd://`, etcd 3.4 and later; building it needs `protoc` and its includes |
//! | `full` | both |
//!
//! A backend of your own stands on the contract in [`crate::core`], whose conformance suite certifies it, and comes in by
//! [`Ensemble::with_backend`]. ZooKeeper is planned.
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

/// The pages of the repository's `docs`.
#[cfg(doc)]
pub mod guide {
    #[doc = include_str!("../docs/safety.md")]
    pub mod safety {}
    #[doc = include_str!("../docs/observability.md")]
    pub mod observability {}
    #[doc = include_str!("../docs/interop.md")]
    pub mod interop {}
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
