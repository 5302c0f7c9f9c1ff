//! Whoever is valid stands at the head of the queue, in the store, at this very moment.

use incumbent::Entry;

use super::{Term, Violation};

pub(crate) fn look(leaders: &[&Term], queue: &[Entry], violations: &mut Vec<Violation>) {
    let head = queue.first().map(|entry| entry.key.token);
    for term in leaders.iter().filter(|term| head != Some(term.view.token())) {
        let Term { client, view, .. } = term;
        let what = format!("c{client} is valid with {} for {:?}, the head is {head:?}", view.token(), view.remaining());
        violations.push(Violation { invariant: "head", what });
    }
}
