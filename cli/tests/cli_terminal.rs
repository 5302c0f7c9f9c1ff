//! What only shows at a terminal: its width, its background, its end.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails a test")]

mod cli_support;

use std::process::{Command, Stdio};

use cli_support::{Running, SOON};
use incumbent_testkit::{etcd::Cluster, etcd_or_skip};

const INCUMBENT: &str = env!("CARGO_BIN_EXE_incumbent");

#[tokio::test]
async fn the_table_fits_the_terminal() {
    let cluster = Cluster::builder(etcd_or_skip!()).members(1).start().await;
    let url = cluster.url();
    let id = "a-candidate-whose-name-is-longer-than-any-terminal-is-wide".repeat(2);
    let standing = Running::campaign(&url, "e", &id);
    standing.until("leading", SOON);
    let terminal = on_terminal(&format!("stty cols 80; '{INCUMBENT}' candidates e --url '{url}'; echo end"));
    let lines: Vec<String> = std::iter::from_fn(|| Some(terminal.line(SOON)).filter(|line| line != "end")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_eq!(lines[1].trim_end().chars().count(), 80, "{lines:#?}");
    assert!(lines[1].contains('…'), "{lines:#?}");
}

#[test]
fn a_background_job_is_not_stopped_by_its_terminal() {
    let job = format!("'{INCUMBENT}' campaign e --json --url memory:// & echo $!; wait");
    let terminal = on_terminal(&format!("bash -mc \"{}\"", job.replace('$', "\\$")));
    let (mut pid, mut leads) = (None, false);
    while pid.is_none() || !leads {
        let line = terminal.line(SOON);
        leads |= line.contains("\"leading\"");
        pid = pid.or(line.trim().parse::<u32>().ok());
    }
    // Who is stopped does not hear it.
    assert!(Command::new("kill").arg(pid.unwrap().to_string()).status().unwrap().success());
    assert!(terminal.line(SOON).contains("\"resigned\""));
}

#[test]
fn whom_nohup_starts_outlives_the_terminal() {
    let mut command = Command::new("nohup");
    command.args([INCUMBENT, "campaign", "e", "--json", "--url", "memory://"]).stdin(Stdio::piped());
    let mut running = Running::start(&mut command);
    running.until("leading", SOON);
    running.signal("HUP");
    running.say("who");
    running.until("leader", SOON);
}

/// Runs a line of shell on a terminal of its own, by util-linux's `script`.
fn on_terminal(line: &str) -> Running {
    Running::start(Command::new("script").args(["-qec", line, "/dev/null"]).stdin(Stdio::piped()))
}
