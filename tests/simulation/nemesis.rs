//! Draws faults from the schedule's seed, and takes them back in the end.

use std::{ops::RangeInclusive, time::Duration};

use incumbent::Entry;
use incumbent_memory::{Faults, Link, Loss};
use tokio::time::{Instant, sleep_until};

use crate::{
    candidate::Command,
    client::{Client, Times},
    excuses::Excuses,
    world::World,
};

pub(crate) struct Nemesis<'a> {
    world: &'a World,
    clients: Vec<Client>,
    faults: Faults,
    rng: fastrand::Rng,
    ttl: Duration,
    timeout: Duration,
    /// Whether operators delete entries and sessions.
    operators: bool,
    foreign: u32,
}

impl<'a> Nemesis<'a> {
    pub(crate) fn new(world: &'a World, clients: Vec<Client>, mut rng: fastrand::Rng, times: Times) -> Self {
        let faults = world.oracle.faults();
        let operators = rng.u8(..3) == 0;
        Self { world, clients, faults, rng, ttl: times.ttl, timeout: times.request, operators, foreign: 0 }
    }

    /// Does harm for some multiples of the TTL.
    pub(crate) async fn rage(&mut self) {
        for _ in 0..self.rng.usize(16..=40) {
            let long = self.rng.u8(..4) == 0;
            let pause = self.span(if long { 1.2 } else { 0.25 });
            self.wait(pause).await;
            self.strike().await;
            self.world.look();
        }
    }

    /// Takes everything back, but for one client that may stay dead: this one.
    pub(crate) fn relent(&mut self) -> Option<usize> {
        let dead = (self.rng.u8(..3) == 0).then(|| self.rng.usize(..self.clients.len()));
        self.world.note(format_args!("all is repaired, but {dead:?}"));
        self.repair_all();
        if let Some(dead) = dead {
            self.clients[dead].memory.link().cut();
            self.world.excuses(|excuses, _| excuses.damaged(dead));
        }
        self.world.settle();
        dead
    }

    /// Takes back what is left.
    pub(crate) fn retire(mut self) -> Vec<Client> {
        self.repair_all();
        self.clients
    }

    fn repair_all(&mut self) {
        self.faults.repair();
        for client in 0..self.clients.len() {
            self.world.excuses(|excuses, now| excuses.repaired(client, now));
        }
        self.world.excuses(Excuses::thawed);
        // What a foreign library left without a session stays for ever, by intent.
        for election in self.world.elections() {
            for entry in self.world.oracle.queue_now(election).iter().filter(|entry| !entry.ours) {
                self.faults.evict(election, &entry.key.name);
            }
        }
    }

