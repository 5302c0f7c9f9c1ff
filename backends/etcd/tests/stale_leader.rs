//! A leader that slept through its own fall answers keepalives for a moment as if nothing had happened.

mod support;

use std::{sync::Arc, time::Duration};

use incumbent_core::{Backend, Life, Moment, Session, SessionOptions};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip};
use support::{TTL, connect, election, join, session, within};

/// The latest deadline that the session has shown while the future ran.
async fn latest<T>(session: &Arc<dyn Session>, during: impl Future<Output = T> + Send) -> (Moment, T) {
    let mut latest = Moment::ORIGIN;
    tokio::pin!(during);
    loop {
        if let Life::Alive { deadline, .. } = &*session.life().borrow() {
            latest = latest.max(deadline.until());
        }
        tokio::select! {
            biased;
            result = &mut during => return (latest, result),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
}

#[tokio::test]
async fn its_answers_put_no_deadline_off() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    for _ in 0..2 {
        let leader = cluster.leader().await;
        let behind_it = connect([cluster.endpoints()[leader].clone()]).await;
        let others: Vec<_> =
            (0..3).filter(|member| *member != leader).map(|member| cluster.endpoints()[member].clone()).collect();
        let beside_it = connect(others).await;
        // Beats follow each other closely, so that one meets the moment.
        let options = SessionOptions { heartbeat: Some(Duration::from_millis(5)), ..SessionOptions::new(TTL) };
        let doomed = behind_it.open_session(&options).await.unwrap();
        let (election, theirs) = (election(), session(&beside_it).await);
        join(&doomed, &election).await;
        let (own, place) = join(&theirs, &election).await;
        let mut watch = theirs.watch(&election, &own, &place);
        let _warm = doomed.demand().hold();
        cluster.pause(leader);
        let (until, _) = latest(&doomed, async {
            // The new leader gives the lease another TTL.
            within("the end of a session behind a sleeping leader", watch.next()).await;
        })
        .await;
        let vanished = behind_it.clock().now();
        assert!(until <= vanished, "{:?} too late", until.since(vanished));
        cluster.resume(leader);
        let (until, ()) = latest(&doomed, async {
            // What it says now comes from before its fall, or after; never is the session alive again.
            tokio::time::sleep(Duration::from_secs(2)).await;
        })
        .await;
        assert!(until <= vanished, "proven {:?} after its end", until.since(vanished));
        cluster.wait_healthy().await;
    }
}
