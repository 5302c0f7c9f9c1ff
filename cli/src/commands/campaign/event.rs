//! The lines that a campaign writes.

use std::time::{Duration, SystemTime};

use incumbent::ElectionName;
use serde::Serialize;

use crate::{
    exit::Failure,
    output::{self, printable},
    record::Record,
};

/// What happened, in the words of the answer.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event<'a> {
    Joining,
    Waiting { ahead: usize },
    Leading { token: u64, remaining_ms: u64 },
    Suspended { token: u64, remaining_ms: u64, reason: String },
    Confirmed { token: u64, remaining_ms: u64 },
    Lost { token: u64, reason: String },
    Resigned { token: u64 },
    Rejoining { reason: String },
    Troubled { reason: String },
    Leader { leader: Option<Record<'a>> },
}

/// Where the lines go, and what they have in common.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) json: bool,
    pub(crate) election: ElectionName,
    pub(crate) candidate: String,
}

#[derive(Serialize)]
struct Line<'a> {
    at: u64,
    #[serde(flatten)]
    event: &'a Event<'a>,
    election: &'a str,
    candidate: &'a str,
}

impl Lines {
    pub(crate) fn write(&self, event: &Event<'_>) -> Result<(), Failure> {
        let at = millis(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
        if self.json {
            let (election, candidate) = (self.election.as_str(), self.candidate.as_str());
            return output::answer_json(&Line { at, event, election, candidate });
        }
        let (word, detail) = self.text(event);
        output::answer(printable(&format!("{at} {word:<9} {detail}")).trim_end())
    }

    fn text(&self, event: &Event<'_>) -> (&'static str, String) {
        let valid = |millis: &u64| format!("valid for {:.1?}", Duration::from_millis(*millis));
        match event {
            Event::Joining => ("joining", format!("{} as {}", self.election, self.candidate)),
            // Beyond two, the SDK does not count.
            Event::Waiting { ahead } => {
                ("waiting", format!("{ahead}{} ahead", if *ahead > 2 { " or more" } else { "" }))
            }
            Event::Leading { token, remaining_ms } => ("leading", format!("token {token}, {}", valid(remaining_ms))),
            Event::Suspended { token, remaining_ms, reason } => {
                ("suspended", format!("token {token}, {}: {reason}", valid(remaining_ms)))
            }
            Event::Confirmed { token, remaining_ms } => {
                ("confirmed", format!("token {token}, {}", valid(remaining_ms)))
            }
            Event::Lost { token, reason } => ("lost", format!("token {token}: {reason}")),
            Event::Resigned { token } => ("resigned", format!("token {token}")),
            Event::Rejoining { reason } => ("rejoining", reason.clone()),
            Event::Troubled { reason } => ("troubled", reason.clone()),
            Event::Leader { leader: Some(leader) } => ("leader", leader.leader_text()),
            Event::Leader { leader: None } => ("leader", "nobody".into()),
        }
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
