//! A whole cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::binaries::Binaries;
use super::guardian::Guardian;
use super::member::{Member, Status};
use super::storage;

/// A running etcd cluster of processes on 127.0.0.1, gone when this is dropped or the test process dies, be it by
/// SIGKILL.
///
/// The election timeout is 1 s: a new leader takes one to three of it. Data is synced to a real disk.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    folder: PathBuf,
    members: Vec<Member>,
    // Last, so that it finds no member to kill where all is well.
    _guardian: Guardian,
}

impl Cluster {
    /// A healthy cluster of `size` members, of the programs that the environment asks for: [`Binaries::find`].
    pub async fn start(size: usize) -> Self {
        let binaries = Binaries::find().unwrap_or_else(|missing| panic!("{missing}"));
        Self::builder(binaries).members(size).start().await
    }

    /// A cluster to be set up.
    #[must_use]
    pub fn builder(binaries: Binaries) -> Builder {
        Builder { binaries, size: 3, args: Vec::new() }
    }

    /// Where clients reach the members, `127.0.0.1:port` each, the killed ones too.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// All endpoints as one URL: `etcd://host:port,host:port,host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://{}", self.endpoints().join(","))
    }

    /// The number of members, the killed ones too.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a cluster is never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The full version of its programs, say `3.5.16`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.binaries.version()
    }

    /// One member; they are numbered from 0.
    #[must_use]
    pub fn member(&self, index: usize) -> &Member {
        &self.members[index]
    }

    /// One member's log.
    #[must_use]
    pub fn logs(&self, index: usize) -> &Path {
        self.members[index].log()
    }

    /// Kills a member by SIGKILL. It is gone when this returns.
    pub fn kill(&mut self, index: usize) {
        self.members[index].kill();
        self.members[index].reap();
    }

    /// Starts a killed member again, on the same data and ports. [`wait_healthy`](Self::wait_healthy) waits for it.
    pub fn restart(&mut self, index: usize) {
        self.members[index].spawn();
    }

    /// Stops a member by SIGSTOP: it keeps its connections, and is silent. It has stopped when this returns.
    pub fn pause(&mut self, index: usize) {
        self.members[index].pause();
    }

    /// Lets a paused member go on.
    pub fn resume(&mut self, index: usize) {
        self.members[index].resume();
    }

    /// Waits until every running member serves linearizable reads.
    ///
    /// # Panics
    ///
    /// After 30 s, with the ends of the logs.
    pub async fn wait_healthy(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(why) = self.is_healthy().await {
            if Instant::now() > deadline || self.any_exited() {
                panic!("{why}\n{}", self.last_words());
            }
            sleep(STEP).await;
        }
    }

    /// The index of the leader that all running members agree on, once they do: not a member that has been killed or
    /// paused, even while the others still take it for the leader.
    ///
    /// # Panics
    ///
    /// After 30 s, with the ends of the logs.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(leader) = self.agreed_leader().await {
                return leader;
            }
            assert!(Instant::now() < deadline, "no agreed leader\n{}", self.last_words());
            sleep(STEP).await;
        }
    }

    /// The index of a member that runs and does not lead.
    ///
    /// # Panics
    ///
    /// As [`leader`](Self::leader) does, and where only the leader runs.
    pub async fn follower(&self) -> usize {
        let leader = self.leader().await;
        (0..self.len())
            .find(|&index| index != leader && self.members[index].is_running())
            .expect("a running member besides the leader")
    }

    /// `etcdctl args`, pointed at all endpoints. `tokio::process::Command::from` takes it too.
    #[must_use]
    pub fn etcdctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.etcdctl());
        command.env_clear().env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", self.endpoints().join(",")).args(args);
        command
    }

    async fn is_healthy(&self) -> Result<(), String> {
        for member in self.members.iter().filter(|member| member.is_running()) {
            if !member.is_healthy().await {
                return Err(format!("{} is not healthy", member.endpoint()));
            }
        }
        Ok(())
    }

    async fn agreed_leader(&self) -> Option<usize> {
        let mut views: Vec<(usize, Status)> = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            if member.is_running() {
                views.push((index, member.status().await?));
            }
        }
        let (_, first) = views.first()?;
        let agreed = views.iter().all(|(_, view)| view.leader == first.leader && view.term == first.term);
        let leader = views.iter().find(|(_, view)| view.member == first.leader)?;
        agreed.then_some(leader.0)
    }

    fn any_exited(&mut self) -> bool {
        self.members.iter_mut().any(Member::has_exited)
    }

    fn last_words(&self) -> String {
        self.members.iter().map(Member::last_words).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        // All at once, then one after the other.
        self.members.iter_mut().for_each(Member::kill);
        self.members.iter_mut().for_each(Member::reap);
    }
}

/// A [`Cluster`] to be set up.
#[derive(Clone, Debug)]
pub struct Builder {
    binaries: Binaries,
    size: usize,
    args: Vec<String>,
}

impl Builder {
    /// The number of members. 3 by default.
    #[must_use]
    pub fn members(mut self, size: usize) -> Self {
        assert!(size > 0, "a cluster has a member");
        self.size = size;
        self
    }

    /// One more argument of every member, say `--snapshot-count=100`. The last of two that contradict holds.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The cluster, healthy.
    ///
    /// # Panics
    ///
    /// Where it does not become healthy within 30 s, with the ends of the logs.
    pub async fn start(&self) -> Cluster {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut cluster = self.spawn();
            while !cluster.any_exited() {
                match cluster.is_healthy().await {
                    Ok(()) => return cluster,
                    Err(why) => assert!(Instant::now() < deadline, "{why}\n{}", cluster.last_words()),
                }
                sleep(STEP).await;
            }
            // Somebody who knows nothing of our claims was faster: another attempt, on other ports.
            let unlucky = cluster.members.iter().any(Member::lost_its_port);
            assert!(unlucky && Instant::now() < deadline, "etcd exited\n{}", cluster.last_words());
        }
    }

    fn spawn(&self) -> Cluster {
        let folder = storage::create();
        let guardian = Guardian::over(&folder);
        let mut cluster = Cluster {
            binaries: self.binaries.clone(),
            members: (0..self.size).map(|number| Member::new(number, &folder)).collect(),
            folder,
            _guardian: guardian,
        };
        let args = self.arguments(&cluster);
        for member in &mut cluster.members {
            member.configure(&self.binaries.etcd(), &cluster.folder, &args);
            member.spawn();
        }
        cluster
    }

    fn arguments(&self, cluster: &Cluster) -> Vec<String> {
        let peers: Vec<String> = cluster.members.iter().map(Member::peer).collect();
        let mut args: Vec<String> =
            ["--logger=zap", "--log-level=warn", "--heartbeat-interval=100", "--election-timeout=1000"]
                .map(String::from)
                .into();
        args.push(format!("--initial-cluster={}", peers.join(",")));
        // Members of another cluster, on ports that were once ours, are told apart by this.
        args.push(format!("--initial-cluster-token={}", cluster.folder.display()));
        args.extend(self.args.iter().cloned());
        args
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);
