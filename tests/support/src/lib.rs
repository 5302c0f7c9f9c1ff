//! Real ensembles as processes, and a TCP proxy that misbehaves, for the tests of `incumbent`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};
//!
//! let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
//! let proxy = Proxy::start(&cluster.endpoints()[0]).await;
//! let leader = cluster.leader().await;
//! cluster.kill(leader);
//! proxy.blackhole(true);
//! # }
//! ```
//!
//! Everything here reports by panicking, with what to do about it: it is only ever called from tests. Linux only.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test kit speaks to the person who reads a failed test"
)]

pub mod etcd;
pub mod proxy;
pub mod rng;
mod skip;

pub use skip::skip;
