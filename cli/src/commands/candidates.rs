use clap::Args;
use incumbent::Entry;

use super::query::Query;
use crate::{
    args::Target,
    exit::{EXIT_CODES, Failure},
    output,
    record::Record,
    table::{self, Column},
};

/// List everybody who stands, in order of succession: the first leads.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Candidates {
    #[command(flatten)]
    query: Query,
}

impl Candidates {
    pub(crate) async fn run(self, target: &Target) -> Result<(), Failure> {
        let entries: Vec<Entry> = self.query.ask(target, async |election| election.candidates().await).await?;
        let records: Vec<Record<'_>> =
            entries.iter().enumerate().map(|(index, entry)| Record::new(index, entry)).collect();
        if self.query.json {
            output::answer_json(&records)?;
        } else {
            let rows: Vec<_> = records.iter().map(row).collect();
            output::answer(&table::lines(COLUMNS, &rows, output::width()).join("\n"))?;
        }
        if records.is_empty() {
            output::note(format!("nobody stands for {}", self.query.election));
        }
        Ok(())
    }
}

const COLUMNS: [Column; 7] = [
    Column { head: "#", shrinks: false },
    Column { head: "ID", shrinks: true },
    Column { head: "TOKEN", shrinks: false },
    Column { head: "SESSION", shrinks: false },
    Column { head: "ADDRESS", shrinks: true },
    Column { head: "METADATA", shrinks: true },
    Column { head: "BY", shrinks: false },
];

fn row(record: &Record<'_>) -> [String; 7] {
    [
        record.position.to_string(),
        record.id.to_owned(),
        record.token.to_string(),
        record.session.clone().unwrap_or_default(),
        record.address.unwrap_or_default().to_owned(),
        record.metadata_text(),
        if record.ours { "ours" } else { "foreign" }.to_owned(),
    ]
}
