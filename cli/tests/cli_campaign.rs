//! A campaign at a terminal: what it says, what it obeys, and what it leaves behind.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails a test")]

mod cli_support;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use cli_support::{Running, SOON, ask, incumbent};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip};

/// A resignation is heard of within this: far less than the TTL of 5 s.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn who_resigns_stands_again_at_the_end_of_the_queue() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (mut first, second) = pair(&cluster, "e");

    first.say("resign");
    first.until("resigned", SOON);
    let leading = second.until("leading", AT_ONCE);
    assert_eq!(leading["candidate"], "second");
    assert!(leading["remaining_ms"].as_u64() <= Some(5000), "{leading}");
    assert_eq!(first.until("rejoining", SOON)["reason"], "it resigned");
    assert_eq!(first.until("waiting", SOON)["ahead"], 1);

    first.say("resign");
    assert!(first.error(SOON).contains("does not lead"));
    first.say("who");
    assert_eq!(first.until("leader", SOON)["leader"]["id"], "second");
}

#[tokio::test]
async fn signals_resign_first() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    for signal in ["INT", "TERM", "HUP"] {
        let (mut first, second) = pair(&cluster, signal);
        first.signal(signal);
        second.until("leading", AT_ONCE);
        first.until("resigned", SOON);
        assert_eq!(first.end(SOON).code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn quit_leaves_nothing_behind() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (mut first, mut second) = pair(&cluster, "e");

    second.say("quit");
    assert_eq!(second.end(SOON).code(), Some(0));
    let listing = ask(&["candidates", "e", "--json", "--url", &cluster.url()]).json();
    assert_eq!(listing.as_array().map(Vec::len), Some(1), "{listing}");

    first.say("quit");
    first.until("resigned", SOON);
    assert_eq!(first.end(SOON).code(), Some(0));
    let left = cluster.etcdctl(&["get", "--prefix", "", "--keys-only"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout).trim(), "");
    let leases = cluster.etcdctl(&["lease", "list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&leases.stdout).starts_with("found 0 leases"), "{leases:?}");
}

#[tokio::test]
async fn who_names_the_leader_even_right_before_quit() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let url = cluster.url();
    let args = ["campaign", "e", "--json", "--url", &url, "--id", "me", "--advertise", "http://10.0.0.1:80"];
    let mut me = Running::start(incumbent(&args).stdin(Stdio::piped()));
    let leading = me.until("leading", SOON);
    me.say("who\nquit");
    let leader = me.until("leader", SOON);
    assert_eq!(leader["leader"]["id"], "me");
    assert_eq!(leader["leader"]["token"], leading["token"]);
    assert_eq!(leader["leader"]["address"], "http://10.0.0.1:80");
    assert_eq!(me.until("resigned", SOON)["token"], leading["token"]);
    assert_eq!(me.end(SOON).code(), Some(0));
}

#[tokio::test]
async fn an_unknown_order_is_named_and_changes_nothing() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let mut me = Running::campaign(&cluster.url(), "e", "me");
    me.until("leading", SOON);
    me.say("\nstop\nwho");
    let error = me.error(SOON);
    for word in ["error: ", "\"stop\"", "resign", "who", "quit"] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(me.event(SOON)["event"], "leader");
}

#[tokio::test]
async fn the_end_of_standard_input_is_not_the_end() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let (mut first, second) = pair(&cluster, "e");
    first.hush();
    let url = cluster.url();
    let third = Running::start(incumbent(&["campaign", "e", "--json", "--url", &url]).stdin(Stdio::null()));
    assert_eq!(third.until("waiting", SOON)["ahead"], 2);
    // All three go on: the second and the third lead in their turn.
    first.signal("TERM");
    second.until("leading", AT_ONCE);
    second.signal("TERM");
    third.until("leading", AT_ONCE);
}

