//! The etcd backend of incumbent.
//!
//! An entry is a key `<election>/<lease>-<guid>` bound to the session's lease; the lowest create revision leads. That is
//! the layout of etcd's own `concurrency` package and of `etcdctl elect`, so that their candidates stand in one queue with
//! ours. No server-side election or lock call is used: only keys, leases and watches, of etcd 3.4 and later.
//!
//! A session's deadline counts from the sending of a keepalive that proves the lease alive at the quorum: one whose raft
//! term a linearizable read confirms. A keepalive alone proves nothing: a leader that was cut off, or slept through its
//! fall, answers it for seconds after the others have elected another.
//!
//! # Non-guarantees
//! - Some versions of etcd revoke live leases by themselves after their leader's disk stalled, or answer a linearizable
//!   read from before a change of leader: see [`KnownHole`]. No deadline of a client survives that; only fencing tokens
//!   do. [`Etcd::connect`] warns of such members.
//! - Where an operator deletes several entries of one election in one transaction, those that go with the one right ahead
//!   may be told a moment later than it: for that moment an entry that is gone may lead.
//! - Behind etcd's gRPC proxy keepalives are answered by the proxy; it is not supported.

mod backend;
mod config;
mod error;
mod heartbeat;
mod hub;
mod janitor;
mod layout;
mod lease;
mod lifeline;
mod members;
mod queue;
mod session;
mod stream;
mod survey;
mod version;
mod watch;

pub use backend::Etcd;
pub use config::EtcdConfig;
pub use version::{KnownHole, known_holes};

/// The client that [`Etcd::from_client`] takes, in the version that it takes.
pub use etcd_client;
