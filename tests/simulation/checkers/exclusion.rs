//! At every moment at most one leadership of an election is valid.

use incumbent::core::Moment;

use super::{Term, Violation};

/// `leaders` are those that are valid at `now`.
pub(crate) fn look(leaders: &[&Term], now: Moment, violations: &mut Vec<Violation>) {
    if leaders.len() > 1 {
        let who: Vec<_> = leaders
            .iter()
            .map(|term| format!("c{} with {} for {:?}", term.client, term.view.token(), term.view.remaining()))
            .collect();
        violations.push(Violation { invariant: "exclusion", what: format!("two lead at {now:?}: {}", who.join(", ")) });
    }
}
