//! The URLs of ensembles: like others, but with several hosts.

use std::fmt;

use incumbent_core::{Error, ErrorKind, Result};

/// A URL, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    pub(crate) authority: String,
    pub(crate) namespace: Option<String>,
    pub(crate) query: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Memory,
    Etcd,
    Zookeeper,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Etcd => "etcd",
            Self::Zookeeper => "zookeeper",
        })
    }
}

impl Url {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(refused(
                &redact(url),
                "it has no scheme; write memory://, etcd://host:port or zookeeper://host:port",
            ));
        };
        let scheme = match scheme {
            "memory" => Scheme::Memory,
            "etcd" => Scheme::Etcd,
            "zookeeper" => Scheme::Zookeeper,
            other => {
                let why = format!("the scheme {other:?} is unknown; use memory, etcd or zookeeper");
                return Err(refused(&redact(url), why));
            }
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
        // Anywhere: a password may hold a '/' or '?', which would end the authority before its '@'.
        if url.contains('@') {
            return Err(refused(
                &redact(url),
                "it holds credentials, which end up in logs and process lists: leave them out of the URL; or, if the '@' is \
                 part of a namespace, set that one in the options",
            ));
        }
        if let Some(fragment) = url.split_once('#') {
            return Err(refused(url, format!("it has a fragment {:?}, which means nothing here", fragment.1)));
        }
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        });
        let namespace = path.filter(|path| !path.is_empty()).map(ToOwned::to_owned);
        let parsed = Self { scheme, authority: authority.to_owned(), namespace, query: query.collect() };
        if scheme == Scheme::Memory && parsed.authority.contains([',', ':']) {
            return Err(refused(url, "memory:// takes a name without ',' and ':', or nothing"));
        }
        Ok(parsed)
    }

    /// The hosts with their ports.
    #[cfg_attr(not(feature = "etcd"), allow(dead_code, reason = "only remote backends have endpoints"))]
    pub(crate) fn endpoints(&self, default_port: u16) -> Result<Vec<String>> {
        self.authority.split(',').map(|endpoint| self.endpoint(endpoint, default_port)).collect()
    }

    fn endpoint(&self, endpoint: &str, default_port: u16) -> Result<String> {
        let refused = |why: String| Err(refused(&self.redacted(), why));
        let (host, port) = match endpoint.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (format!("[{host}]"), port.strip_prefix(':').or(port.is_empty().then_some(""))),
            None => match endpoint.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port).filter(|port| !port.is_empty())),
                None => (endpoint.to_owned(), Some("")),
            },
        };
        let port = match port {
            Some("") => default_port,
            Some(port) => match port.parse() {
                Ok(port) if port != 0 => port,
                _ => return refused(format!("{port:?} of {endpoint:?} is no port; give a number from 1 to 65535")),
            },
            None => return refused(format!("{endpoint:?} has no port after its ':'; give host:port")),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let valid = if host.starts_with('[') {
            bare.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            !bare.is_empty() && bare.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        if !valid {
            return refused(format!(
                "{host:?} is no host; name each member as host:port, separated by commas, with an IPv6 address in brackets"
            ));
        }
        Ok(format!("{host}:{port}"))
    }

    /// The URL as it may be shown.
    pub(crate) fn redacted(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }
}

/// Hides whatever may be a credential.
fn redact(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://…@{after}")
        }
        None => url.to_owned(),
    }
}

fn refused(url: &str, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, "use the URL").on(format!("{url:?}")).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_several_hosts_and_fills_in_the_port() {
        let url = Url::parse("etcd://a,b.c:1,[::1]:2,[::1]/prod/x?ttl=5s&margin=1s").unwrap();
        assert_eq!(url.endpoints(2379).unwrap(), ["a:2379", "b.c:1", "[::1]:2", "[::1]:2379"]);
        assert_eq!(url.namespace.as_deref(), Some("prod/x"));
        assert_eq!(url.query, [("ttl".into(), "5s".into()), ("margin".into(), "1s".into())]);
    }

    #[test]
    fn memory_may_be_named() {
        assert_eq!(Url::parse("memory://").unwrap().authority, "");
        assert_eq!(Url::parse("memory://demo").unwrap().authority, "demo");
    }

    #[test]
    fn bad_urls_say_what_is_wrong() {
        for (url, word) in [
            ("localhost:2379", "no scheme"),
            ("http://a", "\"http\" is unknown"),
            ("etcd://", "\"\" is no host"),
            ("etcd://a,,b", "\"\" is no host"),
            ("etcd://a b", "\"a b\" is no host"),
            ("etcd://a:", "no port after"),
            ("etcd://a:x", "\"x\" of"),
            ("etcd://a:0", "\"0\" of"),
            ("etcd://a:65536", "\"65536\" of"),
            ("etcd://::1:2379", "\":1:2379\" of"),
            ("etcd://[::1", "is no"),
            ("etcd://[zz]:1", "\"[zz]\" is no host"),
            ("etcd://a#b", "fragment"),
            ("memory://a:1", "without ','"),
        ] {
            let error = Url::parse(url).and_then(|url| url.endpoints(2379)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_shown() {
        for url in ["etcd://user:secret@a", "postgres://user:secret@a", "user:secret@a"] {
            let error = Url::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