#[tokio::test]
async fn lines_for_people_begin_with_the_time_and_the_event() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let url = cluster.url();
    let args = ["campaign", "jobs/a", "--url", &url, "--id", "me"];
    let mut me = Running::start(incumbent(&args).stdin(Stdio::piped()));
    me.say("who\nwho");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line: &String| !line.starts_with("resigned ")) {
        let line = me.line(SOON);
        let (at, rest) = line.split_once(' ').unwrap();
        assert!(at.parse::<u64>().unwrap() > 1_700_000_000_000, "{line}");
        if rest.starts_with("leading ") {
            me.say("quit");
        }
        seen.push(rest.to_owned());
    }
    assert_eq!(seen[0], "joining   jobs/a as me");
    let leading = seen.iter().find(|line| line.starts_with("leading ")).unwrap();
    assert!(leading.starts_with("leading   token ") && leading.contains(", valid for "), "{leading}");
    assert_eq!(me.end(SOON).code(), Some(0));
}

#[tokio::test]
async fn a_killed_leader_is_followed_within_its_ttl() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let (mut first, second) = pair(&cluster, "e");
    let killed = Instant::now();
    first.kill();
    second.until("leading", Duration::from_secs(5 + 2));
    // Had the lease been closed for it, this would show nothing.
    assert!(killed.elapsed() > Duration::from_secs(2), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn whose_entry_is_removed_says_so_and_stands_again() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let me = Running::campaign(&cluster.url(), "e", "me");
    let before = me.until("leading", SOON);
    assert!(cluster.etcdctl(&["del", "--prefix", "e/"]).status().unwrap().success());
    let lost = me.until("lost", AT_ONCE);
    assert_eq!(lost["token"], before["token"]);
    assert!(lost["reason"].as_str().unwrap().contains("removed"), "{lost}");
    assert_eq!(me.event(SOON)["event"], "rejoining");
    let after = me.until("leading", SOON);
    assert!(after["token"].as_u64() > before["token"].as_u64(), "{after}");
}

#[tokio::test]
async fn the_ttl_of_the_command_line_goes_before_that_of_the_url() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let me = Running::campaign(&format!("{}?ttl=60s", cluster.url()), "e", "me");
    let leading = me.until("leading", SOON);
    assert!(leading["remaining_ms"].as_u64() <= Some(5000), "{leading}");
}

#[tokio::test]
async fn a_ttl_that_the_ensemble_changes_is_noted() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let url = cluster.url();
    let args = ["campaign", "e", "--json", "--url", &url, "--ttl", "2500ms"];
    let me = Running::start(incumbent(&args).stdin(Stdio::null()));
    me.until("leading", SOON);
    let note = me.error(SOON);
    assert!(note.starts_with("note: ") && note.contains("3s") && note.contains("2.5s"), "{note}");
}

#[tokio::test]
async fn a_reader_that_goes_takes_the_candidate_out() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let script = r#""$0" campaign e --json --url "$1" --ttl 60s | grep -m1 '"leading"'; echo "${PIPESTATUS[0]}""#;
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_incumbent"), &cluster.url()]).stdin(Stdio::piped());
    let mut piped = Running::start(&mut shell);
    assert_eq!(piped.event(SOON)["event"], "leading");
    // Its next line finds nobody.
    piped.say("who");
    assert_eq!(piped.line(SOON), "0");
    assert_eq!(piped.end(SOON).code(), Some(0));
    assert_eq!(ask(&["leader", "e", "--url", &cluster.url()]).code, Some(4));
}

/// Two candidates, of which the first leads and the second waits.
fn pair(cluster: &Cluster, election: &str) -> (Running, Running) {
    let first = Running::campaign(&cluster.url(), election, "first");
    assert_eq!(first.event(SOON)["event"], "joining");
    let leading = first.event(SOON);
    assert_eq!(leading["event"], "leading");
    assert_eq!((&leading["candidate"], &leading["election"]), (&"first".into(), &election.into()));
    let second = Running::campaign(&cluster.url(), election, "second");
    let waiting = second.until("waiting", SOON);
    assert_eq!((&waiting["ahead"], &waiting["candidate"]), (&1.into(), &"second".into()));
    (first, second)
}
