//! The conformance suite: certifies a backend, one named case for each clause of the contract.
//!
//! Clauses stand in the docs of [`Session`](crate::Session) and [`Backend`](crate::Backend). Implement [`Subject`] for
//! what gives clients of an ensemble of yours, and call [`run_all`] from a test; or make a test of each of [`cases`].
//!
//! Cases run side by side on one ensemble, each in elections of its own with random names, and close what they open.
//! All of them take some five times the subject's TTL.
//!
//! ```
//! # use std::sync::Arc;
//! use incumbent_core::{Backend, conformance::{self, Subject}};
//!
//! /// Whatever knows how to reach the ensemble.
//! struct Mine(fn() -> Arc<dyn Backend>);
//!
//! #[async_trait::async_trait]
//! impl Subject for Mine {
//!     async fn connect(&self) -> Arc<dyn Backend> {
//!         (self.0)()
//!     }
//! }
//!
//! async fn certify(mine: Mine) {
//!     conformance::run_all(Arc::new(mine)).await;
//! }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a suite of tests: it tells what it does, and a clause that is broken fails the test that runs it"
)]

mod ends;
mod entries;
mod harness;
mod life;
mod listing;
mod places;
mod subject;

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};

use harness::Context;
pub use subject::{Scissors, Subject};

/// One clause of the contract, to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The clause's name, as in the docs of the trait.
    pub name: &'static str,
    run: for<'a> fn(&'a Context) -> BoxFuture<'a, ()>,
}

impl Case {
    /// Checks it. Returns what could not be checked, because the subject lacks the means.
    ///
    /// # Panics
    /// If the backend breaks the clause.
    pub async fn run(&self, subject: &Arc<dyn Subject>) -> Vec<&'static str> {
        match self.outcome(subject).await {
            Ok(unchecked) => unchecked,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    async fn outcome(&self, subject: &Arc<dyn Subject>) -> Result<Vec<&'static str>, Box<dyn Any + Send>> {
        let context = Context::new(Arc::clone(subject), self.name).await;
        let outcome = AssertUnwindSafe((self.run)(&context)).catch_unwind().await;
        let unchecked = context.finish().await;
        outcome.map(|()| unchecked)
    }
}

macro_rules! cases {
    ($($module:ident: $($case:ident)+;)+) => {
        vec![$($(Case { name: stringify!($case), run: |context| Box::pin($module::$case(context)) },)+)+]
    };
}

/// Every case: one for each clause.
#[must_use]
pub fn cases() -> Vec<Case> {
    cases! {
        entries: order enqueue_is_idempotent ahead_only_shrinks remove_is_exact retire_is_for_good;
        places: place_is_verified watch_misses_nothing watch_tells_own_end;
        life: life_is_provable warmth_keeps_life_proven;
        ends: entries_die_with_the_session end_is_told a_gone_session_refuses;
        listing: list_in_order list_of_nothing_is_empty watch_queue_misses_nothing elections_are_found
            names_do_not_nest ttl_too_short_is_refused;
    }
}

/// Runs every case, side by side, and prints how each one went.
///
/// # Panics
/// If the backend breaks a clause: lists all that it breaks.
pub async fn run_all(subject: Arc<dyn Subject>) {
    let cases = cases();
    let outcomes = join_all(cases.iter().map(|case| case.outcome(&subject))).await;
    let mut broken = Vec::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        let name = case.name;
        match outcome {
            Ok(unchecked) if unchecked.is_empty() => println!("{name}: ok"),
            Ok(unchecked) => println!("{name}: ok, but not checked {}", unchecked.join(", nor ")),
            Err(panic) => {
                let why = message(&*panic);
                println!("{name}: FAILED: {why}");
                broken.push(format!("{name}: {why}"));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "the backend breaks {} of {} clauses:\n{}",
        broken.len(),
        cases.len(),
        broken.join("\n")
    );
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names in lines such as "/// - `order`: entries of one election ...".
    fn clauses(source: &str) -> impl Iterator<Item = &str> {
        let items = source.lines().filter_map(|line| line.strip_prefix("/// - `"));
        items.filter_map(|item| item.split_once("`: ")).map(|(name, _)| name)
    }

    #[test]
    fn each_clause_has_a_case_and_each_case_a_clause() {
        let written = clauses(include_str!("../session.rs")).chain(clauses(include_str!("../backend.rs")));
        let written: Vec<_> = written.collect();
        let cases = cases();
        assert!(written.len() > 10, "the clauses are not found any more: {written:?}");
        assert_eq!(
            written.iter().copied().collect::<BTreeSet<_>>(),
            cases.iter().map(|case| case.name).collect::<BTreeSet<_>>(),
        );
        assert_eq!(written.len(), cases.len(), "a name comes twice");
    }
}
