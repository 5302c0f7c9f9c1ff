//! What the deadline counts from.

mod support;

use std::time::Duration;

use incumbent_core::{Backend, Life, SessionOptions};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};
use support::{TTL, connect, lives, session, within};

const DELAY: Duration = Duration::from_millis(500);

#[tokio::test]
async fn it_counts_from_the_sending_and_not_from_the_reply() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let etcd = connect([proxy.address()]).await;
    let margin = SessionOptions::new(TTL).margin(TTL);
    let mine = session(&etcd).await;
    let _warm = mine.demand().hold();
    let Life::Alive { deadline, .. } = mine.life().borrow().clone() else { panic!("it lives") };
    within("a first proof", deadline.moved_from(deadline.until())).await;

    proxy.delay_replies(DELAY);
    // The beat under way may have had its replies.
    within("a proof", deadline.moved_from(deadline.until())).await;
    for _ in 0..3 {
        within("a proof", deadline.moved_from(deadline.until())).await;
        let replied = etcd.clock().now();
        // The replies of the keepalive and of the read that confirms it were both late.
        let latest = replied + TTL - margin - 2 * DELAY;
        assert!(deadline.until() <= latest, "{:?} too late", deadline.until().since(latest));
    }
    assert!(deadline.holds(etcd.clock().now()));
}

#[tokio::test]
async fn a_grant_counts_from_its_sending() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let etcd = connect([proxy.address()]).await;
    proxy.delay_replies(DELAY);
    let mine = session(&etcd).await;
    let granted = etcd.clock().now();
    let Life::Alive { deadline, .. } = mine.life().borrow().clone() else { panic!("it lives") };
    let margin = SessionOptions::new(TTL).margin(TTL);
    assert!(deadline.until() <= granted + TTL - margin - DELAY);
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_counts_from_the_first_sending() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let endpoint = &cluster.endpoints()[0];
    // Two ways to one member.
    let proxies = [Proxy::start(endpoint).await, Proxy::start(endpoint).await];
    let margin = SessionOptions::new(TTL).margin(TTL);
    let bound = SessionOptions::new(TTL).request_timeout();
    // Which of the two is asked first is drawn by lot.
    for _ in 0..40 {
        let etcd = connect(proxies.iter().map(Proxy::address)).await;
        proxies[0].drop_replies(true);
        let began = etcd.clock().now();
        let mine = session(&etcd).await;
        let Life::Alive { deadline, .. } = mine.life().borrow().clone() else { panic!("it lives") };
        assert!(deadline.until() <= began + TTL - margin + Duration::from_millis(100));
        let lost = etcd.clock().now().since(began) >= bound;
        mine.close().await.unwrap();
        proxies[0].drop_replies(false);
        if lost {
            // One lease, found again by its id: closed, nothing is left.
            let leases = cluster.etcdctl(&["lease", "list"]).output().unwrap();
            let leases = String::from_utf8(leases.stdout).unwrap();
            assert!(!leases.contains(&mine.id().to_string()), "{leases}");
            return;
        }
    }
    panic!("the answer of no grant was lost");
}

#[tokio::test]
async fn a_deadline_that_passed_at_idle_comes_back_as_another_when_it_is_wanted() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let etcd = connect(cluster.endpoints()).await;
    let mine = session(&etcd).await;
    let Life::Alive { deadline: old, .. } = mine.life().borrow().clone() else { panic!("it lives") };
    etcd.clock().sleep_until(old.until()).await;
    assert!(!old.holds(etcd.clock().now()));
    let wanted = etcd.clock().now();
    let _warm = mine.demand().hold();
    let clock = etcd.clock().clone();
    lives(&mine, "a new proof", |life| matches!(life, Life::Alive { deadline, .. } if deadline.holds(clock.now())))
        .await;
    assert!(clock.now().since(wanted) < TTL / 10, "at once: {:?}", clock.now().since(wanted));
    assert!(!old.holds(clock.now()));
}
