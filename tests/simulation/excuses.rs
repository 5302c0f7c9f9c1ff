//! What an operator takes away from a leader's back.

use std::{collections::BTreeMap, time::Duration};

use incumbent::{Token, core::Moment};

/// Entries that somebody deleted, by hand or with their session, while their owner could prove its session alive.
///
/// Until their owner hears of it, it may be valid beside its successor; that is a named non-guarantee, which only tokens
/// cover. It hears of it as soon as its way to the ensemble is whole.
pub(crate) struct Excuses {
    removed: BTreeMap<Token, (Moment, usize)>,
    /// Since when each client's link is whole; `None`: it is not.
    whole: Vec<Option<Moment>>,
    /// Since when the ensemble answers.
    thawed: Option<Moment>,
}

impl Excuses {
    pub(crate) fn new(clients: usize) -> Self {
        Self { removed: BTreeMap::new(), whole: vec![Some(Moment::ORIGIN); clients], thawed: Some(Moment::ORIGIN) }
    }

    pub(crate) fn removed(&mut self, token: Token, client: usize, now: Moment) {
        self.removed.entry(token).or_insert((now, client));
    }

    pub(crate) fn damaged(&mut self, client: usize) {
        self.whole[client] = None;
    }

    pub(crate) fn repaired(&mut self, client: usize, now: Moment) {
        self.whole[client].get_or_insert(now);
    }

    pub(crate) fn frozen(&mut self) {
        self.thawed = None;
    }

    pub(crate) fn thawed(&mut self, now: Moment) {
        self.thawed.get_or_insert(now);
    }

    /// Whether the owner of this token need not know yet that its entry is gone.
    pub(crate) fn excuse(&self, token: Token, now: Moment) -> bool {
        let Some((at, client)) = self.removed.get(&token) else { return false };
        match (self.whole[*client], self.thawed) {
            (Some(whole), Some(thawed)) => now.since(whole.max(thawed).max(*at)) < EVENT_DELAY,
            _ => true,
        }
    }
}

/// The longest way of an event that set out before a repair, and of one read that follows a timeout and its pause.
const EVENT_DELAY: Duration = Duration::from_secs(3);
