//! A process that is stopped, and looks at its guard when it goes on.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use incumbent::{Options, connect_with, core::Clock};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip};
use rustix::process::{Pid, Signal, kill_process};

const TTL: Duration = Duration::from_secs(2);
const URL: &str = "INCUMBENT_PAUSE_URL";

/// Not a test of its own: the `main` of the process that is stopped. It looks at its guard without a break, and says what
/// the first look after a gap in time said.
#[tokio::test]
async fn looking_process() {
    let Ok(url) = std::env::var(URL) else { return };
    let logs = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
    logs.with_writer(std::io::stderr).init();
    let ensemble = connect_with(&url, Options::new().ttl(TTL)).await.unwrap();
    let leadership = ensemble.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
    let clock = Clock::boot();
    // Before the parent hears of it: the stop may come at once.
    let mut before = clock.now();
    say("leading");
    loop {
        let now = clock.now();
        let valid = leadership.is_valid();
        if now.since(before) > TTL {
            return say(if valid { "still valid" } else { "invalid" });
        }
        before = now;
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[tokio::test]
async fn the_first_look_after_a_stop_is_false() {
    let cluster = Cluster::builder(etcd_or_skip!()).start().await;
    for _ in 0..3 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "looking_process", "--nocapture", "--quiet"])
            .env(URL, cluster.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut next = || said.by_ref().find(|line| line.starts_with('@'));
        assert_eq!(next().as_deref(), Some("@leading"));
        let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        tokio::time::sleep(2 * TTL).await;
        kill_process(pid, Signal::CONT).unwrap();
        assert_eq!(next().as_deref(), Some("@invalid"));
        process.wait().unwrap();
    }
}
