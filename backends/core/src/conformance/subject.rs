use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{Backend, ElectionName, EntryKey, SessionId};

/// What the suite certifies: an ensemble, reached through the backend under test.
///
/// Only [`connect`](Self::connect) is required. The other means let the suite do what no client can do by itself; what
/// it could not check without them it names.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new client of the ensemble. Each call gives another one, of the same ensemble.
    async fn connect(&self) -> Arc<dyn Backend>;

    /// The TTL to ask for: the least one with which the ensemble still runs reliably. 5 s by default.
    fn ttl(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// A new client that can be cut off from the ensemble, and what cuts it.
    async fn connect_cuttable(&self) -> Option<(Arc<dyn Backend>, Box<dyn Scissors>)> {
        None
    }

    /// Ends a session on the ensemble's side, as an operator does. `false`: there is no means to do that.
    async fn expire(&self, _session: SessionId) -> bool {
        false
    }

    /// Deletes an entry on the ensemble's side, as an operator does. `false`: there is no means to do that.
    async fn evict(&self, _election: &ElectionName, _entry: &EntryKey) -> bool {
        false
    }
}

/// Cuts one client off from the ensemble.
#[async_trait]
pub trait Scissors: Send + Sync {
    /// Nothing gets through any more, in either direction, when this returns.
    async fn cut(&self);

    /// Everything gets through again.
    async fn heal(&self);
}
