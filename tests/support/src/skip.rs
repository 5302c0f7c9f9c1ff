//! What a test does that needs a server and finds none.

use std::env;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

/// Says loudly that the running test, at `location`, does not run, and why. The test then returns.
///
/// The file named by `INCUMBENT_SKIPPED`, if set, gets one line for each, so that a script can count them.
///
/// # Panics
///
/// Where servers must be there: `CI` is `true`, or `INCUMBENT_REQUIRE_SERVERS` is `1`.
pub fn skip(location: &str, why: &dyn Display) {
    let test = thread::current().name().unwrap_or("?").to_owned();
    if is("CI", "true") || is("INCUMBENT_REQUIRE_SERVERS", "1") {
        panic!("{test} ({location}) must not be skipped here: {why}");
    }
    eprintln!("SKIPPED: {test} ({location}): {why}");
    if let Some(file) = env::var_os("INCUMBENT_SKIPPED") {
        // One write: tests of other processes append to the same file.
        let line = format!("{test} ({location})\n");
        let written =
            OpenOptions::new().create(true).append(true).open(&file).and_then(|mut log| log.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("INCUMBENT_SKIPPED={}: {error}", file.display()));
    }
}

fn is(variable: &str, value: &str) -> bool {
    env::var(variable).is_ok_and(|set| set == value)
}

/// Evaluates to the `Ok` value, or skips the test: see [`skip`](crate::skip()). For a test that returns `()`.
#[macro_export]
macro_rules! or_skip {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(missing) => {
                $crate::skip(concat!(file!(), ":", line!()), &missing);
                return;
            }
        }
    };
}

/// The etcd [`Binaries`](crate::etcd::Binaries) to test against, of a given version if one is named, or skips the
/// test: see [`skip`](crate::skip()).
#[macro_export]
macro_rules! etcd_or_skip {
    () => {
        $crate::or_skip!($crate::etcd::Binaries::find())
    };
    ($version:expr) => {
        $crate::or_skip!($crate::etcd::Binaries::of($version))
    };
}
