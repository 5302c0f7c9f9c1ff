//! Seeds that a failed test can be repeated with.

use std::env;

/// The seed in the environment variable `variable`, or else a new one. Says which on stderr, which a failed test shows.
///
/// # Panics
///
/// If the variable holds no number.
#[must_use]
pub fn seed_from_env(variable: &str) -> u64 {
    let seed = match env::var(variable) {
        Ok(set) => set.parse().unwrap_or_else(|error| panic!("{variable}={set}: {error}; give a number below 2^64")),
        Err(_) => fastrand::u64(..),
    };
    eprintln!("{variable}={seed} repeats this");
    seed
}
