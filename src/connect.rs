//! From a URL to an ensemble.

use std::time::Duration;

use incumbent_core::{Error, ErrorKind, Namespace, Result};

use crate::{Ensemble, Options, url::Url};

/// Connects with default options. See [`connect_with`].
///
/// # Errors
/// As for [`connect_with`].
///
/// # Cancel safety
/// Nothing is left behind by dropping the future.
pub async fn connect(url: &str) -> Result<Ensemble> {
    connect_with(url, Options::new()).await
}

/// Connects to the ensemble of this URL.
///
/// | URL | ensemble |
/// |---|---|
/// | `memory://` | in this process, a fresh one with each call |
/// | `memory://name` | in this process, shared by all that name it |
/// | `etcd://host:port,host:port/namespace` | etcd; name all members; port 2379 if left out (feature `etcd`) |
///
/// A query sets options: `?ttl=15s&heartbeat=3s&margin=500ms&stop_within=4s&request_timeout=2s&connect_timeout=5s`, and
/// what the URL says goes before what `options` say.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if URL or options cannot work, naming the value and what is allowed;
/// [`ErrorKind::Unavailable`] if no member answers within the connect timeout, naming each and what it said.
///
/// # Cancel safety
/// Nothing is left behind by dropping the future.
pub async fn connect_with(url: &str, options: Options) -> Result<Ensemble> {
    let url = Url::parse(url)?;
    let options = apply(&url, options)?;
    options.check(options.session.ttl)?;
    open(&url, options).await
}

#[allow(unused_variables, clippy::unused_async, reason = "without backends there is nothing to open")]
async fn open(url: &Url, options: Options) -> Result<Ensemble> {
    match url.scheme {
        #[cfg(feature = "memory")]
        crate::url::Scheme::Memory => {
            let memory = match url.authority.as_str() {
                "" => incumbent_memory::Memory::new(),
                name => incumbent_memory::Memory::named(name),
            };
            Ensemble::with_backend(std::sync::Arc::new(memory), options)
        }
        #[cfg(feature = "etcd")]
        crate::url::Scheme::Etcd => {
            let request_timeout = options.session.request_timeout().min(options.connect_timeout);
            let config = incumbent_etcd::EtcdConfig::new(url.endpoints(2379)?).request_timeout(request_timeout);
            let host = crate::host::Host::new(options.session_thread)?;
            let connecting = host.handle().spawn(incumbent_etcd::Etcd::connect(config));
            let etcd =
                connecting.await.map_err(|error| Error::new(ErrorKind::Unexpected, "connect").caused_by(error))??;
            Ensemble::hosted(std::sync::Arc::new(etcd), options, host)
        }
        crate::url::Scheme::Zookeeper => Err(Error::new(ErrorKind::InvalidInput, "connect")
            .on(url.redacted())
            .because("this version has no ZooKeeper backend yet; use etcd:// or memory://")),
        #[allow(unreachable_patterns, reason = "all features may be on")]
        scheme => Err(Error::new(ErrorKind::InvalidInput, "connect").on(url.redacted()).because(format!(
            "this build has no {scheme} backend; add the feature \"{scheme}\" to the dependency incumbent"
        ))),
    }
}

fn apply(url: &Url, mut options: Options) -> Result<Options> {
    if let Some(namespace) = &url.namespace {
        options.namespace = Namespace::new(namespace)?;
    }
    for (key, value) in &url.query {
        let span = || duration(key, value);
        options = match key.as_str() {
            "ttl" => options.ttl(span()?),
            "heartbeat" => options.heartbeat(span()?),
            "margin" => options.margin(span()?),
            "stop_within" => options.stop_within(span()?),
            "request_timeout" => options.request_timeout(span()?),
            "connect_timeout" => {
                let timeout = span()?;
                Options { connect_timeout: timeout, ..options }
            }
            _ => {
                return Err(Error::new(ErrorKind::InvalidInput, "use the URL's query key")
                    .on(format!("{key:?}"))
                    .because(
                        "known keys are ttl, heartbeat, margin, stop_within, request_timeout and connect_timeout",
                    ));
            }
        };
    }
    Ok(options)
}

fn duration(key: &str, value: &str) -> Result<Duration> {
    parse_duration(value).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "use the URL's query")
            .on(format!("{key}={value}"))
            .because("a duration is a number with a unit, ms, s, m or h, such as 500ms or 15s")
    })
}

/// Reads `500ms`, `15s`, `1.5s`, `2m` or `1h`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits)? {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = digits.parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(number * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, millis) in [("500ms", 500), ("15s", 15_000), ("1.5s", 1_500), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1e9s", "5 s", "5d", "NaNs", "infs", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
