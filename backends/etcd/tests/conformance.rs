//! The conformance suite, on real clusters.

#![allow(clippy::expect_used, reason = "a helper fails its test")]

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use incumbent_core::{
    Backend, ElectionName, EntryKey, SessionId,
    conformance::{self, Scissors, Subject},
};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};
use support::{Proxies, connect};

struct Real(Cluster);

#[async_trait]
impl Subject for Real {
    async fn connect(&self) -> Arc<dyn Backend> {
        Arc::new(connect(self.0.endpoints()).await)
    }

    async fn connect_cuttable(&self) -> Option<(Arc<dyn Backend>, Box<dyn Scissors>)> {
        let proxies = Proxies::before(&self.0).await;
        let backend = proxies.connect().await;
        Some((Arc::new(backend), Box::new(proxies)))
    }

    async fn expire(&self, session: SessionId) -> bool {
        self.etcdctl(&["lease", "revoke", &session.to_string()])
    }

    async fn evict(&self, election: &ElectionName, entry: &EntryKey) -> bool {
        self.etcdctl(&["del", &format!("{election}/{}", entry.name)])
    }
}

impl Real {
    fn etcdctl(&self, args: &[&str]) -> bool {
        let output = self.0.etcdctl(args).output().expect("etcdctl runs");
        assert!(output.status.success(), "{output:?}");
        true
    }
}

#[async_trait]
impl Scissors for Proxies {
    async fn cut(&self) {
        self.0.iter().for_each(|proxy| proxy.blackhole(true));
    }

    async fn heal(&self) {
        self.0.iter().for_each(Proxy::heal);
    }
}

#[tokio::test]
async fn conforms_on_the_present_version() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    conformance::run_all(Arc::new(Real(cluster))).await;
}

#[tokio::test]
async fn conforms_on_an_old_version() {
    let cluster = Cluster::builder(etcd_or_skip!("3.4")).start().await;
    conformance::run_all(Arc::new(Real(cluster))).await;
}
