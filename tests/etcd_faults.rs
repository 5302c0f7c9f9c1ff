//! Five processes on a real etcd, and seeded faults: never two valid leaders, always one again.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use incumbent_testkit::{etcd::Cluster, etcd_or_skip, rng::seed_from_env};

mod faults;

use faults::{
    candidate,
    nemesis::{Nemesis, Plan},
};

/// Not a test of its own: the `main` of the candidates that the test below starts.
#[tokio::test]
async fn candidate_process() {
    candidate::run().await;
}

#[tokio::test]
async fn no_two_leaders_under_process_faults() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let faults = std::env::var("INCUMBENT_FAULTS").map_or(DEFAULT_FAULTS, |number| number.parse().unwrap());
    let plan = Plan { url: cluster.url(), ttl: Duration::from_secs(2), faults, seed: seed_from_env("INCUMBENT_SEED") };
    tokio::task::spawn_blocking(move || Nemesis::start(plan).run()).await.unwrap();
}

/// As many as fit a CI run; set `INCUMBENT_FAULTS` for more.
const DEFAULT_FAULTS: usize = 60;
