//! Seeded schedules of faults on the in-process ensemble, under paused time, with one checker an invariant.
//!
//! `INCUMBENT_SCHEDULES` sets how many schedules run, `INCUMBENT_SEED` the first one's seed. A failure prints the seed of its
//! schedule, which alone repeats it: `INCUMBENT_SEED=… INCUMBENT_SCHEDULES=1`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests may fail the test"
)]

mod candidate;
mod checkers;
mod client;
mod contrary;
mod excuses;
mod nemesis;
mod planted;
mod schedule;
mod world;

use std::{collections::BTreeMap, env, panic::resume_unwind, str::FromStr, sync::Arc};

use incumbent::core::Backend;
use incumbent_memory::Memory;

use crate::{
    client::Wrap,
    schedule::{Report, Schedule},
};

#[test]
fn no_schedule_breaks_an_invariant() {
    let grants: Vec<_> = in_parallel(1, |seed| keeps_all_invariants(seed, unchanged));
    // Schedules in which nobody ever leads, or only one, would prove nothing.
    let (schedules, contested) = (grants.len(), grants.iter().filter(|grants| **grants > 2).count());
    println!("{} grants in {schedules} schedules", grants.iter().sum::<usize>());
    assert!(schedules < 10 || contested * 10 >= schedules * 9, "{contested} of {schedules} schedules had handovers");
}

#[test]
fn no_backend_that_keeps_its_contract_breaks_an_invariant() {
    in_parallel(4, |seed| keeps_all_invariants(seed, contrary::contrary));
}

#[test]
fn a_seed_repeats_its_schedule() {
    let of_each_moment = |seed| {
        let mut log = Schedule::new(seed).run(unchanged).log;
        log.sort();
        log
    };
    let same = seeds(30).filter(|seed| of_each_moment(*seed) == of_each_moment(*seed)).count();
    // Tokio draws, from a generator of its own, who goes first of those who are ready; that seldom matters later.
    assert!(same >= 15, "{same} of 30 schedules were repeated by their seed");
}

#[test]
fn a_deadline_counted_from_the_receipt_is_caught() {
    caught_by("exclusion", planted::deadline_from_receipt);
}

#[test]
fn a_missing_look_at_the_own_entry_is_caught() {
    caught_by("exclusion", planted::no_own_entry_check);
}

#[test]
fn a_deadline_that_never_passes_is_caught() {
    caught_by("exclusion", planted::never_lost);
}

#[test]
fn a_removal_that_only_pretends_is_caught() {
    caught_by("orphans", planted::pretended_removal);
}

/// Says how often somebody led.
fn keeps_all_invariants(seed: u64, backend: Wrap) -> usize {
    let report = Schedule::new(seed).run(backend);
    assert!(report.violations.is_empty(), "{report}");
    report.grants
}

fn unchanged(memory: Memory) -> Arc<dyn Backend> {
    Arc::new(memory)
}

/// A backend with a bug must break the invariant within the schedules that CI runs.
fn caught_by(invariant: &str, bug: Wrap) {
    let mut broken = BTreeMap::<_, usize>::new();
    for (count, seed) in seeds(SCHEDULES).enumerate() {
        let Report { violations, .. } = Schedule::new(seed).run(bug);
        for violation in violations {
            *broken.entry(violation.invariant).or_default() += 1;
        }
        if broken.contains_key(invariant) {
            println!("caught by schedule {} (seed {seed}): {broken:?}", count + 1);
            return;
        }
    }
    panic!("no schedule broke {invariant}; broken: {broken:?}");
}

/// Does it for each seed, or for one of so many, on two threads: a schedule is one thread's work.
fn in_parallel<T: Send>(one_of: usize, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let schedules = number("INCUMBENT_SCHEDULES", SCHEDULES);
    let half = |first| seeds(schedules).step_by(one_of).skip(first).step_by(2).map(&run).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut results = half(0);
        results.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        results
    })
}

fn seeds(schedules: u64) -> impl Iterator<Item = u64> {
    let first: u64 = number("INCUMBENT_SEED", 0);
    (0..schedules).map(move |offset| first.wrapping_add(offset))
}

/// How many schedules run if nothing else is asked for.
const SCHEDULES: u64 = 1_000;

fn number<N: FromStr>(variable: &str, default: N) -> N {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}
