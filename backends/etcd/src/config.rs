use std::time::Duration;

use incumbent_core::{Error, ErrorKind, Result};

/// Where the ensemble is, and how long to wait for it.
///
/// ```
/// use incumbent_etcd::EtcdConfig;
///
/// let config = EtcdConfig::new(["10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdConfig {
    endpoints: Vec<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

impl EtcdConfig {
    /// The members at these endpoints, `host`, `host:port` or `http://host:port`; the port is 2379 if left out. Name all
    /// of them: only from the named ones can another be chosen when one fails.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            connect_timeout: Duration::from_millis(500),
            request_timeout: Duration::from_secs(2),
        }
    }

    /// How long one member may take to accept a connection; 0.5 s by default. Where it is shorter than a session's request
    /// timeout, a member that cannot be reached, and so received nothing, is told from one that may have.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one member may take to answer what is not asked within a session: listings, status; 2 s by default.
    /// Sessions have a request timeout of their own.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The endpoints as URLs.
    pub(crate) fn urls(&self) -> Result<Vec<String>> {
        if self.endpoints.is_empty() {
            return Err(invalid("etcd", "no endpoint is given; name at least one, such as \"10.0.0.1:2379\""));
        }
        for (name, timeout) in [("connect timeout", self.connect_timeout), ("request timeout", self.request_timeout)] {
            if timeout.is_zero() {
                return Err(invalid("etcd", format!("the {name} is 0; give a positive duration")));
            }
        }
        self.endpoints.iter().map(|endpoint| url(endpoint)).collect()
    }
}

const PORT: u16 = 2379;

fn url(endpoint: &str) -> Result<String> {
    // Before anything quotes the endpoint: it may hold a password.
    if endpoint.contains('@') {
        return Err(invalid("an etcd endpoint", "credentials are not supported yet; leave them out of the endpoint"));
    }
    let refused = |why: &str| Err(invalid(format!("{endpoint:?}"), why));
    if endpoint.starts_with("https://") {
        return refused("TLS is not supported yet; use an http endpoint");
    }
    let address = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let address = address.strip_suffix('/').unwrap_or(address);
    if address.contains("://") {
        return refused("its scheme is not known; use host:port or http://host:port");
    }
    if let Some(bad) = address.chars().find(|c| c.is_whitespace() || matches!(c, '/' | '?' | '#' | ',')) {
        return refused(&format!("it contains {bad:?}; use host:port or http://host:port"));
    }
    let (host, port) = match address.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()),
        _ => (address, Some(PORT)),
    };
    match port {
        _ if host.is_empty() => refused("it has no host"),
        None | Some(0) => refused("its port is no number from 1 to 65535"),
        _ if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) => {
            refused("write an IPv6 address in brackets, such as [::1]:2379")
        }
        Some(port) => Ok(format!("http://{host}:{port}")),
    }
}

fn invalid(subject: impl std::fmt::Display, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, "connect to").on(subject).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_become_urls() {
        for (endpoint, expected) in [
            ("h1", "http://h1:2379"),
            ("h1:1", "http://h1:1"),
            ("http://h1:1", "http://h1:1"),
            ("http://h1:1/", "http://h1:1"),
            ("[::1]", "http://[::1]:2379"),
            ("[::1]:7", "http://[::1]:7"),
        ] {
            assert_eq!(url(endpoint).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_and_named() {
        for (endpoint, word) in [
            ("https://h1:2379", "TLS is not supported yet"),
            ("ftp://h1", "scheme"),
            ("h1:0", "port"),
            ("h1:x", "port"),
            ("h1:65536", "port"),
            (":2379", "no host"),
            ("", "no host"),
            ("::1", "brackets"),
            ("h1:1/path", "'/'"),
            ("h1:1,h2:2", "','"),
            ("h 1", "' '"),
        ] {
            let error = url(endpoint).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_refused_and_not_shown() {
        let error = url("http://user:secret@h1:2379").unwrap_err();
        assert!(error.to_string().contains("credentials"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn no_endpoint_and_no_time_are_refused() {
        assert!(EtcdConfig::new([""; 0]).urls().is_err());
        assert!(EtcdConfig::new(["h1"]).connect_timeout(Duration::ZERO).urls().is_err());
        assert!(EtcdConfig::new(["h1"]).request_timeout(Duration::ZERO).urls().is_err());
    }
}
