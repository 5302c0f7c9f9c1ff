//! What is given on the command line, as far as all commands share it.

use std::time::Duration;

use clap::{Args, Parser};
use incumbent::{Ensemble, Options};

use crate::{
    commands::Command,
    exit::{EXIT_CODES, Failure},
};

/// Leader election on the ensemble you already run: stand for leadership, and see every candidate.
#[derive(Debug, Parser)]
#[command(name = "incumbent", version, about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which ensemble.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The ensemble: etcd://host:port,host:port/namespace, with all members named
    #[arg(long, global = true, value_name = "URL", env = "INCUMBENT_URL", hide_env_values = true)]
    url: Option<String>,
}

impl Target {
    /// Connects. What `given` holds was typed for this very call: it goes before what the URL says, which may come from
    /// the environment.
    pub(crate) async fn connect(&self, options: Options, given: &[(&str, Duration)]) -> Result<Ensemble, Failure> {
        let url = self.url.as_deref().filter(|url| !url.is_empty()).ok_or(Failure::NoUrl)?;
        Ok(incumbent::connect_with(&with_query(url, given), options).await?)
    }
}

/// The URL with these keys set; of two equal keys the later one holds.
fn with_query(url: &str, given: &[(&str, Duration)]) -> String {
    given.iter().fold(url.to_owned(), |url, (key, value)| {
        let joint = if url.contains('?') { '&' } else { '?' };
        format!("{url}{joint}{key}={}ms", value.as_millis())
    })
}

/// Reads a duration of the command line.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    incumbent::parse_duration(text)
        .ok_or_else(|| "a duration is a number with a unit, ms, s, m or h, such as 500ms or 15s".into())
}

/// Reads `key=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("give a key, '=' and a value, such as zone=eu-1".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_given_comes_last() {
        let ttl = [("ttl", Duration::from_secs(5))];
        assert_eq!(with_query("etcd://a", &ttl), "etcd://a?ttl=5000ms");
        assert_eq!(with_query("etcd://a/x?ttl=9s", &ttl), "etcd://a/x?ttl=9s&ttl=5000ms");
        assert_eq!(with_query("etcd://a", &[]), "etcd://a");
    }

    #[test]
    fn a_pair_has_a_key() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