    /// Looks again and again while time goes by.
    async fn wait(&self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            sleep_until(end.min(Instant::now() + self.ttl / 10)).await;
            self.world.look();
        }
    }

    async fn strike(&mut self) {
        let client = self.victim();
        match self.rng.u8(..26) {
            0..11 => self.damage(client),
            11..14 => self.repair(client),
            14 => self.freeze(),
            15 | 16 => self.thaw(),
            20 => self.stall().await,
            21 => self.restart(client),
            17 if self.operators => self.evict(),
            18 if self.operators => self.expire(),
            19 if self.operators => self.add_foreign(),
            _ => self.command(client),
        }
    }

    /// Half of the time whoever stands first, since most can go wrong there.
    fn victim(&mut self) -> usize {
        let anybody = self.rng.usize(..self.clients.len());
        let election = self.rng.usize(..self.world.elections().len());
        if self.rng.bool() {
            return anybody;
        }
        let queue = self.world.oracle.queue_now(&self.world.elections()[election]);
        queue.first().and_then(owner).unwrap_or(anybody)
    }

    fn damage(&mut self, client: usize) {
        let link = self.clients[client].memory.link().clone();
        self.world.excuses(|excuses, _| excuses.damaged(client));
        let what = self.damage_link(&link);
        self.world.note(format_args!("nemesis: c{client} {what}"));
    }

    fn damage_link(&mut self, link: &Link) -> String {
        let timeout = self.timeout;
        match self.rng.u8(..17) {
            0..3 => {
                let delay = self.range(timeout);
                link.delay_requests(delay.clone());
                format!("requests take {delay:?}")
            }
            3..6 => {
                let delay = self.range(timeout);
                link.delay_replies(delay.clone());
                format!("replies take {delay:?}")
            }
            6 => {
                let loss = self.loss();
                link.lose_requests(loss);
                format!("requests lost: {loss:?}")
            }
            7 => {
                let loss = self.loss();
                link.lose_replies(loss);
                format!("replies lost: {loss:?}")
            }
            8 | 9 => {
                let delay = self.span(2.0);
                link.land_late(delay);
                format!("next write lands after {delay:?}")
            }
            10 => {
                let refuses = self.rng.bool();
                link.refuse(refuses);
                format!("refuses: {refuses}")
            }
            11 => {
                link.break_watches();
                "watches break".into()
            }
            12 => {
                link.reconnect();
                "reconnects".into()
            }
            _ => {
                link.cut();
                "is cut".into()
            }
        }
    }

    fn repair(&mut self, client: usize) {
        let link = self.clients[client].memory.link();
        if self.rng.bool() {
            link.heal();
            self.world.note(format_args!("nemesis: c{client} is healed"));
        } else {
            link.repair();
            self.world.excuses(|excuses, now| excuses.repaired(client, now));
            self.world.note(format_args!("nemesis: c{client} is repaired"));
        }
    }

    fn freeze(&self) {
        self.faults.freeze();
        self.world.excuses(|excuses, _| excuses.frozen());
        self.world.note("nemesis: freeze");
    }

    fn thaw(&self) {
        self.faults.thaw();
        self.world.excuses(Excuses::thawed);
        self.world.note("nemesis: thaw");
    }

    /// Time goes by and nobody does anything: a suspended machine, or a blocked runtime.
    async fn stall(&mut self) {
        let span = self.span(1.5);
        self.world.note(format_args!("nemesis: all stand still for {span:?}"));
        tokio::time::advance(span).await;
    }

    fn restart(&mut self, client: usize) {
        self.world.note(format_args!("nemesis: c{client} dies and starts again"));
        self.clients[client].restart();
    }

    fn evict(&mut self) {
        let election = self.rng.choice(self.world.elections()).unwrap();
        let queue = self.world.oracle.queue_now(election);
        if let Some(entry) = queue.get(self.rng.usize(..4)) {
            self.world.note(format_args!("nemesis: evicts {} of {}", entry.key.token, entry.profile.id));
            self.excuse(entry);
            self.faults.evict(election, &entry.key.name);
        }
    }

    fn expire(&mut self) {
        let sessions = self.world.oracle.sessions_now();
        if let Some(session) = sessions.get(self.rng.usize(..4)) {
            self.world.note(format_args!("nemesis: expires session {session}"));
            for election in self.world.elections() {
                let queue = self.world.oracle.queue_now(election);
                queue.iter().filter(|entry| entry.session == Some(*session)).for_each(|entry| self.excuse(entry));
            }
            self.faults.expire(*session);
        }
    }

    fn add_foreign(&mut self) {
        let election = self.rng.choice(self.world.elections()).unwrap();
        self.foreign += 1;
        let name = format!("stranger-{}", self.foreign);
        self.faults.insert_foreign(election, &name, b"\xff\xfe".to_vec(), None).unwrap();
        self.world.note(format_args!("nemesis: adds {name}"));
    }

    fn command(&mut self, client: usize) {
        let pause = self.span(2.0);
        let command = *self.rng.choice([Command::Resign, Command::Drop, Command::Pause(pause)].iter()).unwrap();
        let seat = self.rng.usize(..4);
        self.world.note(format_args!("nemesis: c{client} {command:?}"));
        self.clients[client].command(seat, command);
    }

    fn excuse(&self, entry: &Entry) {
        if let Some(client) = owner(entry) {
            self.world.excuses(|excuses, now| excuses.removed(entry.key.token, client, now));
        }
    }

    fn loss(&mut self) -> Loss {
        match self.rng.u8(..4) {
            0 => Loss::Next(self.rng.usize(1..=3)),
            1 => Loss::Always,
            _ => Loss::Percent(self.rng.u8(5..80)),
        }
    }

    /// Delays up to what is about a timeout; half of the time long ones that just come in time.
    fn range(&mut self, timeout: Duration) -> RangeInclusive<Duration> {
        let [a, b] = [(); 2].map(|()| self.rng.f64());
        if self.rng.bool() {
            timeout.mul_f64(0.6 + a * 0.2)..=timeout.mul_f64(0.8 + b * 0.2)
        } else {
            timeout.mul_f64(a.min(b))..=timeout.mul_f64(a.max(b) * 1.2)
        }
    }

    /// Up to so many TTLs.
    fn span(&mut self, ttls: f64) -> Duration {
        self.ttl.mul_f64(self.rng.f64() * ttls)
    }
}

/// The client whose entry it is.
fn owner(entry: &Entry) -> Option<usize> {
    entry.profile.id.split_once('.')?.0.parse().ok()
}
