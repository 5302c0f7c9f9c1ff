//! A campaign that loses contact with its ensemble.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails a test")]

mod cli_support;

use std::time::{Duration, Instant};

use cli_support::{Running, SOON};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip, proxy::Proxy};

const TTL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_short_disturbance_suspends() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let (proxy, me) = led_through_proxy(&cluster).await;
    proxy.cut();
    let suspended = me.until("suspended", TTL);
    assert!(suspended["remaining_ms"].as_u64() > Some(0), "{suspended}");
    proxy.heal();
    let confirmed = me.event(TTL);
    assert_eq!(confirmed["event"], "confirmed");
    assert_eq!(confirmed["token"], suspended["token"]);
}

#[tokio::test]
async fn a_long_one_costs_the_leadership_until_it_is_over() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let (proxy, me) = led_through_proxy(&cluster).await;
    proxy.blackhole(true);
    let cut = Instant::now();
    let suspended = me.until("suspended", TTL);
    let lost = me.until("lost", TTL);
    assert!(cut.elapsed() < TTL, "{:?}", cut.elapsed());
    assert_eq!(lost["token"], suspended["token"]);
    assert_eq!(me.event(SOON)["event"], "rejoining");
    proxy.heal();
    let leading = me.until("leading", TTL + SOON);
    assert!(leading["token"].as_u64() > lost["token"].as_u64(), "{leading}");
}

#[tokio::test]
async fn stopping_without_an_ensemble_is_bounded_and_no_success() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let (proxy, mut me) = led_through_proxy(&cluster).await;
    proxy.blackhole(true);
    let asked = Instant::now();
    me.signal("TERM");
    assert_eq!(me.end(SOON).code(), Some(1));
    assert!(asked.elapsed() < TTL + Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(me.error(SOON).starts_with("note: "));
    let error = me.error(SOON);
    assert!(error.starts_with("error: could not") && error.contains("TTL"), "{error}");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (proxy, mut me) = led_through_proxy(&cluster).await;
        proxy.blackhole(true);
        let asked = Instant::now();
        // Signals of different kinds do not merge, and the first only asks.
        me.signal(if signal == "INT" { "TERM" } else { "INT" });
        assert!(me.error(SOON).contains("second signal"));
        me.signal(signal);
        assert_eq!(me.end(SOON).code(), Some(code));
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn an_unanswered_question_is_given_up() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let (proxy, mut me) = led_through_proxy(&cluster).await;
    proxy.blackhole(true);
    me.say("who");
    let error = me.error(SOON);
    assert!(error.starts_with("error: could not "), "{error}");
}

/// A leader behind a proxy, with a TTL of 5 s.
async fn led_through_proxy(cluster: &Cluster) -> (Proxy, Running) {
    let proxy = Proxy::start(&cluster.endpoints()[0]).await;
    let election = format!("e{}", proxy.address().replace(':', "-"));
    let me = Running::campaign(&format!("etcd://{}", proxy.address()), &election, "me");
    me.until("leading", SOON);
    (proxy, me)
}
