use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use incumbent_core::{ElectionName, Error, ErrorKind, Guid, Moment, Result, SessionId, Token};

/// The sessions that live in the store.
#[derive(Debug)]
pub(crate) struct Tenancies {
    living: BTreeMap<SessionId, Tenancy>,
    opened: u64,
    /// No session ends before; looking further is needed only then.
    earliest_end: Moment,
}

/// A session as the store keeps it.
#[derive(Debug)]
pub(crate) struct Tenancy {
    ttl: Duration,
    expires: Moment,
    pub(crate) entries: BTreeSet<(ElectionName, Token)>,
    pub(crate) retired: BTreeSet<(ElectionName, Guid)>,
}

impl Tenancies {
    pub(crate) const fn new() -> Self {
        Self { living: BTreeMap::new(), opened: 0, earliest_end: Moment::NEVER }
    }

    pub(crate) fn open(&mut self, ttl: Duration, now: Moment) -> SessionId {
        self.opened += 1;
        let (id, expires) = (SessionId::new(self.opened), now + ttl);
        self.living.insert(id, Tenancy { ttl, expires, entries: BTreeSet::new(), retired: BTreeSet::new() });
        self.earliest_end = self.earliest_end.min(expires);
        id
    }

    /// The sessions whose time is over, in the order of their ends.
    pub(crate) fn over(&mut self, now: Moment) -> impl Iterator<Item = SessionId> + use<> {
        let mut over = BTreeSet::new();
        if now >= self.earliest_end {
            let ends = || self.living.iter().map(|(id, tenancy)| (tenancy.expires, *id));
            over.extend(ends().filter(|(expires, _)| *expires <= now));
            let left = ends().map(|(expires, _)| expires).filter(|expires| *expires > now);
            self.earliest_end = left.min().unwrap_or(Moment::NEVER);
        }
        over.into_iter().map(|(_, id)| id)
    }

    pub(crate) fn touch(&mut self, id: SessionId, now: Moment) -> Result<()> {
        let tenancy = self.of(id, "keep")?;
        tenancy.expires = now + tenancy.ttl;
        Ok(())
    }

    pub(crate) fn touch_all(&mut self, now: Moment) {
        for tenancy in self.living.values_mut() {
            tenancy.expires = now + tenancy.ttl;
        }
    }

    pub(crate) fn end(&mut self, id: SessionId) -> Option<Tenancy> {
        self.living.remove(&id)
    }

    pub(crate) fn find(&mut self, id: SessionId) -> Option<&mut Tenancy> {
        self.living.get_mut(&id)
    }

    /// The session that does something, if it lives.
    pub(crate) fn of(&mut self, id: SessionId, operation: &'static str) -> Result<&mut Tenancy> {
        let gone = || {
            Error::new(ErrorKind::SessionGone, operation)
                .on(format_args!("session {id}"))
                .because("the ensemble ended it; open a new one")
        };
        self.living.get_mut(&id).ok_or_else(gone)
    }

    pub(crate) fn expiry(&self, id: SessionId) -> Option<Moment> {
        self.living.get(&id).map(|tenancy| tenancy.expires)
    }

    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.living.keys().copied().collect()
    }
}
