use std::{sync::Arc, time::Duration};

use incumbent_core::{
    Ahead, ElectionName, EntryKey, Error, ErrorKind, Guid, Moment, Place, Result, Revision, SessionId, Token,
};
use tokio::sync::watch;

use crate::{
    place_watch::{Fate, Watched},
    queue::{Queue, Record, Seen},
    queues::Queues,
    tenancy::Tenancies,
};

/// The ensemble's state: sessions and queues under one count of revisions. It knows no client and no network.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    queues: Queues,
    sessions: Tenancies,
    watched: Watched,
    /// How many changes each queue keeps.
    pub(crate) history: usize,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            revision: 0,
            queues: Queues::new(),
            sessions: Tenancies::new(),
            watched: Watched::default(),
            history: HISTORY,
        }
    }

    /// Ends every session whose time is over; comes before each access.
    pub(crate) fn settle(&mut self, now: Moment) {
        for id in self.sessions.over(now) {
            self.end(id, now);
        }
    }

    pub(crate) fn open(&mut self, ttl: Duration, now: Moment) -> SessionId {
        self.sessions.open(ttl, now)
    }

    /// A heartbeat: the session's time begins anew.
    pub(crate) fn touch(&mut self, id: SessionId, now: Moment) -> Result<()> {
        self.sessions.touch(id, now)
    }

    /// What a change of the ensemble's leader does: every session's time begins anew.
    pub(crate) fn touch_all(&mut self, now: Moment) {
        self.sessions.touch_all(now);
    }

    /// Ends a session and takes its entries. Says whether there was one.
    pub(crate) fn end(&mut self, id: SessionId, now: Moment) -> bool {
        let Some(tenancy) = self.sessions.end(id) else { return false };
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
        if self.sessions.of(id, JOIN)?.retired.contains(&(election.clone(), guid)) {
            return refused("this name was retired; join under a new one");
        }
        let name = guid.to_string();
        let key = match self.queues.get(election).and_then(|queue| queue.by_name(&name)) {
            Some(standing) if standing.session == Some(id) => standing.key.clone(),
            Some(_) => return refused("the name belongs to another session's entry; join under a new one"),
            None => self.insert(election, name.into(), payload, Some(id), now),
        };
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
        if let Some(tenancy) = session.and_then(|id| self.sessions.find(id)) {
            tenancy.entries.insert((election.clone(), key.token));
        }
        self.queues.of(election).add(Record { key: key.clone(), session, payload }, now, self.history);
        key
    }

    pub(crate) fn place(&mut self, id: SessionId, election: &ElectionName, own: &EntryKey) -> Result<Option<Place>> {
        self.sessions.of(id, "read the place in")?;
        let record = self.queues.get(election).and_then(|queue| queue.by_key(own));
        let ours = record.is_some_and(|record| record.session == Some(id));
        Ok(ours.then(|| self.place_of(election, own.token)))
    }

    pub(crate) fn remove(&mut self, id: SessionId, election: &ElectionName, own: &EntryKey, now: Moment) -> Result<()> {
        self.sessions.of(id, "resign from")?;
        if self.queues.get(election).and_then(|queue| queue.by_key(own)).is_some() {
            self.take([(election.clone(), own.token)], now);
        }
        Ok(())
    }

    pub(crate) fn retire(&mut self, id: SessionId, election: &ElectionName, guid: Guid, now: Moment) -> Result<()> {
        self.sessions.of(id, "retire a name in")?.retired.insert((election.clone(), guid));
        let standing = self.queues.get(election).and_then(|queue| queue.by_name(&guid.to_string()));
        if let Some(record) = standing.filter(|record| record.session == Some(id)) {
            let token = record.key.token;
            self.take([(election.clone(), token)], now);
        }
        Ok(())
    }

    /// Deletes an entry whoever owns it. Says whether there was one.
    pub(crate) fn evict(&mut self, election: &ElectionName, name: &str, now: Moment) -> bool {
        let Some(record) = self.queues.get(election).and_then(|queue| queue.by_name(name)) else { return false };
        let token = record.key.token;
        self.take([(election.clone(), token)], now);
        true
    }

    pub(crate) fn list(&self, election: &ElectionName) -> incumbent_core::Queue {
        let entries = self.queues.get(election).into_iter().flat_map(Queue::entries).map(Record::entry).collect();
        incumbent_core::Queue { entries, revision: self.revision() }
    }

    pub(crate) fn elections(&self, prefix: &str) -> Vec<String> {
        self.queues.begun(prefix).map(ToString::to_string).collect()
    }

    pub(crate) fn expiry(&self, id: SessionId) -> Option<Moment> {
        self.sessions.expiry(id)
    }

    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        self.sessions.ids()
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision::new(self.revision)
    }

    /// The next revision, for something that happened.
    pub(crate) fn advance(&mut self) -> Revision {
        self.revision += 1;
        self.revision()
    }

    /// Registers a watch of an entry and of the one before it; says also which of their tokens it waits for.
    pub(crate) fn watch_place(
        &mut self,
        election: &ElectionName,
        own: &EntryKey,
        ahead: Option<&Ahead>,
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

    /// Forgets the watches of these entries that nobody holds any more.
    pub(crate) fn unwatch_place(&mut self, entries: &[Token]) {
        self.watched.prune(entries);
    }

    /// The signal of changes of a queue.
    pub(crate) fn watch_queue(&mut self, election: &ElectionName) -> watch::Receiver<Revision> {
        self.queues.of(election).subscribe()
    }

    /// A watch of this queue is gone.
    pub(crate) fn unwatch_queue(&mut self, election: &ElectionName) {
        self.queues.left(election);
    }

    pub(crate) fn change_after(&self, election: &ElectionName, revision: Revision) -> Seen<'_> {
        // A queue that is watched is never thrown away.
        self.queues.get(election).map_or(Seen::Forgotten, |queue| queue.after(revision))
    }

    /// Removes these entries together, and only then tells the watches: nobody sees a part of it.
    fn take(&mut self, entries: impl IntoIterator<Item = (ElectionName, Token)>, now: Moment) {
        let mut taken = Vec::new();
        for (election, token) in entries {
            let revision = self.advance();
            let Some(queue) = self.queues.get_mut(&election) else { continue };
            let owner = queue.remove(token, revision, now, self.history).and_then(|record| record.session);
            self.queues.left(&election);
            if let Some(tenancy) = owner.and_then(|id| self.sessions.find(id)) {
                tenancy.entries.remove(&(election, token));
            }
            taken.push(token);
        }
        self.watched.tell(taken, now);
    }

    fn place_of(&self, election: &ElectionName, token: Token) -> Place {
        let revision = self.revision();
        match self.queues.get(election) {
            Some(queue) => queue.place(token, revision),
            None => Place { next: None, ahead: 0, revision },
        }
    }
}

const JOIN: &str = "join";

/// Changes that each queue keeps by default: some seconds of a busy election, some 10 kB.
const HISTORY: usize = 256;
