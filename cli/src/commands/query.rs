use std::time::Duration;

use clap::Args;
use incumbent::{Election, Options};

use crate::{
    args::{Target, duration},
    exit::Failure,
};

/// What the commands that ask once have in common.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The election's name, such as billing/nightly-report
    #[arg(value_name = "ELECTION")]
    pub(crate) election: String,
    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
}

impl Query {
    /// Connects, and puts a question to the election.
    pub(crate) async fn ask<T, F>(
        &self,
        target: &Target,
        question: impl FnOnce(Election) -> F + Send,
    ) -> Result<T, Failure>
    where
        F: Future<Output = incumbent::Result<T>> + Send,
        T: Send,
    {
        // Connecting ends a little earlier, since it can say which member answered what.
        let options = Options::new().connect_timeout(self.timeout.mul_f64(0.9));
        let answer = async {
            let name = incumbent::ElectionName::new(&self.election)?;
            let ensemble = target.connect(options, &[]).await?;
            Ok(question(ensemble.election(name)?).await?)
        };
        let late = || {
            Failure::Ensemble(format!(
                "could not read the election {}: no answer within {:?}; check that a majority of the members runs and can \
                 be reached, or raise --timeout",
                self.election, self.timeout
            ))
        };
        tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(|_| Err(late()))
    }
}
