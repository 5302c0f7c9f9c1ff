//! What is told of an election by those who do not stand.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails a test")]

mod cli_support;

use std::process::{Child, Stdio};

use cli_support::{Running, SOON, ask, check_candidate, incumbent};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip};

#[tokio::test]
async fn candidates_stand_in_order_of_succession() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let url = cluster.url();
    let first = Running::start(
        incumbent(&["campaign", "jobs/a", "--json", "--url", &url, "--id", "first"])
            .args(["--advertise", "http://10.0.0.1:80", "--metadata", "zone=eu-1", "--metadata", "note=a=b"])
            .stdin(Stdio::null()),
    );
    let token = first.until("leading", SOON)["token"].clone();
    let second = Running::campaign(&url, "jobs/a", "seco\u{1b}nd");
    assert_eq!(second.until("waiting", SOON)["ahead"], 1);
    let _third = Elector::start(&cluster, "jobs/a", "third");

    let listing = ask(&["candidates", "jobs/a", "--json", "--url", &url]);
    assert_eq!((listing.code, listing.stderr.as_str()), (Some(0), ""));
    let listing = listing.json();
    let candidates = listing.as_array().unwrap();
    candidates.iter().for_each(check_candidate);
    let column = |key: &str| candidates.iter().map(|candidate| candidate[key].clone()).collect::<Vec<_>>();
    assert_eq!(column("position"), [1, 2, 3]);
    assert_eq!(column("id"), ["first", "seco\u{1b}nd", "third"]);
    assert_eq!(column("ours"), [true, true, false]);
    assert!(column("token").is_sorted_by(|a, b| a.as_u64() < b.as_u64()));
    assert_eq!(candidates[0]["token"], token);
    assert_eq!(candidates[0]["address"], "http://10.0.0.1:80");
    assert_eq!(candidates[0]["metadata"], serde_json::json!({"zone": "eu-1", "note": "a=b"}));

    let table = ask(&["candidates", "jobs/a", "--url", &url]);
    let cells: Vec<Vec<&str>> = table
        .stdout
        .lines()
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
        .collect();
    assert_eq!(cells[0], ["#", "ID", "TOKEN", "SESSION", "ADDRESS", "METADATA", "BY"]);
    let session = |index: usize| candidates[index]["session"].as_str().unwrap();
    let token = |index: usize| candidates[index]["token"].to_string();
    assert_eq!(cells[1], ["1", "first", &token(0), session(0), "http://10.0.0.1:80", "note=a=b zone=eu-1", "ours"]);
    assert_eq!(cells[2], ["2", r"seco\u{1b}nd", &token(1), session(1), "-", "-", "ours"]);
    assert_eq!(cells[3], ["3", "third", &token(2), session(2), "-", "-", "foreign"]);
    assert_eq!(cells.len(), 4);

    let leader = ask(&["leader", "jobs/a", "--url", &url]);
    assert_eq!(leader.code, Some(0));
    assert_eq!(leader.stdout, format!("first, token {}, at http://10.0.0.1:80\n", token(0)));
    let leader = ask(&["leader", "jobs/a", "--json", "--url", &url]);
    assert_eq!((leader.code, leader.json()), (Some(0), candidates[0].clone()));
}

#[tokio::test]
async fn an_election_without_candidates_is_told_apart() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let url = cluster.url();
    let table = ask(&["candidates", "nobody", "--url", &url]);
    assert_eq!(table.code, Some(0), "{table:#?}");
    assert_eq!(table.stdout.lines().count(), 1, "{table:#?}");
    let json = ask(&["candidates", "nobody", "--json", "--url", &url]);
    assert_eq!((json.code, json.stdout.as_str()), (Some(0), "[]\n"));
    for ended in [table, json] {
        assert_eq!(ended.stderr, "note: nobody stands for nobody\n");
    }
    ask(&["leader", "nobody", "--url", &url]).fails(4, &["nobody stands"]);
    let json = ask(&["leader", "nobody", "--json", "--url", &url]);
    assert_eq!((json.code, json.stdout.as_str()), (Some(4), "null\n"));
}

#[tokio::test]
async fn a_namespace_is_part_of_the_url() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let url = format!("{}/prod", cluster.url());
    let leading = Running::campaign(&url, "a", "inside");
    leading.until("leading", SOON);
    assert_eq!(ask(&["leader", "a", "--url", &url]).code, Some(0));
    assert_eq!(ask(&["leader", "prod/a", "--url", &cluster.url()]).code, Some(0));
    assert_eq!(ask(&["leader", "a", "--url", &cluster.url()]).code, Some(4));
}

#[tokio::test]
async fn a_lack_of_permission_ends_with_5() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    for args in [&["user", "add", "root:pw"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]] {
        let done = cluster.etcdctl(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
    }
    for command in ["candidates", "leader"] {
        ask(&[command, "a", "--url", &cluster.url()]).fails(5, &["could not"]);
    }
    let campaign = ask(&["campaign", "a", "--url", &cluster.url()]);
    assert_eq!(campaign.code, Some(5), "{campaign:#?}");
    assert!(campaign.stderr.starts_with("error: could not join a: "), "{campaign:#?}");
}

#[tokio::test]
async fn whoever_stops_reading_hears_no_complaint() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let script = r#""$0" candidates a --url "$1" | true; echo "${PIPESTATUS[0]}""#;
    let ended = std::process::Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_incumbent"), &cluster.url()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "0\n");
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("error"), "{ended:?}");
}

/// `etcdctl elect`: a candidate that knows nothing of us. Killed when dropped.
struct Elector(Child);

impl Elector {
    /// Stands behind somebody when this returns.
    fn start(cluster: &Cluster, election: &str, id: &str) -> Self {
        let elector = Self(cluster.etcdctl(&["elect", election, id]).stdout(Stdio::null()).spawn().unwrap());
        let begin = std::time::Instant::now();
        loop {
            let keys = cluster.etcdctl(&["get", "--prefix", &format!("{election}/")]).output().unwrap();
            if String::from_utf8_lossy(&keys.stdout).lines().any(|line| line == id) {
                return elector;
            }
            assert!(begin.elapsed() < SOON, "it never stood");
        }
    }
}

impl Drop for Elector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
