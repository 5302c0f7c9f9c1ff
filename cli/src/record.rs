//! A candidate as the answers show it.

use std::collections::BTreeMap;

use incumbent::Entry;
use serde::Serialize;

use crate::output::printable;

/// One candidate, in the JSON of all commands.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    /// Its place in the order of succession; 1 leads.
    pub(crate) position: usize,
    pub(crate) id: &'a str,
    pub(crate) token: u64,
    /// In hexadecimal, as the ensemble's own tools show it.
    pub(crate) session: Option<String>,
    pub(crate) address: Option<&'a str>,
    pub(crate) metadata: &'a BTreeMap<String, String>,
    /// Whether this SDK made the entry.
    pub(crate) ours: bool,
}

impl<'a> Record<'a> {
    pub(crate) fn new(index: usize, entry: &'a Entry) -> Self {
        Self {
            position: index + 1,
            id: &entry.profile.id,
            token: entry.key.token.get(),
            session: entry.session.map(|session| session.to_string()),
            address: entry.profile.address.as_deref(),
            metadata: &entry.profile.metadata,
            ours: entry.ours,
        }
    }

    /// The metadata in one line.
    pub(crate) fn metadata_text(&self) -> String {
        self.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }

    /// The leader in one line: id, token, address.
    pub(crate) fn leader_text(&self) -> String {
        let address = self.address.map(|address| format!(", at {address}")).unwrap_or_default();
        printable(&format!("{}, token {}{address}", self.id, self.token)).into_owned()
    }
}
