//! The real command, run and listened to.

#![allow(dead_code, reason = "not every test binary needs all of it")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails a test")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// More than enough for anything that does not wait for a TTL.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// `incumbent args`, without what the environment of the tests may set.
pub(crate) fn incumbent(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_incumbent"));
    command.env_remove("INCUMBENT_URL").env_remove("INCUMBENT_LOG").env_remove("RUST_LOG").args(args);
    command
}

/// What a command said that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Asserts the code and that there is one line that says why, with these words, and no answer.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        assert!(self.stderr.starts_with("error: "), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:#?}");
        }
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn ask(args: &[&str]) -> Ended {
    let begin = Instant::now();
    let mut running = Running::start(incumbent(args).stdin(Stdio::null()));
    let code = running.end(Duration::from_secs(30)).code();
    let read = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
    Ended { code, took: begin.elapsed(), stdout: read(&running.stdout), stderr: read(&running.stderr) }
}

/// A command that runs. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// `incumbent campaign election --json` with a TTL of 5 s.
    pub(crate) fn campaign(url: &str, election: &str, id: &str) -> Self {
        let args = ["campaign", election, "--json", "--url", url, "--id", id, "--ttl", "5s"];
        Self::start(incumbent(&args).stdin(Stdio::piped()))
    }

    /// Writes a line to standard input.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line of the answer.
    #[track_caller]
    pub(crate) fn line(&self, within: Duration) -> String {
        self.stdout.recv_timeout(within).unwrap_or_else(|_| panic!("nothing more is said; errors: {:?}", self.errors()))
    }

    /// The next event, checked against the schema.
    #[track_caller]
    pub(crate) fn event(&self, within: Duration) -> Value {
        let line = self.line(within);
        let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        check(&event);
        event
    }

    /// The next event of this kind; any others before it are passed over.
    #[track_caller]
    pub(crate) fn until(&self, kind: &str, within: Duration) -> Value {
        let deadline = Instant::now() + within;
        let mut passed = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.stdout.recv_timeout(left) else {
                panic!("no {kind} within {within:?}, only {passed:#?}; errors: {:?}", self.errors())
            };
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            check(&event);
            if event["event"] == kind {
                return event;
            }
            passed.push(line);
        }
    }

    /// The next line of standard error.
    #[track_caller]
    pub(crate) fn error(&self, within: Duration) -> String {
        self.stderr.recv_timeout(within).unwrap()
    }

    fn errors(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    /// Sends a signal by its name, as the shell does.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its standard input.
    pub(crate) fn hush(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still runs after {within:?}; errors: {:?}", self.errors());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if line.map_or(true, |line| sender.send(line).is_err()) {
                return;
            }
        }
    });
    lines
}

/// The documented schema: these fields and no others.
#[track_caller]
fn check(event: &Value) {
    let fields: &[&str] = match event["event"].as_str() {
        Some("joining") => &[],
        Some("waiting") => &["ahead"],
        Some("leading" | "confirmed") => &["remaining_ms", "token"],
        Some("suspended") => &["reason", "remaining_ms", "token"],
        Some("lost") => &["reason", "token"],
        Some("resigned") => &["token"],
        Some("rejoining" | "troubled") => &["reason"],
        Some("leader") => &["leader"],
        _ => panic!("no known event: {event}"),
    };
    let mut expected = [fields, &["at", "candidate", "election", "event"]].concat();
    expected.sort_unstable();
    let found: Vec<&String> = event.as_object().unwrap().keys().collect();
    assert_eq!(found, expected, "{event}");
    for (key, value) in event.as_object().unwrap() {
        let right = match key.as_str() {
            "at" => value.as_u64().is_some_and(|at| at > 1_700_000_000_000),
            "ahead" | "token" | "remaining_ms" => value.is_u64(),
            "leader" => {
                value.is_null() || {
                    check_candidate(value);
                    true
                }
            }
            _ => value.as_str().is_some_and(|text| !text.is_empty()),
        };
        assert!(right, "{key} of {event}");
    }
}

/// The schema of a candidate.
#[track_caller]
pub(crate) fn check_candidate(candidate: &Value) {
    let found: Vec<&String> = candidate.as_object().unwrap().keys().collect();
    assert_eq!(found, ["address", "id", "metadata", "ours", "position", "session", "token"], "{candidate}");
    assert!(candidate["position"].as_u64() > Some(0) && candidate["token"].is_u64(), "{candidate}");
    assert!(candidate["id"].is_string() && candidate["ours"].is_boolean(), "{candidate}");
    let optional = |key: &str| candidate[key].is_string() || candidate[key].is_null();
    assert!(optional("session") && optional("address"), "{candidate}");
    let metadata = candidate["metadata"].as_object().unwrap();
    assert!(metadata.values().all(Value::is_string), "{candidate}");
}
