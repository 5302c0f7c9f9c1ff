use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use incumbent_core::{
    ElectionName, EntryKey, Error, ErrorKind, Guid, Moment, Place, Result, Revision, SessionId, Token,
};
use tokio::sync::watch;

use crate::{
    queue::{Queue, Record, Seen},
    watch::{Fate, Watched},
};

/// The ensemble's state: sessions and queues under one count of revisions. It knows no client and no network.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    queues: BTreeMap<ElectionName, Queue>,
    /// Queues that became empty, oldest first: what is thrown away when there are too many.
    emptied: VecDeque<(Revision, ElectionName)>,
    /// The newest change of any queue that was thrown away.
    forgotten: Revision,
    sessions: BTreeMap<SessionId, Tenancy>,
    opened: u64,
    /// No session ends before.
    earliest_end: Moment,
    watched: Watched,
    /// How many changes each queue keeps.
    pub(crate) history: usize,
}

/// A session as the store keeps it.
#[derive(Debug)]
struct Tenancy {
    ttl: Duration,
    expires: Moment,
    entries: BTreeSet<(ElectionName, Token)>,
    retired: BTreeSet<(ElectionName, Guid)>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            revision: 0,
            queues: BTreeMap::new(),
            emptied: VecDeque::new(),
            forgotten: Revision::new(0),
            sessions: BTreeMap::new(),
            opened: 0,
            earliest_end: Moment::NEVER,
            watched: Watched::default(),
            history: HISTORY,
        }
    }

    /// Ends every session whose time is over; comes before each access.
    pub(crate) fn settle(&mut self, now: Moment) {
        if now < self.earliest_end {
            return;
        }
        let ends = self.sessions.iter().map(|(id, tenancy)| (tenancy.expires, *id));
        let over: BTreeSet<_> = ends.filter(|(expires, _)| *expires <= now).collect();
        for (_, id) in over {
            self.end(id, now);
        }
        self.earliest_end = self.sessions.values().map(|tenancy| tenancy.expires).min().unwrap_or(Moment::NEVER);
    }

    pub(crate) fn open(&mut self, ttl: Duration, now: Moment) -> SessionId {
        self.opened += 1;
        let id = SessionId::new(self.opened);
        let expires = now + ttl;
        self.sessions.insert(id, Tenancy { ttl, expires, entries: BTreeSet::new(), retired: BTreeSet::new() });
        self.earliest_end = self.earliest_end.min(expires);
        id
    }

    /// A heartbeat: the session's time begins anew.
    pub(crate) fn touch(&mut self, id: SessionId, now: Moment) -> Result<()> {
        let tenancy = self.tenancy(id, "keep the session")?;
        tenancy.expires = now + tenancy.ttl;
        Ok(())
    }

    /// What a change of the ensemble's leader does: every session's time begins anew.
    pub(crate) fn touch_all(&mut self, now: Moment) {
        for tenancy in self.sessions.values_mut() {
            tenancy.expires = now + tenancy.ttl;
        }
    }

    /// Ends a session and takes its entries. Says whether there was one.
    pub(crate) fn end(&mut self, id: SessionId, now: Moment) -> bool {
        let Some(tenancy) = self.sessions.remove(&id) else { return false };
        self.take(tenancy.entries, now);
        true
    }

    pub(crate) fn enqueue(
        &mut self,
        id: SessionId,
        election: &ElectionName,
        guid: Guid,
        payload: Arc<[u8]>,
        now: Moment,
    ) -> Result<(EntryKey, Place)> {
        let refused = |why: &str| Err(Error::new(ErrorKind::Refused, JOIN).on(election).because(why));
        let tenancy = self.tenancy(id, JOIN)?;
        if tenancy.retired.contains(&(election.clone(), guid)) {
            return refused("this name was retired; join under a new one");
        }
        let name = guid.to_string();
        if let Some(standing) = self.queue(election).and_then(|queue| queue.by_name(&name)) {
            if standing.session != Some(id) {
                return refused("the name belongs to another session's entry; join under a new one");
            }
            let key = standing.key.clone();
            let place = self.place_of(election, key.token);
            return Ok((key, place));
        }
        let key = self.insert(election, name.into(), payload, Some(id), now);
        let place = self.place_of(election, key.token);
        Ok((key, place))
    }

    /// Adds an entry under any name, with or without a session.
    pub(crate) fn insert(
        &mut self,
        election: &ElectionName,
        name: Arc<str>,
        payload: Arc<[u8]>,
        session: Option<SessionId>,
        now: Moment,
    ) -> EntryKey {
        let key = EntryKey { name, token: Token::new(self.advance().get()) };
        if let Some(tenancy) = session.and_then(|id| self.sessions.get_mut(&id)) {
            tenancy.entries.insert((election.clone(), key.token));
        }
        let forgotten = self.forgotten;
        let queue = self.queues.entry(election.clone()).or_insert_with(|| Queue::new(forgotten));
        queue.add(Record { key: key.clone(), session, payload }, now, self.history);
        key
    }

    pub(crate) fn place(&mut self, id: SessionId, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        self.tenancy(id, "read the place in")?;
        let record = self.queue(election).and_then(|queue| queue.by_key(own));
        let ours = record.is_some_and(|record| record.session == Some(id));
        Ok(ours.then(|| self.place_of(election, own.token)))
    }

    pub(crate) fn remove(&mut self, id: SessionId, election: &ElectionName, own: &EntryKey, now: Moment) -> Result<()> {
        self.tenancy(id, "resign from")?;
        if self.queue(election).and_then(|queue| queue.by_key(own)).is_some() {
            self.take([(election.clone(), own.token)], now);
        }
        Ok(())
    }

    pub(crate) fn retire(&mut self, id: SessionId, election: &ElectionName, guid: Guid, now: Moment) -> Result<()> {
        self.tenancy(id, "retire a name in")?.retired.insert((election.clone(), guid));
        let standing = self.queue(election).and_then(|queue| queue.by_name(&guid.to_string()));
        if let Some(record) = standing.filter(|record| record.session == Some(id)) {
            let token = record.key.token;
            self.take([(election.clone(), token)], now);
        }
        Ok(())
    }

    /// Deletes an entry whoever owns it. Says whether there was one.
    pub(crate) fn evict(&mut self, election: &ElectionName, name: &str, now: Moment) -> bool {
        let Some(record) = self.queue(election).and_then(|queue| queue.by_name(name)) else { return false };
        let token = record.key.token;
        self.take([(election.clone(), token)], now);
        true
    }

    pub(crate) fn list(&self, election: &ElectionName) -> incumbent_core::Queue {
        let entries = self.queue(election).into_iter().flat_map(Queue::entries).map(Record::entry).collect();
        incumbent_core::Queue { entries, revision: self.revision() }
    }

    pub(crate) fn elections(&self, prefix: &str) -> Vec<String> {
        let begun = self.queues.iter().filter(|(name, queue)| name.as_str().starts_with(prefix) && !queue.is_empty());
        begun.map(|(name, _)| name.to_string()).collect()
    }

    pub(crate) fn expiry(&self, id: SessionId) -> Option<Moment> {
        self.sessions.get(&id).map(|tenancy| tenancy.expires)
    }

    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision::new(self.revision)
    }

    /// The next revision, for something that happened.
    pub(crate) fn advance(&mut self) -> Revision {
        self.revision += 1;
        self.revision()
    }

    /// Registers a watch of an entry and of the one before it.
    pub(crate) fn watch_place(
        &mut self,
        election: &ElectionName,
        own: &EntryKey,
        ahead: Option<&incumbent_core::Ahead>,
        now: Moment,
    ) -> (Vec<Token>, watch::Receiver<Fate>) {
        let queue = self.queues.get(election);
        let own_stands = queue.is_some_and(|queue| queue.by_key(own).is_some());
        let ahead_stands = ahead.and_then(|ahead| {
            let key = &queue?.by_name(&ahead.name)?.key;
            ahead.token.is_none_or(|token| token == key.token).then_some(key.token)
        });
        let fate = Fate {
            own_gone: (!own_stands).then_some(now),
            ahead_gone: (ahead.is_some() && ahead_stands.is_none()).then_some(now),
        };
        let own = own_stands.then_some(own.token);
        (own.into_iter().chain(ahead_stands).collect(), self.watched.add(own, ahead_stands, fate))
    }

    /// The signal of changes of a queue.
    pub(crate) fn watch_queue(&mut self, election: &ElectionName) -> watch::Receiver<Revision> {
        let forgotten = self.forgotten;
        self.queues.entry(election.clone()).or_insert_with(|| Queue::new(forgotten)).subscribe()
    }

    /// A watch of this queue is about to go.
    pub(crate) fn unwatch_queue(&mut self, election: &ElectionName) {
        if let Some(queue) = self.queue(election).filter(|queue| queue.is_empty()) {
            self.emptied.push_back((queue.latest(), election.clone()));
            self.forget();
        }
    }

    pub(crate) fn unwatch_place(&mut self, entries: &[Token]) {
        self.watched.prune(entries);
    }

    pub(crate) fn change_after(&self, election: &ElectionName, revision: Revision) -> Seen<'_> {
        // A watched queue is never thrown away.
        self.queue(election).map_or(Seen::Forgotten, |queue| queue.after(revision))
    }

    /// Removes these entries together, and only then tells the watches: nobody sees a part of it.
    fn take(&mut self, entries: impl IntoIterator<Item = (ElectionName, Token)> + Clone, now: Moment) {
        for (election, token) in entries.clone() {
            let revision = self.advance();
            let Some(queue) = self.queues.get_mut(&election) else { continue };
            let owner = queue.remove(token, revision, now, self.history).and_then(|record| record.session);
            if queue.is_empty() {
                self.emptied.push_back((revision, election.clone()));
            }
            if let Some(tenancy) = owner.and_then(|id| self.sessions.get_mut(&id)) {
                tenancy.entries.remove(&(election, token));
            }
        }
        self.watched.tell(entries.into_iter().map(|(_, token)| token), now);
        self.forget();
    }

    fn forget(&mut self) {
        while self.emptied.len() > EMPTIED {
            let Some((revision, election)) = self.emptied.pop_front() else { break };
            if self.queue(&election).is_some_and(|queue| queue.is_idle() && queue.latest() == revision) {
                self.queues.remove(&election);
                self.forgotten = self.forgotten.max(revision);
            }
        }
    }

    fn tenancy(&mut self, id: SessionId, operation: &'static str) -> Result<&mut Tenancy> {
        let gone = || {
            Error::new(ErrorKind::SessionGone, operation)
                .on(format_args!("session {id}"))
                .because("the ensemble ended it; open a new one")
        };
        self.sessions.get_mut(&id).ok_or_else(gone)
    }

    fn queue(&self, election: &ElectionName) -> Option<&Queue> {
        self.queues.get(election)
    }

    fn place_of(&self, election: &ElectionName, token: Token) -> Place {
        match self.queue(election) {
            Some(queue) => queue.place(token, self.revision()),
            None => Place { next: None, ahead: 0, revision: self.revision() },
        }
    }
}

const JOIN: &str = "join";

/// Changes that each queue keeps by default: some seconds of a busy election, some 10 kB.
const HISTORY: usize = 256;

/// Empty queues that are kept, so that those who watch soon after miss nothing.
const EMPTIED: usize = 256;
