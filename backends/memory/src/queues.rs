use std::collections::{BTreeMap, VecDeque};

use incumbent_core::{ElectionName, Revision};

use crate::queue::Queue;

/// The queues of all elections; those that nobody needs are thrown away, the longest empty ones first.
#[derive(Debug)]
pub(crate) struct Queues {
    by_name: BTreeMap<ElectionName, Queue>,
    /// Queues that became empty, and when: candidates to be thrown away.
    emptied: VecDeque<(Revision, ElectionName)>,
    /// The newest change of any queue that was thrown away.
    forgotten: Revision,
}

impl Queues {
    pub(crate) const fn new() -> Self {
        Self { by_name: BTreeMap::new(), emptied: VecDeque::new(), forgotten: Revision::new(0) }
    }

    pub(crate) fn get(&self, election: &ElectionName) -> Option<&Queue> {
        self.by_name.get(election)
    }

    pub(crate) fn get_mut(&mut self, election: &ElectionName) -> Option<&mut Queue> {
        self.by_name.get_mut(election)
    }

    /// The queue of an election, made if there is none.
    pub(crate) fn of(&mut self, election: &ElectionName) -> &mut Queue {
        let forgotten = self.forgotten;
        self.by_name.entry(election.clone()).or_insert_with(|| Queue::new(forgotten))
    }

    /// The names of those with entries.
    pub(crate) fn begun<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a ElectionName> {
        let named = self.by_name.iter().filter(move |(name, _)| name.as_str().starts_with(prefix));
        named.filter(|(_, queue)| !queue.is_empty()).map(|(name, _)| name)
    }

    /// Somebody left this queue, or watches it no more: if it is empty, it may be thrown away some day.
    pub(crate) fn left(&mut self, election: &ElectionName) {
        if let Some(queue) = self.get(election).filter(|queue| queue.is_empty()) {
            self.emptied.push_back((queue.latest(), election.clone()));
        }
        while self.emptied.len() > EMPTIED {
            let Some((revision, election)) = self.emptied.pop_front() else { break };
            if self.get(&election).is_some_and(|queue| queue.is_idle() && queue.latest() == revision) {
                self.by_name.remove(&election);
                self.forgotten = self.forgotten.max(revision);
            }
        }
    }
}

/// Empty queues that are kept, so that those who watch soon after miss nothing.
const EMPTIED: usize = 256;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use incumbent_core::{EntryKey, Moment, Token};

    use super::*;
    use crate::queue::{Record, Seen};

    fn name(number: usize) -> ElectionName {
        ElectionName::new(format!("election-{number}")).unwrap()
    }

    /// Somebody joins and leaves.
    fn visit(queues: &mut Queues, election: &ElectionName, revision: u64) {
        let key = EntryKey::new("visitor", Token::new(revision));
        let record = Record { key, session: None, payload: Arc::new([]) };
        queues.of(election).add(record, Moment::ORIGIN, 8);
        queues.get_mut(election).unwrap().remove(Token::new(revision), Revision::new(revision + 1), Moment::ORIGIN, 8);
        queues.left(election);
    }

    #[test]
    fn elections_that_came_and_went_do_not_pile_up() {
        let mut queues = Queues::new();
        let watched = queues.of(&name(0)).subscribe();
        for number in 0..10 * EMPTIED {
            visit(&mut queues, &name(number), 1 + 2 * number as u64);
        }
        assert_eq!(queues.by_name.len(), EMPTIED + 1);
        assert!(queues.get(&name(0)).is_some(), "one that is watched stays");
        drop(watched);
        queues.left(&name(0));
        for number in 0..EMPTIED {
            visit(&mut queues, &name(10 * EMPTIED), 10_000 + 2 * number as u64);
        }
        assert!(queues.get(&name(0)).is_none());
    }

    #[test]
    fn what_was_thrown_away_is_not_taken_for_nothing() {
        let mut queues = Queues::new();
        for number in 0..2 * EMPTIED {
            visit(&mut queues, &name(number), 1 + 2 * number as u64);
        }
        assert!(matches!(queues.of(&name(0)).after(Revision::new(0)), Seen::Forgotten));
        assert!(matches!(queues.of(&name(0)).after(Revision::new(u64::MAX)), Seen::Nothing));
    }
}
