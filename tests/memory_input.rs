//! Whatever cannot work is refused with its kind, the value, and what would work.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Process, bounded, quiet};
use futures::FutureExt;
use incumbent::{Backoff, Ensemble, Error, ErrorKind, Namespace, Options, connect, connect_with, parse_duration};
use incumbent_memory::Memory;

const SECOND: Duration = Duration::from_secs(1);

/// The error is about the input, and names all of this.
fn refused(error: &Error, words: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(!error.is_retryable());
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

#[tokio::test]
async fn urls() {
    for (url, words) in [
        ("", &["\"\"", "no scheme", "memory://"][..]),
        ("demo", &["\"demo\"", "no scheme"]),
        ("localhost:2379", &["\"localhost:2379\"", "no scheme", "etcd://"]),
        ("redis://a", &["\"redis\"", "memory, etcd or zookeeper"]),
        ("MEMORY://", &["\"MEMORY\"", "unknown"]),
        (" memory://", &["\" memory\"", "unknown"]),
        ("memory://a:1", &["memory://a:1", "without"]),
        ("memory://a,b", &["memory://a,b", "without"]),
        ("memory://a#b", &["memory://a#b", "fragment", "\"b\""]),
        ("memory://a/x//y", &["\"x//y\"", "empty segment"]),
        ("memory://a/x y", &["\"x y\"", "white space"]),
        ("memory://a/../b", &["\"../b\"", "\"..\""]),
        ("memory://?tll=5s", &["\"tll\"", "ttl, heartbeat"]),
        ("memory://?=5s", &["\"\"", "ttl, heartbeat"]),
        ("memory://?ttl", &["ttl=", "unit"]),
        ("memory://?ttl=5", &["ttl=5", "unit", "15s"]),
        ("memory://?ttl=-5s", &["ttl=-5s", "unit"]),
        ("memory://?ttl=5 s", &["ttl=5 s", "unit"]),
        ("memory://?margin=much", &["margin=much", "unit"]),
        ("memory://?heartbeat=1d", &["heartbeat=1d", "unit"]),
        ("memory://?stop_within=", &["stop_within=", "unit"]),
        ("memory://?ttl=0s", &["TTL is 0"]),
        ("memory://?heartbeat=0ms", &["heartbeat interval is 0"]),
        ("memory://?margin=0s", &["margin is 0"]),
        ("memory://?request_timeout=0s", &["request timeout is 0"]),
        ("memory://?connect_timeout=0s", &["connect timeout is 0"]),
        ("memory://?ttl=300ms", &["300ms", "request timeout of 200ms", "third"]),
        ("memory://?ttl=3s&margin=3s", &["3s", "leaves no validity", "above"]),
    ] {
        let error = connect(url).await.unwrap_err();
        refused(&error, words);
    }
}

#[cfg(not(feature = "etcd"))]
#[tokio::test]
async fn a_backend_that_is_not_built_in() {
    let error = connect("etcd://127.0.0.1:2379").await.unwrap_err();
    refused(&error, &["etcd://127.0.0.1:2379", "no etcd backend", "add the feature \"etcd\""]);
}

#[tokio::test]
async fn a_password_is_refused_and_never_shown() {
    for url in [
        "etcd://root:s3cret@host:2379",
        "etcd://root:s3cret@host/prod?ttl=5s",
        "etcd://root:s3cret@a,root:s3cret@b",
        "etcd://root:s3c@s3cret@host",
        "etcd://root:s3cret/x@host",
        "etcd://root:s3cret?x@host",
        "etcd://root:s3cret#x@host",
        "memory://root:s3cret@host",
        "memory://root:s3cret/x@host",
        "memory://root:s3cret#x@host",
        "postgres://root:s3cret@host",
        "root:s3cret@host",
        "etcd://host?user=root:s3cret@",
        "etcd://host?password=s3cret",
        "etcd://:s3cret@host",
    ] {
        let error = connect(url).await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.subject());
        assert!(!shown.contains("s3c"), "{url}: {shown}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}: {error}");
    }
}

#[tokio::test]
async fn a_namespace_with_an_at_sign_is_no_part_of_a_url() {
    refused(&connect("memory:///team@home").await.unwrap_err(), &["namespace", "options"]);
    let options = Options::new().namespace(Namespace::new("team@home").unwrap());
    connect_with("memory://", options).await.unwrap();
}

