//! A test without its server says so, and fails where it must run.

#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::process::{self, Command, Output};
use std::{env, fs};

use incumbent_testkit::etcd_or_skip;

#[test]
fn a_skipped_test_is_loud_and_counted() {
    let list = env::temp_dir().join(format!("incumbent-skipped-{}", process::id()));
    for _ in 0..2 {
        let output = run_without_server(&[("INCUMBENT_SKIPPED", list.to_str().unwrap())]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("SKIPPED: needs_a_server (tests/support/tests/skip.rs:"), "{said}");
        assert!(said.contains("no etcd in INCUMBENT_ETCD"), "{said}");
    }
    let listed = fs::read_to_string(&list).unwrap();
    fs::remove_file(&list).unwrap();
    assert_eq!(listed.lines().filter(|line| line.starts_with("needs_a_server (")).count(), 2, "{listed}");
}

#[test]
fn where_servers_are_required_it_fails() {
    for required in [("CI", "true"), ("INCUMBENT_REQUIRE_SERVERS", "1")] {
        let output = run_without_server(&[required]);
        assert!(!output.status.success(), "{required:?}");
    }
}

/// The helper of the others.
#[test]
fn needs_a_server() {
    let binaries = etcd_or_skip!();
    assert!(binaries.version().starts_with('3'));
}

fn run_without_server(variables: &[(&str, &str)]) -> Output {
    // Two threads: with one, the test runs on the main thread, whose name is not the test's.
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "needs_a_server", "--nocapture", "--test-threads=2"])
        .env_remove("CI")
        .env_remove("INCUMBENT_REQUIRE_SERVERS")
        .env("INCUMBENT_ETCD", "/nonexistent")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}
