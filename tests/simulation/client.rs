//! One process: its own way to the ensemble, its candidates and its observers. It can be started again.

use std::{sync::Arc, time::Duration};

use incumbent::{Ensemble, Options, core::Backend};
use incumbent_memory::Memory;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::{
    candidate::{Command, Seat},
    checkers::{observed, orphans},
    world::World,
};

/// What a client makes of its place in the ensemble: a backend.
pub(crate) type Wrap = fn(Memory) -> Arc<dyn Backend>;

pub(crate) struct Client {
    number: usize,
    pub(crate) memory: Memory,
    wrap: Wrap,
    times: Times,
    world: Arc<World>,
    rng: fastrand::Rng,
    process: Process,
}

/// What is gone when a process is.
#[derive(Default)]
struct Process {
    ensemble: Option<Ensemble>,
    seats: Vec<mpsc::UnboundedSender<Command>>,
    tasks: Vec<JoinHandle<()>>,
}

/// The durations of all sessions.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) ttl: Duration,
    pub(crate) request: Duration,
    margin: Duration,
}

impl Client {
    pub(crate) fn new(number: usize, wrap: Wrap, times: Times, world: &Arc<World>, mut rng: fastrand::Rng) -> Self {
        let memory = world.oracle.client();
        memory.link().seed(rng.u64(..));
        let process = Process::default();
        let mut client = Self { number, memory, wrap, times, world: Arc::clone(world), rng, process };
        client.start();
        client
    }

    pub(crate) fn command(&self, seat: usize, command: Command) {
        // A seat that has ended hears nothing.
        let seats = &self.process.seats;
        let _ = seats[seat % seats.len()].send(command);
    }

    /// The process dies, with everything in it, and comes again.
    pub(crate) fn restart(&mut self) {
        for task in &self.process.tasks {
            task.abort();
        }
        self.process = Process::default();
        self.start();
    }

    fn start(&mut self) {
        let options = Options::new().ttl(self.times.ttl).request_timeout(self.times.request).margin(self.times.margin);
        let ensemble = Ensemble::with_backend((self.wrap)(self.memory.clone()), options).unwrap();
        for (number, name) in self.world.elections().iter().enumerate() {
            let election = ensemble.election(name.as_str()).unwrap();
            // Sometimes two candidates of one election share the session.
            for _ in 0..1 + usize::from(self.rng.u8(..4) == 0) {
                let (sender, commands) = mpsc::unbounded_channel();
                let id = format!("{}.{}", self.number, self.process.seats.len());
                let (world, rng) = (Arc::clone(&self.world), self.rng.fork());
                let seat = Seat::new(self.number, id, number, election.clone(), world, rng, commands);
                self.process.seats.push(sender);
                self.process.tasks.push(tokio::spawn(seat.live()));
            }
            let observed = observed::follow(Arc::clone(&self.world), self.number, number, election.observe());
            self.process.tasks.push(tokio::spawn(observed));
        }
        self.process.ensemble = Some(ensemble);
    }

    /// Leaves for good: closed in good order, or not.
    pub(crate) async fn leave(mut self) {
        let ttl = self.times.ttl;
        if let Some(ensemble) = self.process.ensemble.take().filter(|_| self.rng.u8(..4) > 0) {
            let closed = ensemble.close(3 * ttl).await;
            self.world.note(format_args!("c{} closes: {closed:?}", self.number));
            orphans::after_close(&self.world, self.number, &closed, &ensemble.status());
        } else {
            for task in &self.process.tasks {
                task.abort();
            }
        }
        for task in self.process.tasks {
            // Whoever stands still when its process leaves does so for some TTLs more.
            orphans::task_ended(&self.world, self.number, timeout(100 * ttl, task).await);
        }
        self.world.look();
    }
}

impl Times {
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        let ttl = Duration::from_secs(rng.u64(2..=5));
        // There is one clock here: no margin is too small, and a small one hides nothing.
        let margin = if rng.bool() { ttl / 10 } else { Duration::from_millis(10) };
        Self { ttl, request: ttl / rng.u32(3..=6), margin }
    }
}
