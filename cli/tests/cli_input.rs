//! What is given wrongly, and what cannot be reached.

#![allow(missing_docs, reason = "tests")]

mod cli_support;

use std::{net::TcpListener, process::Stdio, time::Duration};

use cli_support::{Running, SOON, ask, incumbent};

#[test]
fn bad_input_ends_with_2_and_names_what_is_wrong() {
    let campaign = |ttl| ["campaign", "e", "--url", "memory://", "--ttl", ttl];
    let leader = |url| ["leader", "e", "--url", url];
    let named = |name| ["candidates", name, "--url", "memory://"];
    for (args, words) in [
        (&leader("localhost:2379")[..], ["no scheme", "etcd://"]),
        (&leader("consul://a"), ["\"consul\"", "etcd"]),
        (&leader("etcd://"), ["no host", "host:port"]),
        (&leader("etcd://a b:1"), ["\"a b\"", "host:port"]),
        (&leader("etcd://a:port"), ["\"port\"", "65535"]),
        (&leader("etcd://a:0"), ["\"0\"", "65535"]),
        (&leader("memory://?tttl=5s"), ["\"tttl\"", "known keys"]),
        (&leader("memory://?ttl=5"), ["ttl=5", "500ms or 15s"]),
        (&campaign("0s"), ["TTL is 0", "positive"]),
        (&campaign("100ms"), ["100ms", "raise the TTL"]),
        (&campaign("5"), ["'5'", "500ms or 15s"]),
        (&campaign("5 days"), ["'5 days'", "500ms or 15s"]),
        (&named(""), ["empty", "billing/nightly-report"]),
        (&named("a//b"), ["empty segment", "billing/nightly-report"]),
        (&named("/a"), ["begins with '/'", "\"/a\""]),
        (&named("a b"), ["white space", "\"a b\""]),
        (&["leader", "e", "--url", "memory://", "--timeout", "0s"], ["0", "positive"]),
        (&["leader", "e", "--url", "memory://", "--timeout", "soon"], ["'soon'", "500ms or 15s"]),
        (&["campaign", "e", "--url", "memory://", "--id", ""], ["--id", "value"]),
        (&["campaign", "e", "--url", "memory://", "--metadata", "zone"], ["'zone'", "zone=eu-1"]),
        (&["campaign", "--url", "memory://"], ["<ELECTION>", "Usage"]),
        (&["elect", "e"], ["elect", "Usage"]),
        (&["candidates", "e", "--yaml"], ["--yaml", "Usage"]),
    ] {
        ask(args).fails(2, &words);
    }
}

#[test]
fn a_missing_url_says_how_to_set_one() {
    for command in ["campaign", "candidates", "leader"] {
        let ended = ask(&[command, "e"]);
        ended.fails(2, &["--url", "INCUMBENT_URL=etcd://"]);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    let mut empty = Running::start(incumbent(&["leader", "e"]).env("INCUMBENT_URL", ""));
    assert_eq!(empty.end(SOON).code(), Some(2));
}

#[test]
fn the_url_may_come_from_the_environment() {
    let mut running = Running::start(incumbent(&["candidates", "e"]).env("INCUMBENT_URL", "memory://"));
    assert_eq!(running.end(SOON).code(), Some(0));
}

#[test]
fn a_bad_log_filter_is_refused() {
    let mut running = Running::start(incumbent(&["leader", "e", "--url", "memory://"]).env("INCUMBENT_LOG", "a=b=c"));
    assert_eq!(running.end(SOON).code(), Some(2));
    assert!(running.error(SOON).contains("INCUMBENT_LOG"));
}

#[test]
fn the_log_goes_to_standard_error_when_asked_for() {
    let args = ["campaign", "e", "--url", "memory://", "--json"];
    let mut running = Running::start(incumbent(&args).env("INCUMBENT_LOG", "info").stdin(Stdio::piped()));
    running.until("leading", SOON);
    assert!(running.error(SOON).contains("INFO"));
    running.say("quit");
    running.until("resigned", SOON);
    assert_eq!(running.end(SOON).code(), Some(0));
}

#[test]
fn help_tells_the_exit_codes_and_the_commands_of_a_campaign() {
    for args in [&["--help"][..], &["campaign", "--help"], &["candidates", "--help"], &["leader", "--help"]] {
        let ended = ask(args);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.stdout.contains("Exit codes:"), "{ended:#?}");
        assert!(ended.stdout.contains("INCUMBENT_URL"), "{ended:#?}");
    }
    let campaign = ask(&["campaign", "--help"]).stdout;
    assert!(["resign", "who", "quit"].iter().all(|word| campaign.contains(word)), "{campaign}");
}

#[test]
fn an_unreachable_ensemble_ends_with_1_in_bounded_time() {
    // A port that nobody listens on, and one where somebody is silent.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [closed, silent.local_addr().unwrap()] {
        let url = format!("etcd://{address}");
        for command in ["candidates", "leader"] {
            let ended = ask(&[command, "e", "--url", &url, "--timeout", "2s"]);
            ended.fails(1, &["could not"]);
            assert!(ended.took < Duration::from_secs(3), "{ended:#?}");
        }
        let ended = ask(&["campaign", "e", "--url", &format!("{url}?connect_timeout=1s")]);
        ended.fails(1, &[&address.to_string()]);
        assert!(ended.took < Duration::from_secs(4), "{ended:#?}");
    }
}

#[test]
fn a_stop_ends_the_attempt_to_connect() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("etcd://{}?connect_timeout=60s", silent.local_addr().unwrap());
    let mut running = Running::start(&mut incumbent(&["campaign", "e", "--url", &url]));
    // It connects, so its signal handlers stand.
    let _connection = silent.accept().unwrap();
    running.signal("TERM");
    assert_eq!(running.end(SOON).code(), Some(0));
}
