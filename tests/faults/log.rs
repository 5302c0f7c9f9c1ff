//! What the candidates said, and what must be true of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// One term as its holder believed in it: it may have acted at any moment from `from` to `to`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) token: u64,
    pub(crate) process: usize,
    /// Boot clock, in nanoseconds.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Whether the holder said that it is over.
    pub(crate) over: bool,
    /// Whether the holder was killed or stopped, and has not been heard of since: it may still believe, but does nothing.
    pub(crate) abandoned: bool,
}

/// All terms, by token and process.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<BTreeMap<(u64, usize), Term>>>);

impl Log {
    /// Takes in a line of a process.
    pub(crate) fn take(&self, process: usize, line: &str) {
        let Some(line) = line.strip_prefix('@') else { return };
        let fields: Vec<_> = line.split(' ').collect();
        let [what, token, now, until] = fields[..] else { panic!("a torn line: {line:?}") };
        let [token, now, until] = [token, now, until].map(|field| field.parse::<u64>().expect("a number"));
        let mut terms = self.0.lock().unwrap();
        match what {
            "G" => {
                let term = Term { token, process, from: now, to: until, over: false, abandoned: false };
                assert!(terms.insert((token, process), term).is_none(), "token {token} was granted twice");
            }
            "V" => {
                let term = terms.get_mut(&(token, process)).expect("granted before");
                (term.to, term.abandoned) = (until, false);
            }
            "O" => {
                let term = terms.get_mut(&(token, process)).expect("granted before");
                term.to = term.to.min(now);
                term.over = true;
            }
            other => panic!("an unknown line: {other:?}"),
        }
    }

    pub(crate) fn terms(&self) -> Vec<Term> {
        self.0.lock().unwrap().values().copied().collect()
    }

    /// The process was killed or stopped.
    pub(crate) fn abandon(&self, process: usize) {
        for term in self.0.lock().unwrap().values_mut().filter(|term| term.process == process) {
            term.abandoned = true;
        }
    }

    /// The term that a running process holds at `now`.
    pub(crate) fn holder(&self, now: u64) -> Option<Term> {
        self.terms().into_iter().find(|term| !term.over && !term.abandoned && term.to > now)
    }
}

/// No two terms overlap, and tokens grow from term to term. Returns the shortest time between two terms of which the
/// first was not ended by its holder: how close it came.
pub(crate) fn check(terms: &[Term]) -> Option<Duration> {
    let mut in_time = terms.to_vec();
    in_time.sort_by_key(|term| term.from);
    let mut closest = None;
    for pair in in_time.windows(2) {
        let [before, after] = pair else { unreachable!() };
        assert!(before.to <= after.from, "two valid leaders: {before:?} and {after:?}");
        assert!(before.token < after.token, "tokens do not grow: {before:?} and {after:?}");
        if !before.over {
            let gap = Duration::from_nanos(after.from - before.to);
            closest = Some(closest.map_or(gap, |closest: Duration| closest.min(gap)));
        }
    }
    closest
}

#[test]
#[should_panic(expected = "two valid leaders")]
fn an_overlap_is_found() {
    let term = Term { token: 1, process: 0, from: 10, to: 20, over: false, abandoned: false };
    check(&[term, Term { token: 2, process: 1, from: 19, to: 30, over: false, abandoned: false }]);
}

#[test]
#[should_panic(expected = "tokens do not grow")]
fn a_token_that_goes_back_is_found() {
    let term = Term { token: 2, process: 0, from: 10, to: 20, over: false, abandoned: false };
    check(&[term, Term { token: 1, process: 1, from: 21, to: 30, over: false, abandoned: false }]);
}
