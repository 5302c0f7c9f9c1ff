//! What the tests of this crate share.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    clippy::future_not_send,
    reason = "each test file uses a part; a helper fails its test"
)]

use std::{future::Future, sync::Arc, time::Duration};

use incumbent_core::{Backend, ElectionName, EntryKey, Guid, Life, Place, Profile, Session, SessionOptions};
use incumbent_etcd::{Etcd, EtcdConfig};
use incumbent_testkit::{etcd::Cluster, proxy::Proxy};

pub(crate) const TTL: Duration = Duration::from_secs(5);

pub(crate) async fn connect(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Etcd {
    Etcd::connect(EtcdConfig::new(endpoints)).await.expect("the cluster is up")
}

pub(crate) async fn session(etcd: &Etcd) -> Arc<dyn Session> {
    etcd.open_session(&SessionOptions::new(TTL)).await.expect("a session opens")
}

pub(crate) async fn join(session: &Arc<dyn Session>, election: &ElectionName) -> (EntryKey, Place) {
    session.enqueue(election, Guid::random(), &Profile::new("candidate")).await.expect("joining")
}

/// One that nobody else uses.
pub(crate) fn election() -> ElectionName {
    ElectionName::new(format!("test-{}", Guid::random())).expect("a good name")
}

/// Waits for what must happen soon.
pub(crate) async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(happened) => happened,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until its life is such.
pub(crate) async fn lives(session: &Arc<dyn Session>, what: &str, condition: impl Fn(&Life) -> bool) -> Life {
    let mut life = session.life();
    within(what, life.wait_for(|life| condition(life))).await.expect("the session tells its life").clone()
}

pub(crate) fn is_suspended(life: &Life) -> bool {
    matches!(life, Life::Alive { suspended: Some(_), .. })
}

pub(crate) fn has_contact(life: &Life) -> bool {
    matches!(life, Life::Alive { suspended: None, .. })
}

pub(crate) fn has_ended(life: &Life) -> bool {
    matches!(life, Life::Ended(_))
}

/// A proxy in front of each member.
pub(crate) struct Proxies(pub(crate) Vec<Proxy>);

impl Proxies {
    pub(crate) async fn before(cluster: &Cluster) -> Self {
        let mut proxies = Vec::new();
        for endpoint in cluster.endpoints() {
            proxies.push(Proxy::start(endpoint).await);
        }
        Self(proxies)
    }

    pub(crate) async fn connect(&self) -> Etcd {
        connect(self.0.iter().map(Proxy::address)).await
    }

    /// The number of the member whom everything is asked of.
    pub(crate) fn current(&self) -> usize {
        let counts = self.0.iter().map(|proxy| proxy.counts().requests_to("Lease/LeaseGrant"));
        counts.enumerate().max_by_key(|(_, count)| *count).expect("there are members").0
    }
}