#[tokio::test]
async fn durations_in_wrong_relations() {
    let ten = || Options::new().ttl(10 * SECOND);
    for (options, words) in [
        (Options::new().ttl(Duration::ZERO), &["TTL is 0", "positive"][..]),
        (Options::new().ttl(Duration::from_millis(3)), &["3ms", "request timeout of 200ms"]),
        (ten().margin(Duration::ZERO), &["margin is 0"]),
        (ten().heartbeat(Duration::ZERO), &["heartbeat interval is 0"]),
        (ten().request_timeout(Duration::ZERO), &["request timeout is 0"]),
        (ten().connect_timeout(Duration::ZERO), &["connect timeout is 0"]),
        (ten().request_timeout(4 * SECOND), &["request timeout of 4s", "third of the TTL of 10s", "lower it"]),
        (ten().heartbeat(8 * SECOND), &["TTL of 10s", "(8s)", "above 11s"]),
        (ten().margin(9 * SECOND), &["TTL of 10s", "margin (9s)", "above 13s"]),
        (ten().stop_within(6 * SECOND), &["TTL of 10s", "stop_within (6s)", "add up to 11s", "raise the TTL"]),
        (ten().margin(Duration::MAX), &["TTL of 10s"]),
        (ten().heartbeat(Duration::MAX), &["TTL of 10s"]),
        (ten().request_timeout(Duration::MAX), &["TTL of 10s"]),
        (ten().stop_within(Duration::MAX), &["TTL of 10s"]),
        (ten().margin(Duration::MAX).heartbeat(Duration::MAX).stop_within(Duration::MAX), &["TTL of 10s"]),
    ] {
        let error = connect_with("memory://", options.clone()).await.unwrap_err();
        refused(&error, words);
        let error = Ensemble::with_backend(Arc::new(Memory::new()), options).unwrap_err();
        refused(&error, words);
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_ttl_works() {
    let century = 100 * 365 * 24 * 3_600 * SECOND;
    let process = Process::of(Memory::new(), Options::new().ttl(century).request_timeout(SECOND));
    let leadership = bounded("it leads", process.election.candidate().campaign()).await.unwrap();
    assert!(leadership.is_valid() && leadership.remaining() > 1_000_000 * SECOND);
    bounded("it resigns", leadership.resign()).await.unwrap();
    bounded("it closes", process.ensemble.close(Duration::MAX)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_url_says_goes_before_the_options() {
    let options = Options::new().ttl(Duration::ZERO).namespace(Namespace::new("a").unwrap());
    let ensemble = connect_with("memory:///b?ttl=7s", options).await.unwrap();
    let leadership = ensemble.election("jobs/a").unwrap().candidate().campaign().await.unwrap();
    assert_eq!(leadership.election().as_str(), "b/jobs/a");
    assert_eq!(ensemble.status().session.unwrap().ttl, 7 * SECOND);
}

#[tokio::test]
async fn election_names() {
    let ensemble = connect("memory://").await.unwrap();
    let long = "x".repeat(256);
    for (name, words) in [
        ("", &["\"\"", "empty"][..]),
        ("/a", &["\"/a\"", "begins with '/'"]),
        ("a/", &["\"a/\"", "empty segment"]),
        ("a//b", &["\"a//b\"", "empty segment"]),
        ("a/./b", &["\"a/./b\"", "\".\""]),
        ("..", &["\"..\""]),
        ("a b", &["\"a b\"", "' '", "white space"]),
        ("a\tb", &["\"a\\tb\"", "'\\t'"]),
        ("a\u{0}b", &["'\\0'"]),
        ("a\u{a0}b", &["white space"]),
        (long.as_str(), &["256 bytes", "255"]),
    ] {
        refused(&ensemble.election(name).unwrap_err(), words);
    }
    for name in ["a", "häuser/nächtlich", "a.b/c:d@e", &"x".repeat(255)] {
        assert_eq!(ensemble.election(name).unwrap().name().as_str(), name);
    }
}

#[test]
fn namespaces() {
    for (namespace, words) in [
        ("a b", &["\"a b\"", "white space"][..]),
        ("a//b", &["\"a//b\"", "empty segment"]),
        ("..", &["\"..\"", "segments joined by '/'"]),
    ] {
        refused(&Namespace::new(namespace).unwrap_err(), words);
    }
}

#[test]
fn pauses() {
    for (first, cap) in [(0, 1), (2, 1)] {
        let error = Backoff::new(first * SECOND, cap * SECOND).unwrap_err();
        refused(&error, &[&format!("{:?}", first * SECOND), &format!("{:?}", cap * SECOND), "above zero"]);
    }
}

#[test]
fn durations_as_text() {
    assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1_500)));
    for text in ["", "s", "5", "1e3s", "-1s", "+1s", " 1s", "1s ", "1,5s", ".s", "1..5s", "٣s", "1S", "1µs"] {
        assert_eq!(parse_duration(text), None, "{text:?}");
    }
}

#[test]
fn code_outside_of_a_runtime() {
    let error = connect("memory://").now_or_never().unwrap().unwrap_err();
    refused(&error, &["tokio runtime", "#[tokio::main]"]);
}

#[tokio::test(start_paused = true)]
async fn ids_and_addresses_of_any_kind() {
    let process = Process::first();
    for id in ["", " ", "ünï\n\"", r#"{"id":"x"}"#, "{", &"x".repeat(10_000)] {
        let candidate = process.election.candidate().id(id).advertise(id).metadata(id, id);
        let leadership = candidate.campaign().await.unwrap();
        let entry = process.election.leader().await.unwrap().unwrap();
        assert_eq!(entry.profile.id, id);
        assert_eq!(entry.profile.address.as_deref(), Some(id));
        assert_eq!(entry.profile.metadata.get(id).map(String::as_str), Some(id));
        leadership.resign().await.unwrap();
        let leadership = process.election.candidate().id(id).campaign().await.unwrap();
        assert_eq!(process.election.leader().await.unwrap().unwrap().profile.id, id);
        leadership.resign().await.unwrap();
        quiet().await;
    }
}
