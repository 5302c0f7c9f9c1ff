use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use incumbent_core::{Ahead, Entry, EntryKey, Guid, Moment, Place, Profile, QueueEvent, Revision, SessionId, Token};
use tokio::sync::watch;

/// One election: its entries in order, and the last changes.
#[derive(Debug)]
pub(crate) struct Queue {
    entries: BTreeMap<Token, Record>,
    names: BTreeMap<Arc<str>, Token>,
    log: VecDeque<Change>,
    /// The newest change that is in the log no more.
    forgotten: Revision,
    /// The newest change; wakes the watches of this queue.
    changed: watch::Sender<Revision>,
}

/// An entry as the store keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: EntryKey,
    pub(crate) session: Option<SessionId>,
    pub(crate) payload: Arc<[u8]>,
}

/// One change of a queue, and when it happened.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: Revision,
    pub(crate) at: Moment,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Joined(Record),
    Left(Arc<str>),
}

impl Queue {
    /// An empty queue that remembers nothing of what was up to `forgotten`.
    pub(crate) fn new(forgotten: Revision) -> Self {
        Self {
            entries: BTreeMap::new(),
            names: BTreeMap::new(),
            log: VecDeque::new(),
            forgotten,
            changed: watch::Sender::new(forgotten),
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Record> {
        self.entries.values()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Record> {
        self.entries.get(self.names.get(name)?)
    }

    pub(crate) fn by_key(&self, key: &EntryKey) -> Option<&Record> {
        self.entries.get(&key.token).filter(|record| record.key.name == key.name)
    }

    pub(crate) fn place(&self, token: Token, revision: Revision) -> Place {
        let ahead = || self.entries.range(..token).rev().map(|(_, record)| &record.key);
        Place {
            next: ahead().next().map(|key| Ahead { name: Arc::clone(&key.name), token: Some(key.token) }),
            ahead: ahead().take(COUNTED).count(),
            revision,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it can be thrown away without anybody missing anything but history.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && self.changed.receiver_count() == 0
    }

    pub(crate) fn latest(&self) -> Revision {
        *self.changed.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Revision> {
        self.changed.subscribe()
    }

    /// Adds an entry at the end: its token is greater than every other.
    pub(crate) fn add(&mut self, record: Record, at: Moment, history: usize) {
        let revision = Revision::new(record.key.token.get());
        self.names.insert(Arc::clone(&record.key.name), record.key.token);
        self.entries.insert(record.key.token, record.clone());
        self.note(Change { revision, at, what: What::Joined(record) }, history);
    }

    /// Removes an entry, at that revision.
    pub(crate) fn remove(&mut self, token: Token, revision: Revision, at: Moment, history: usize) -> Option<Record> {
        let record = self.entries.remove(&token)?;
        self.names.remove(&record.key.name);
        self.note(Change { revision, at, what: What::Left(Arc::clone(&record.key.name)) }, history);
        Some(record)
    }

    /// The first change after `revision`.
    pub(crate) fn after(&self, revision: Revision) -> Seen<'_> {
        if revision < self.forgotten {
            return Seen::Forgotten;
        }
        let next = self.log.partition_point(|change| change.revision <= revision);
        self.log.get(next).map_or(Seen::Nothing, Seen::Change)
    }

    fn note(&mut self, change: Change, history: usize) {
        let revision = change.revision;
        self.log.push_back(change);
        while self.log.len() > history {
            if let Some(dropped) = self.log.pop_front() {
                self.forgotten = dropped.revision;
            }
        }
        self.changed.send_replace(revision);
    }
}

/// What comes next in a queue's log.
pub(crate) enum Seen<'a> {
    Change(&'a Change),
    Nothing,
    Forgotten,
}

impl Change {
    pub(crate) fn event(&self) -> QueueEvent {
        match &self.what {
            What::Joined(record) => QueueEvent::Joined(record.entry()),
            What::Left(name) => QueueEvent::Left(Arc::clone(name)),
        }
    }
}

impl Record {
    pub(crate) fn entry(&self) -> Entry {
        Entry {
            key: self.key.clone(),
            session: self.session,
            profile: Profile::decode(&self.payload),
            ours: Guid::parse(&self.key.name).is_some(),
        }
    }
}

/// How far a place counts, as its contract says.
const COUNTED: usize = 2;
