//! Tokens grow from grant to grant.

use incumbent::core::Moment;

use super::{Term, Violation};
use crate::excuses::Excuses;

pub(crate) fn granted(terms: &[Term], new: &Term, excuses: &Excuses, now: Moment, violations: &mut Vec<Violation>) {
    let token = new.view.token();
    let before = terms.iter().filter(|term| term.election == new.election).map(|term| term.view.token()).max();
    if before.is_some_and(|before| token <= before) && !excuses.excuse(token, now) {
        let what = format!("c{} leads with {token} after {before:?}", new.client);
        violations.push(Violation { invariant: "tokens", what });
    }
}
