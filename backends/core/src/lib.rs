//! The contract between [`incumbent`](https://docs.rs/incumbent) and its backends.
//!
//! A backend gives *sessions* and *queues*; the recipe of leader election stands above it, once, in `incumbent`. To
//! write a backend, implement [`Backend`], [`Session`], [`PlaceWatch`] and [`QueueWatch`], and certify it with the
//! `conformance` suite (feature `conformance`), which has one named case for each clause of the contract.
//!
//! This crate does no I/O.

mod backend;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod deadline;
mod demand;
mod entry;
mod error;
mod guid;
mod life;
mod name;
mod options;
mod profile;
mod session;

pub use backend::{Backend, Capabilities, EndpointStatus, Hosting, Member, Queue, QueueEvent, QueueWatch};
pub use clock::{Clock, ManualClock, Moment};
pub use deadline::Deadline;
pub use demand::{Demand, Warmth};
pub use entry::{Ahead, Entry, EntryKey, Place, Revision, SessionId, Token};
pub use error::{Error, ErrorKind, Result};
pub use guid::Guid;
pub use life::Life;
pub use name::{ElectionName, Namespace};
pub use options::SessionOptions;
pub use profile::Profile;
pub use session::{PlaceEvent, PlaceWatch, Session};
