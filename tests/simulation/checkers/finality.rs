//! A leadership that was seen invalid once is never valid again.

use super::{Term, Violation};

/// Gives back those that are valid now.
pub(crate) fn look<'a>(terms: &'a mut [Term], violations: &mut Vec<Violation>) -> Vec<&'a Term> {
    let recent = terms.len().saturating_sub(RECENT);
    // What has long been over is looked at no more.
    for (_, term) in terms.iter_mut().enumerate().filter(|(number, term)| term.valid || *number >= recent) {
        let valid = term.view.is_valid();
        if valid && !term.valid {
            let what = format!("c{} is valid again with {}", term.client, term.view.token());
            violations.push(Violation { invariant: "finality", what });
        }
        term.valid = valid;
    }
    terms.iter().filter(|term| term.valid).collect()
}

const RECENT: usize = 12;
