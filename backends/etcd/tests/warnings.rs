//! What an operator reads in the log.

#![allow(clippy::unwrap_used, reason = "a helper fails its test")]

mod support;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use incumbent_etcd::{KnownHole, known_holes};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip};
use support::{connect, session};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Keeps the warnings of one thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("incumbent") && *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?}\n"));
    }
}

#[tokio::test]
async fn each_version_is_warned_of_for_what_it_has() {
    for (binaries, revokes) in [(etcd_or_skip!("3.4"), true), (etcd_or_skip!("3.5"), false)] {
        let cluster = Cluster::builder(binaries).members(1).start().await;
        let log = Log::default();
        let _kept = tracing::subscriber::set_default(log.clone());
        let etcd = connect(cluster.endpoints()).await;
        session(&etcd).await.close().await.unwrap();
        let warned = log.0.lock().unwrap().clone();
        let expected = known_holes(cluster.version());
        assert_eq!(expected.contains(&KnownHole::RevokesLiveLeases), revokes, "{expected:?}");
        assert_eq!(warned.matches("message=").count(), expected.len(), "that, and nothing else: {warned}");
        for hole in expected {
            assert!(warned.contains(&hole.to_string()), "{warned}");
        }
        assert!(warned.contains(cluster.version()) && warned.contains(&cluster.endpoints()[0]), "{warned}");
    }
}
