use std::sync::Arc;

use incumbent_core::{ElectionName, EntryKey, Error, ErrorKind, Result, SessionId};

use crate::{Link, ensemble::Ensemble};

/// What can go wrong with a whole ensemble, and what its operators can do to it.
///
/// What goes wrong between it and one client is that client's [`Link`].
#[derive(Clone, Debug)]
pub struct Faults(Arc<Ensemble>);

impl Faults {
    pub(crate) fn new(ensemble: Arc<Ensemble>) -> Self {
        Self(ensemble)
    }

    /// Stops the ensemble: nothing is done, no session expires, requests wait.
    pub fn freeze(&self) {
        self.0.freeze();
    }

    /// Lets it go on: what waited is done now, and the time of every session begins anew, as in etcd and ZooKeeper when
    /// the ensemble changes its leader.
    pub fn thaw(&self) {
        self.0.thaw();
    }

    /// Ends a session before its time, as `etcdctl lease revoke` does. Says whether there was one.
    ///
    /// No deadline on the client's side survives that: its leader learns of it from its own entry, or its next heartbeat.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn expire(&self, session: SessionId) -> bool {
        self.0.apply(|store, now| store.end(session, now))
    }

    /// Deletes an entry, as an operator does by hand. Says whether there was one.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn evict(&self, election: &ElectionName, name: &str) -> bool {
        self.0.apply(|store, now| store.evict(election, name, now))
    }

    /// Adds an entry as some other library does: any name, any bytes, with a session or, if `None`, for ever.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if the name stands already; [`ErrorKind::SessionGone`] if there is no such session.
    pub fn insert_foreign(
        &self,
        election: &ElectionName,
        name: &str,
        payload: impl Into<Vec<u8>>,
        session: Option<SessionId>,
    ) -> Result<EntryKey> {
        let failed = |kind, why: &str| Err(Error::new(kind, "insert an entry in").on(election).because(why));
        self.0.apply(|store, now| {
            if session.is_some_and(|id| store.expiry(id).is_none()) {
                return failed(ErrorKind::SessionGone, "there is no such session");
            }
            if store.list(election).entries.iter().any(|entry| *entry.key.name == *name) {
                return failed(ErrorKind::Refused, "the name stands already");
            }
            Ok(store.insert(election, name.into(), payload.into().into(), session, now))
        })
    }

    /// The link of a client, by name.
    #[must_use]
    pub fn link(&self, client: &str) -> Link {
        self.0.link(client)
    }

    /// The links of all clients there ever were.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.0.links()
    }

    /// Begins the random choices of every link there is anew.
    pub fn seed(&self, seed: u64) {
        for link in self.0.links() {
            link.seed(seed);
        }
    }

    /// Takes back everything that can be: repairs every link and thaws the ensemble.
    pub fn repair(&self) {
        for link in self.0.links() {
            link.repair();
        }
        self.thaw();
    }
}
