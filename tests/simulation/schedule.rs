//! One schedule: a world, trouble in it, and its end.

use std::{fmt, process, sync::Arc, sync::mpsc, thread, time::Duration};

use incumbent_memory::Memory;

use crate::{
    checkers::{Violation, liveness, observed, orphans},
    client::{Client, Times, Wrap},
    nemesis::Nemesis,
    world::World,
};

/// Everything in it follows from its seed, but for what tokio chooses among tasks that are ready at the same moment.
pub(crate) struct Schedule {
    seed: u64,
    rng: fastrand::Rng,
}

/// What a schedule came to.
pub(crate) struct Report {
    seed: u64,
    pub(crate) violations: Vec<Violation>,
    pub(crate) grants: usize,
    pub(crate) log: Vec<String>,
}

impl Schedule {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed) }
    }

    pub(crate) fn run(mut self, wrap: Wrap) -> Report {
        let _watched = self.watch();
        // The recipe seeds its own generators from the thread's.
        fastrand::seed(self.seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let world = runtime.block_on(self.live(wrap));
        let (violations, grants, log) = world.into_parts();
        Report { seed: self.seed, violations, grants, log }
    }

    async fn live(&mut self, wrap: Wrap) -> Arc<World> {
        let times = Times::draw(&mut self.rng);
        let elections: &[&str] = if self.rng.bool() { &["jobs/a"] } else { &["jobs/a", "jobs/b"] };
        let clients = self.rng.usize(3..=5);
        let world = Arc::new(World::new(Memory::new(), elections, clients));
        let clients = (0..clients).map(|number| Client::new(number, wrap, times, &world, self.rng.fork())).collect();

        let mut nemesis = Nemesis::new(&world, clients, self.rng.fork(), times);
        nemesis.rage().await;
        let dead = nemesis.relent();
        liveness::check(&world, times.ttl).await;
        observed::check(&world, dead).await;
        for client in nemesis.retire() {
            client.leave().await;
        }
        orphans::in_the_store(&world, times.ttl).await;
        world
    }

    /// Time that stands still because somebody never waits is a violation too, and the only one that needs a real clock.
    fn watch(&self) -> mpsc::Sender<()> {
        let (alive, ended) = mpsc::channel::<()>();
        let seed = self.seed;
        thread::spawn(move || {
            if ended.recv_timeout(LONGEST_SCHEDULE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the schedule of seed {seed} runs in circles: repeat it with INCUMBENT_SEED={seed}");
                process::abort();
            }
        });
        alive
    }
}

/// Some thousand times as long as one takes.
const LONGEST_SCHEDULE: Duration = Duration::from_secs(60);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.log {
            writeln!(f, "{line}")?;
        }
        for violation in &self.violations {
            writeln!(f, "BROKEN {violation}")?;
        }
        write!(f, "repeat it with INCUMBENT_SEED={} INCUMBENT_SCHEDULES=1", self.seed)
    }
}
