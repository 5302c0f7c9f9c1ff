//! The memory backend of [`incumbent`](https://docs.rs/incumbent): an ensemble inside the process.
//!
//! ```
//! use std::time::Duration;
//!
//! use incumbent_core::{Backend, ElectionName, Guid, Profile, SessionOptions};
//! use incumbent_memory::Memory;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> incumbent_core::Result<()> {
//! let memory = Memory::new();
//! let session = memory.open_session(&SessionOptions::new(Duration::from_secs(5))).await?;
//! let election = ElectionName::new("billing/nightly-report")?;
//! let (_, place) = session.enqueue(&election, Guid::random(), &Profile::new("worker-7")).await?;
//! assert!(place.is_head());
//! # session.close().await
//! # }
//! ```
//!
//! It behaves as the real ones do: sessions expire, requests and replies take a way, and a write whose reply is lost may
//! have landed. [`Faults`] and [`Link`] make all of that happen on purpose. Its time is tokio's, so that a test under
//! `start_paused` runs hours of it in no time, and every deadline in it is exact.
//!
//! # Guarantees
//! - The contract of [`incumbent_core::Session`] and [`incumbent_core::Backend`], certified by the conformance suite,
//!   under faults as well.
//! - A removal wakes the watches of that entry and of the one behind it, and no other; waiting costs no timer.
//! - Memory stays bounded: each election keeps the last few changes ([`Memory::history`]), whoever watches.
//!
//! # Non-guarantees
//! - It elects among the tasks of one process. Nothing of it outlives the process.
//! - An ensemble belongs to the runtimes of one clock: do not share one between runtimes of which some have paused
//!   their time.
//! - If the runtime that a session was opened on ends, the session expires all the same, but watches are told only when
//!   somebody next asks the ensemble for anything; any other session's heartbeat does.

mod backend;
mod ensemble;
mod faults;
mod link;
mod place_watch;
mod pulse;
mod queue;
mod queue_watch;
mod queues;
mod request;
mod session;
mod store;
mod tenancy;

pub use backend::Memory;
pub use faults::Faults;
pub use link::{Link, Loss};
