use clap::Args;
use incumbent::Entry;

use super::query::Query;
use crate::{
    args::Target,
    exit::{EXIT_CODES, Failure},
    output,
    record::Record,
};

/// Show who leads: id, token, and address if it advertises one.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Leader {
    #[command(flatten)]
    query: Query,
}

impl Leader {
    pub(crate) async fn run(self, target: &Target) -> Result<(), Failure> {
        let leader = self.query.ask(target, async |election| election.leader().await).await?;
        let record = leader.as_ref().map(|leader: &Entry| Record::new(0, leader));
        match &record {
            _ if self.query.json => output::answer_json(&record)?,
            Some(record) => output::answer(&record.leader_text())?,
            None => {}
        }
        if record.is_none() {
            return Err(Failure::NobodyLeads(self.query.election));
        }
        Ok(())
    }
}
