use std::{fmt, str::FromStr, sync::Arc};

use crate::{Error, ErrorKind, Result};

/// The name of an election: one or more segments joined by `/`, such as `billing/nightly-report`.
///
/// - 1 to 255 bytes of UTF-8, without white space and control characters;
/// - no segment is empty, `.` or `..` (so it neither begins nor ends with `/`).
///
/// The rules are those that every store can keep. Elections do not nest: on etcd, candidates of `a` would wait for those
/// of `a/b`, so that joining one is refused while the other stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElectionName(Arc<str>);

impl ElectionName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], with the rule that `name` breaks.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        match broken_rule(name) {
            None => Ok(Self(name.into())),
            Some(rule) => Err(Error::new(ErrorKind::InvalidInput, "check the election name")
                .on(format!("{name:?}"))
                .because(format!("{rule}; a name is segments joined by '/', such as \"billing/nightly-report\""))),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn broken_rule(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".into());
    }
    if name.len() > MAX_BYTES {
        return Some(format!("it has {} bytes, {MAX_BYTES} are allowed", name.len()));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return Some(format!("it contains {bad:?}; white space and control characters are not allowed"));
    }
    if name.starts_with('/') {
        return Some(
            "it begins with '/'; leave the slash out, or, for an etcd election whose keys begin with one, set the namespace \"/\"".into(),
        );
    }
    name.split('/').find_map(|segment| match segment {
        "" => Some("it has an empty segment ('//' or a '/' at its end)".into()),
        "." | ".." => Some(format!("it has the segment {segment:?}")),
        _ => None,
    })
}

const MAX_BYTES: usize = 255;

impl FromStr for ElectionName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<&str> for ElectionName {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for ElectionName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl AsRef<str> for ElectionName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ElectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ElectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A prefix under which a backend keeps all its elections, such as `prod` or `/`; empty by default.
///
/// Segments follow the rules of [`ElectionName`]; a `/` at the beginning is part of the prefix, one at the end is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Checks a namespace.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], with the rule that `namespace` breaks.
    pub fn new(namespace: impl AsRef<str>) -> Result<Self> {
        let text = namespace.as_ref();
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if !inner.is_empty()
            && let Some(rule) = broken_rule(inner)
        {
            return Err(Error::new(ErrorKind::InvalidInput, "check the namespace")
                .on(format!("{text:?}"))
                .because(format!("{rule}; a namespace is segments joined by '/', such as \"prod\" or \"/prod\"")));
        }
        let root = if text.starts_with('/') { "/" } else { "" };
        let end = if inner.is_empty() { "" } else { "/" };
        Ok(Self(format!("{root}{inner}{end}").into()))
    }

    /// The text that stands before every election name: empty, or ending in `/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0
    }

    /// The name as the store has it.
    #[must_use]
    pub fn full(&self, name: &ElectionName) -> ElectionName {
        if self.0.is_empty() {
            return name.clone();
        }
        ElectionName(format!("{}{name}", self.0).into())
    }

    /// The election whose full name in the store is `full`, if it lies in this namespace and its name is one of ours.
    #[must_use]
    pub fn strip(&self, full: &str) -> Option<ElectionName> {
        ElectionName::new(full.strip_prefix(&*self.0)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_good_names() {
        for name in ["a", "billing/nightly-report", "häuser/nächtlich", "a.b/c:d@e", &"x".repeat(255)] {
            assert_eq!(ElectionName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_bad_names_and_says_which_rule() {
        for (name, rule) in [
            ("", "empty"),
            ("/a", "begins with '/'"),
            ("a/", "empty segment"),
            ("a//b", "empty segment"),
            ("a/../b", "\"..\""),
            ("a b", "' '"),
            ("a\0b", "'\\0'"),
            ("a\nb", "'\\n'"),
            (&"x".repeat(256), "256 bytes"),
        ] {
            let error = ElectionName::new(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(rule), "{error}");
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn namespaces_join_and_strip() {
        for (namespace, full) in
            [("", "a/b"), ("prod", "prod/a/b"), ("prod/", "prod/a/b"), ("/", "/a/b"), ("/x/y", "/x/y/a/b")]
        {
            let namespace = Namespace::new(namespace).unwrap();
            let name = ElectionName::new("a/b").unwrap();
            assert_eq!(namespace.full(&name).as_str(), full);
            assert_eq!(namespace.strip(full), Some(name));
        }
        assert_eq!(Namespace::new("prod").unwrap().strip("production/a"), None);
        assert!(Namespace::new("a b").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = ElectionName::new(&text);
            let _ = Namespace::new(&text);
        }
    }
}
