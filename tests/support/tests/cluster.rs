//! A cluster starts, survives what is done to it, and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers")]

use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use incumbent_testkit::etcd::{Binaries, Cluster};
use incumbent_testkit::etcd_or_skip;

#[tokio::test]
async fn starts_healthy() {
    let before = Instant::now();
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    println!("etcd {} is healthy after {:?}", cluster.version(), before.elapsed());

    assert_eq!(cluster.len(), 3);
    assert_eq!(cluster.url(), format!("etcd://{}", cluster.endpoints().join(",")));
    let put = cluster.etcdctl(&["put", "key", "value"]).output().unwrap();
    assert!(put.status.success(), "{put:?}");

    let before = Instant::now();
    drop(cluster);
    println!("gone after {:?}", before.elapsed());
}

#[tokio::test]
async fn the_old_version_starts_healthy() {
    let cluster = Cluster::builder(etcd_or_skip!("3.4")).members(1).start().await;
    assert!(cluster.version().starts_with("3.4."), "{}", cluster.version());
    assert_eq!(cluster.leader().await, 0);
}

#[tokio::test]
async fn arguments_override() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).arg("--election-timeout=700").start().await;
    let pid = cluster.member(0).pid().unwrap();
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(line.ends_with("--election-timeout=700\0"), "{line}");
}

#[tokio::test]
async fn another_leads_when_the_leader_is_killed() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let first = cluster.leader().await;
    cluster.kill(first);
    assert!(!cluster.member(first).is_running());

    let before = Instant::now();
    let second = cluster.leader().await;
    assert_ne!(first, second);
    println!("a new leader after {:?}", before.elapsed());

    let before = Instant::now();
    cluster.restart(first);
    cluster.wait_healthy().await;
    println!("rejoined after {:?}", before.elapsed());
    cluster.leader().await;
}

#[tokio::test]
async fn another_leads_when_the_leader_is_paused() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let first = cluster.leader().await;
    cluster.pause(first);
    assert_eq!(state(cluster.member(first).pid().unwrap()), Some('T'));

    let second = cluster.leader().await;
    assert_ne!(first, second);

    cluster.resume(first);
    cluster.wait_healthy().await;
    cluster.leader().await;
}

#[tokio::test]
async fn a_paused_member_can_be_killed() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let follower = cluster.follower().await;
    cluster.pause(follower);
    cluster.kill(follower);
    cluster.restart(follower);
    cluster.wait_healthy().await;
}

#[tokio::test]
async fn nothing_is_left_after_drop() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let remains = Remains::of(&cluster);
    drop(cluster);
    remains.assert_gone_within(Duration::ZERO);
}

#[tokio::test]
async fn nothing_is_left_after_a_panic() {
    let mut cluster = Cluster::builder(etcd_or_skip!()).start().await;
    let remains = Remains::of(&cluster);
    cluster.pause(1);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _held = cluster;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    remains.assert_gone_within(Duration::ZERO);
}

#[test]
fn nothing_is_left_after_sigkill() {
    let _binaries: Binaries = etcd_or_skip!();
    // This test binary again, running `holds_a_cluster` only.
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--exact", "holds_a_cluster", "--nocapture"])
        .env(HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(holder.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("holding ").map(|(_, held)| held.to_owned()))
        .expect("the holder says what it holds");
    let remains = Remains::parse(&said);
    assert!(remains.folder.exists());
    assert!(remains.pids.iter().all(|&pid| state(pid).is_some()), "{said}");

    holder.kill().unwrap();
    holder.wait().unwrap();
    remains.assert_gone_within(Duration::from_secs(5));
}

/// The helper process of `nothing_is_left_after_sigkill`, and an empty test elsewhere.
#[tokio::test]
async fn holds_a_cluster() {
    if env::var_os(HOLD).is_none() {
        return;
    }
    let mut cluster = Cluster::start(3).await;
    // Neither a paused member nor a restarted one may escape.
    cluster.pause(0);
    cluster.kill(1);
    cluster.restart(1);
    println!("holding {}", Remains::of(&cluster).format());
    // Until it is killed.
    thread::sleep(Duration::from_secs(60));
}

const HOLD: &str = "INCUMBENT_TESTKIT_HOLD";

/// What must be gone after a cluster.
struct Remains {
    folder: PathBuf,
    pids: Vec<u32>,
}

impl Remains {
    fn of(cluster: &Cluster) -> Self {
        Self {
            folder: cluster.logs(0).parent().unwrap().to_owned(),
            pids: (0..cluster.len()).filter_map(|index| cluster.member(index).pid()).collect(),
        }
    }

    fn format(&self) -> String {
        let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
        format!("{} {}", self.folder.display(), pids.join(" "))
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let folder = Path::new(words.next().unwrap()).to_owned();
        Self { folder, pids: words.map(|pid| pid.parse().unwrap()).collect() }
    }

    fn assert_gone_within(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.folder.exists() || self.pids.iter().any(|&pid| state(pid).is_some()) {
            assert!(Instant::now() < deadline, "left behind: {}", self.format());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The state of an etcd process, unless it is dead: `S`, `T` for stopped, and so on.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.split_once("(etcd) ")?.1.chars().next()?;
    // A zombie is dead: where the holder was killed, it is for init to reap it.
    (state != 'Z').then_some(state)
}
