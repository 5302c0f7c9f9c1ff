use std::fmt;

use incumbent_core::{ElectionName, Entry, Result};

use crate::{Candidate, Ensemble, Observer};

/// A named election: at most one of its candidates leads.
#[derive(Clone)]
pub struct Election {
    ensemble: Ensemble,
    name: ElectionName,
    /// The name with its namespace, as the store has it.
    full: ElectionName,
}

impl Election {
    pub(crate) fn new(ensemble: Ensemble, name: ElectionName) -> Self {
        let full = ensemble.0.options.namespace.full(&name);
        Self { ensemble, name, full }
    }

    /// Its name, without the namespace.
    #[must_use]
    pub fn name(&self) -> &ElectionName {
        &self.name
    }

    /// Its ensemble.
    #[must_use]
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Somebody who can stand for it.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        Candidate::new(self.ensemble.clone(), self.full.clone())
    }

    /// Everybody who stands, in order of succession: the first leads. Read at the quorum.
    ///
    /// # Errors
    /// The ensemble cannot be reached or refuses the listing.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn candidates(&self) -> Result<Vec<Entry>> {
        Ok(self.ensemble.0.backend().list(&self.full).await?.entries)
    }

    /// Who leads, or `None`. Read at the quorum; may be outdated when it arrives, which only a fencing token can settle.
    ///
    /// # Errors
    /// The ensemble cannot be reached or refuses the listing.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn leader(&self) -> Result<Option<Entry>> {
        Ok(self.candidates().await?.into_iter().next())
    }

    /// Follows the election: a snapshot first, then each change.
    ///
    /// ```
    /// # use incumbent::Change;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> incumbent::Result<()> {
    /// # let ensemble = incumbent::connect("memory://").await?;
    /// let election = ensemble.election("billing/nightly-report")?;
    /// let mut observer = election.observe();
    /// assert!(matches!(observer.next().await?, Change::Snapshot(entries) if entries.is_empty()));
    ///
    /// let _leadership = election.candidate().advertise("http://10.0.0.7:8080").campaign().await?;
    /// while !matches!(observer.next().await?, Change::Leader(_)) {}
    /// let address = observer.current().and_then(|leader| leader.profile.address);
    /// assert_eq!(address.as_deref(), Some("http://10.0.0.7:8080"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn observe(&self) -> Observer {
        Observer::new(self.ensemble.clone(), self.full.clone())
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Election").field(&self.full).finish()
    }
}
