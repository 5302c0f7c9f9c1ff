//! One server of a cluster.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::http;
use super::port::Port;

/// One server of a [`Cluster`](super::Cluster).
#[derive(Debug)]
pub struct Member {
    name: String,
    client: Port,
    peer: Port,
    log: PathBuf,
    command: Option<Command>,
    process: Option<Child>,
    paused: bool,
}

impl Member {
    pub(crate) fn new(number: usize, folder: &Path) -> Self {
        Self {
            name: format!("m{number}"),
            client: Port::claim(),
            peer: Port::claim(),
            log: folder.join(format!("m{number}.log")),
            command: None,
            process: None,
            paused: false,
        }
    }

    /// Where clients reach it: `127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.client.address()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id, unless killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Whether it could answer: neither killed nor paused.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some() && !self.paused
    }

    /// Its part of `--initial-cluster`.
    pub(crate) fn peer(&self) -> String {
        format!("{}=http://127.0.0.1:{}", self.name, self.peer.number())
    }

    /// `etcd` with `args`, and what differs between members. To be followed by `spawn`.
    pub(crate) fn configure(&mut self, etcd: &Path, folder: &Path, args: &[String]) {
        let client = format!("http://{}", self.client.address());
        let peer = format!("http://{}", self.peer.address());
        let mut command = Command::new(etcd);
        command
            .arg(format!("--name={}", self.name))
            // The guardian knows its members by this argument.
            .arg(format!("--data-dir={}/{}", folder.display(), self.name))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .args(args)
            // Every flag can also be set by an ETCD_ variable.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // As for the guardian: a signal to the test's process group is not for etcd.
            .process_group(0);
        self.command = Some(command);
    }

    pub(crate) fn spawn(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("the log opens");
        let command = self.command.as_mut().expect("a configured member");
        self.process = Some(command.stderr(log).spawn().expect("etcd starts"));
        self.paused = false;
    }

    /// SIGKILL, which a paused process takes too. It is gone once `reap` returns.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().expect("our own child");
        }
    }

    pub(crate) fn reap(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.wait().expect("our own child");
        }
    }

    /// SIGSTOP: all its threads have stopped when this returns.
    pub(crate) fn pause(&mut self) {
        if self.paused {
            return;
        }
        let pid = self.signal(Signal::STOP);
        let deadline = Instant::now() + Duration::from_secs(5);
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(pid), stopped).expect("our own child").is_none() {
            assert!(Instant::now() < deadline, "{} did not stop:\n{}", self.name, self.last_words());
            thread::sleep(Duration::from_micros(100));
        }
        self.paused = true;
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) {
        self.signal(Signal::CONT);
        self.paused = false;
    }

    /// The pid cannot be somebody else's: nobody but us reaps the child.
    fn signal(&self, signal: Signal) -> Pid {
        let process = self.process.as_ref().unwrap_or_else(|| panic!("{} is killed", self.name));
        let pid = Pid::from_child(process);
        kill_process(pid, signal).expect("our own child");
        pid
    }

    /// Whether it ended by itself.
    pub(crate) fn has_exited(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().expect("our own child").is_some())
    }

    /// Whether a linearizable read works on it.
    pub(crate) async fn is_healthy(&self) -> bool {
        http::get(&self.endpoint(), "/health").await.is_ok_and(|reply| reply["health"] == "true")
    }

    /// What it believes; `None` where it does not answer.
    pub(crate) async fn status(&self) -> Option<Status> {
        let reply = http::post(&self.endpoint(), "/v3/maintenance/status").await.ok()?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Some(Status {
            member: text(&reply["header"]["member_id"])?,
            term: text(&reply["raftTerm"])?,
            // Left out while there is none.
            leader: text(&reply["leader"])?,
        })
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let lines = File::open(&self.log).map(|log| BufReader::new(log).lines().collect::<io::Result<Vec<_>>>());
        let lines = lines.and_then(|lines| lines).unwrap_or_default();
        let last = &lines[lines.len().saturating_sub(10)..];
        format!("{} of {}:\n{}\n", self.log.display(), self.endpoint(), last.join("\n"))
    }

    pub(crate) fn lost_its_port(&self) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains("address already in use"))
    }
}

/// Also where a cluster is given up half started.
impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
        self.reap();
    }
}

/// A member's view of its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) member: String,
    pub(crate) leader: String,
    pub(crate) term: String,
}
