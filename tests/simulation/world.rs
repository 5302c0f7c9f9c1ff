//! What clients, nemesis and checkers share.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use incumbent::{
    ElectionName, LeadershipView, Token,
    core::{Backend, Moment},
};
use incumbent_memory::Memory;

use crate::{
    checkers::{Term, Violation, exclusion, fence::Register, finality, head, observed::Picture, tokens},
    excuses::Excuses,
};

pub(crate) struct World {
    /// A client of its own, whom no fault touches: it tells what is true in the store.
    pub(crate) oracle: Memory,
    elections: Vec<ElectionName>,
    begun: Moment,
    inner: Mutex<Inner>,
}

struct Inner {
    terms: Vec<Term>,
    registers: Vec<Register>,
    /// What each client's observer of each election has been told.
    pictures: BTreeMap<(usize, usize), Picture>,
    excuses: Excuses,
    violations: Vec<Violation>,
    log: Vec<String>,
    /// No candidate steps down by itself any more.
    settled: bool,
}

impl World {
    pub(crate) fn new(oracle: Memory, elections: &[&str], clients: usize) -> Self {
        let elections: Vec<_> = elections.iter().map(|name| ElectionName::new(name).unwrap()).collect();
        let inner = Inner {
            terms: Vec::new(),
            registers: elections.iter().map(|_| Register::default()).collect(),
            pictures: BTreeMap::new(),
            excuses: Excuses::new(clients),
            violations: Vec::new(),
            log: Vec::new(),
            settled: false,
        };
        Self { begun: oracle.clock().now(), oracle, elections, inner: Mutex::new(inner) }
    }

    pub(crate) fn elections(&self) -> &[ElectionName] {
        &self.elections
    }

    pub(crate) fn now(&self) -> Moment {
        self.oracle.clock().now()
    }

    /// Somebody begins to lead. Validity has no gaps, so two terms overlap only if the elder is valid when the younger
    /// begins: looking at this very moment finds every overlap.
    pub(crate) fn granted(&self, client: usize, election: usize, view: &LeadershipView) {
        self.note(format_args!("c{client} leads {} with {}", self.elections[election], view.token()));
        let term = Term { client, election, view: view.clone(), valid: true };
        let now = self.now();
        let mut inner = self.lock();
        let Inner { terms, excuses, violations, .. } = &mut *inner;
        tokens::granted(terms, &term, excuses, now, violations);
        terms.push(term);
        drop(inner);
        self.look();
    }

    /// Every invariant that can be seen from outside, at this moment.
    pub(crate) fn look(&self) {
        let now = self.now();
        let mut inner = self.lock();
        let Inner { terms, excuses, violations, .. } = &mut *inner;
        let valid = finality::look(terms, violations);
        let leaders: Vec<_> = valid.into_iter().filter(|term| !excuses.excuse(term.view.token(), now)).collect();
        for (number, election) in self.elections.iter().enumerate() {
            let leaders: Vec<_> = leaders.iter().copied().filter(|term| term.election == number).collect();
            exclusion::look(&leaders, now, violations);
            if !leaders.is_empty() {
                head::look(&leaders, &self.oracle.queue_now(election), violations);
            }
        }
    }

    /// A step of a leader's work: it looks whether it may, and writes to the resource.
    pub(crate) fn act(&self, election: usize, view: &LeadershipView) {
        if view.is_valid() {
            self.write(election, view.token(), true);
        }
    }

    /// A write arrives at the resource, perhaps from somebody who looked long ago.
    pub(crate) fn write(&self, election: usize, token: Token, valid: bool) {
        let now = self.now();
        let mut inner = self.lock();
        let Inner { terms, registers, excuses, violations, .. } = &mut *inner;
        let excused = !valid || excuses.excuse(token, now);
        registers[election].write(terms, token, excused, violations);
    }

    /// Whether somebody leads now.
    pub(crate) fn is_led(&self, election: usize) -> bool {
        self.lock().terms.iter().any(|term| term.election == election && term.view.is_valid())
    }

    pub(crate) fn violated(&self, invariant: &'static str, what: impl fmt::Display) {
        self.note(format_args!("BROKEN {invariant}: {what}"));
        self.lock().violations.push(Violation { invariant, what: what.to_string() });
    }

    pub(crate) fn note(&self, what: impl fmt::Display) {
        let at = self.since_begin();
        self.lock().log.push(format!("{:8.3} {what}", at.as_secs_f64()));
    }

    pub(crate) fn excuses<T>(&self, change: impl FnOnce(&mut Excuses, Moment) -> T) -> T {
        let now = self.now();
        change(&mut self.lock().excuses, now)
    }

    pub(crate) fn pictures<T>(&self, change: impl FnOnce(&mut BTreeMap<(usize, usize), Picture>) -> T) -> T {
        change(&mut self.lock().pictures)
    }

    pub(crate) fn settle(&self) {
        self.lock().settled = true;
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.lock().settled
    }

    pub(crate) fn into_parts(self: Arc<Self>) -> (Vec<Violation>, usize, Vec<String>) {
        let mut inner = self.lock();
        (std::mem::take(&mut inner.violations), inner.terms.len(), std::mem::take(&mut inner.log))
    }

    fn since_begin(&self) -> Duration {
        self.now().since(self.begun)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}
