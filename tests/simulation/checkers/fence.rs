//! A resource that checks tokens takes the work of leaders in the order in which they led, and refuses no valid leader.

use incumbent::Token;

use super::{Term, Violation};

/// The resource, as its documentation says to build it.
#[derive(Default)]
pub(crate) struct Register {
    greatest: Option<Token>,
    /// The youngest term whose write was accepted.
    youngest: usize,
}

impl Register {
    pub(crate) fn write(&mut self, terms: &[Term], token: Token, excused: bool, violations: &mut Vec<Violation>) {
        if self.greatest.is_some_and(|greatest| token < greatest) {
            if !excused {
                let what = format!("the valid leader {token} was refused after {:?}", self.greatest);
                violations.push(Violation { invariant: "fence", what });
            }
            return;
        }
        let term = terms.iter().position(|term| term.view.token() == token).unwrap_or_default();
        if term < self.youngest {
            let what = format!("{token} was accepted after {}, who led later", terms[self.youngest].view.token());
            violations.push(Violation { invariant: "fence", what });
        }
        self.greatest = Some(token);
        self.youngest = term;
    }
}
