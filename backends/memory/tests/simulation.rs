//! What must hold whatever goes wrong, over many seeds on paused time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{join_all, select};
use incumbent_core::{
    Backend, ElectionName, EntryKey, ErrorKind, Guid, Life, PlaceEvent, Profile, Result, Session, SessionOptions,
};
use incumbent_memory::{Loss, Memory};
use tokio::time::{sleep, timeout};

const SEEDS: u64 = 40;
const CLIENTS: usize = 4;
const ROUNDS: usize = 80;
const TTL: Duration = Duration::from_secs(5);

/// What one run knows.
struct World {
    memory: Memory,
    election: ElectionName,
    /// Names whose join failed with the word that nothing was written.
    unwritten: Mutex<BTreeSet<Guid>>,
    retired: Mutex<BTreeSet<Guid>>,
    sessions: Mutex<Vec<Arc<dyn Session>>>,
    /// What happened, so that a run in which nothing did is seen.
    seen: Mutex<BTreeSet<String>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let (memory, election) = (Memory::new(), ElectionName::new("jobs/nightly").unwrap());
        for client in 0..CLIENTS {
            memory.faults().link(&client.to_string()).seed(seed);
        }
        Self {
            memory,
            election,
            unwritten: Mutex::default(),
            retired: Mutex::default(),
            sessions: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// A session whose deadline holds lives in the store; a name that was not written, or was retired, does not stand.
    fn check(&self) {
        let queue = self.memory.queue_now(&self.election);
        assert!(queue.is_sorted_by_key(|entry| entry.key.token), "{queue:?}");
        for entry in &queue {
            let guid = Guid::parse(&entry.key.name).unwrap();
            assert!(!self.unwritten.lock().unwrap().contains(&guid), "{guid} stands, though its join was not written");
            assert!(!self.retired.lock().unwrap().contains(&guid), "{guid} stands, though it was retired");
            assert!(self.memory.session_alive(entry.session.unwrap()), "{guid} stands without its session");
        }
        for session in self.sessions.lock().unwrap().iter() {
            if let Life::Alive { deadline, .. } = &*session.life().borrow()
                && deadline.holds(self.memory.clock().now())
            {
                assert!(self.memory.session_alive(session.id()), "proven alive, and gone");
            }
        }
    }

    fn stands(&self, name: &str) -> bool {
        self.memory.queue_now(&self.election).iter().any(|entry| *entry.key.name == *name)
    }

    /// One client: joins, looks, waits, leaves, gives names up, and opens a new session when one is gone.
    async fn take_part(&self, client: Memory, mut random: fastrand::Rng) {
        let mut session: Option<Arc<dyn Session>> = None;
        let mut entries: Vec<EntryKey> = Vec::new();
        for _ in 0..ROUNDS {
            sleep(Duration::from_millis(random.u64(1..700))).await;
            let Some(current) = session.clone() else {
                // Next to no margin: what is proven must be exact.
                let options = SessionOptions { margin: Some(Duration::from_millis(1)), ..SessionOptions::new(TTL) };
                session = client.open_session(&options).await.ok();
                self.sessions.lock().unwrap().extend(session.clone());
                continue;
            };
            let (what, done) = match random.u8(..20) {
                0..8 => ("join", self.join(&current, &mut entries, &mut random).await),
                8..13 => ("wait", self.wait(&current, &entries, &mut random).await),
                13..19 => match entries.pop() {
                    Some(own) => ("remove", self.remove(&current, &own).await),
                    None => continue,
                },
                _ => ("close", current.close().await),
            };
            let kind = done.as_ref().err().map(incumbent_core::Error::kind);
            self.seen.lock().unwrap().insert(format!("{what} {kind:?}"));
            if what == "close" || matches!(kind, Some(ErrorKind::SessionGone | ErrorKind::Closed)) {
                (session, entries) = (None, Vec::new());
            }
            self.check();
        }
    }

    async fn join(
        &self,
        session: &Arc<dyn Session>,
        entries: &mut Vec<EntryKey>,
        random: &mut fastrand::Rng,
    ) -> Result<()> {
        let guid = Guid::marked(random.u128(..));
        match session.enqueue(&self.election, guid, &Profile::new("worker")).await {
            Ok((key, _)) => {
                entries.push(key);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                if session.retire(&self.election, guid).await.is_ok() {
                    self.retired.lock().unwrap().insert(guid);
                }
                Err(error)
            }
            Err(error) => {
                self.unwritten.lock().unwrap().insert(guid);
                Err(error)
            }
        }
    }

    async fn wait(&self, session: &Arc<dyn Session>, entries: &[EntryKey], random: &mut fastrand::Rng) -> Result<()> {
        let Some(own) = random.choice(entries) else { return Ok(()) };
        let Some(place) = session.place(&self.election, own).await? else { return Ok(()) };
        let mut watch = session.watch(&self.election, own, &place);
        let patience = Duration::from_millis(random.u64(1..8_000));
        while let Ok(event) = timeout(patience, watch.next()).await {
            self.seen.lock().unwrap().insert(format!("{event:?}"));
            match event {
                PlaceEvent::OwnGone => {
                    assert!(!self.stands(&own.name), "told that it went");
                    return Ok(());
                }
                PlaceEvent::AheadGone { .. } => {
                    assert!(!self.stands(&place.next.as_ref().unwrap().name), "told that the one ahead went");
                }
                PlaceEvent::Broken => return Ok(()),
            }
        }
        Ok(())
    }

    async fn remove(&self, session: &Arc<dyn Session>, own: &EntryKey) -> Result<()> {
        let removed = session.remove(&self.election, own).await;
        assert!(removed.is_err() || !self.stands(&own.name), "removed, and there");
        removed
    }

    /// Does one harm after another, for ever.
    async fn do_harm(&self, mut random: fastrand::Rng) {
        let faults = self.memory.faults();
        loop {
            sleep(Duration::from_millis(random.u64(1..3_000))).await;
            let link = faults.link(&random.usize(..CLIENTS).to_string());
            let most = Duration::from_millis(random.u64(1..1_500));
            match random.u8(..12) {
                0 | 1 => link.cut(),
                2 | 3 => link.heal(),
                4 => link.delay_requests(Duration::ZERO..=most),
                5 => link.delay_replies(Duration::ZERO..=most),
                6 => link.lose_requests(Loss::Percent(random.u8(..60))),
                7 => link.lose_replies(Loss::Percent(random.u8(..60))),
                8 => link.land_late(most * 10),
                9 => link.refuse(random.bool()),
                10 if random.bool() => link.reconnect(),
                10 => link.break_watches(),
                _ => {
                    faults.freeze();
                    sleep(most * 4).await;
                    faults.thaw();
                }
            }
            if random.u8(..8) == 0 {
                faults.repair();
            }
            self.check();
        }
    }

    /// After all harm is undone: whoever lives is proven alive, and nobody else's entry is left.
    async fn recover(&self) {
        self.memory.faults().repair();
        sleep(3 * TTL).await;
        self.check();
        for session in self.sessions.lock().unwrap().iter() {
            match &*session.life().borrow() {
                Life::Alive { deadline, suspended } => {
                    assert!(deadline.holds(self.memory.clock().now()) && suspended.is_none(), "{session:?}");
                }
                Life::Ended(_) => assert!(!self.memory.session_alive(session.id()), "{session:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_contract_holds_under_harm() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let world = World::new(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let parts = (0..CLIENTS).map(|client| {
            let client = world.memory.client_named(&client.to_string());
            world.take_part(client, random.fork())
        });
        let parts = join_all(parts.collect::<Vec<_>>());
        select(Box::pin(parts), Box::pin(world.do_harm(random.fork()))).await;
        world.recover().await;
        seen.append(&mut world.seen.lock().unwrap());
    }
    for expected in [
        "join None",
        "join Some(OutcomeUnknown)",
        "join Some(Unavailable)",
        "join Some(SessionGone)",
        "wait Some(Unavailable)",
        "remove Some(OutcomeUnknown)",
        "close Some(OutcomeUnknown)",
        "OwnGone",
        "AheadGone { unbroken: true }",
        "AheadGone { unbroken: false }",
        "Broken",
    ] {
        assert!(seen.contains(expected), "{expected} never happened: {seen:?}");
    }
}
