//! Names of namespaces and pods, as the API server allows them: parsed once, where a request is read (rule F7).
//!
//! A namespace or pod name of a request goes into paths of the API and into Events. As a plain string it could hold a slash or a
//! question mark, and a request to that path would be a request to another object. Code that needs a name takes one of these types.
//!
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NotAName(&'static str);

impl NotAName {
    /// Returns the reason, to follow `is "…",`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.0
    }
}

/// Longest RFC 1123 label.
const LABEL: usize = 63;
/// Longest RFC 1123 subdomain.
const SUBDOMAIN: usize = 253;

fn is_label(text: &str) -> bool {
    let is_inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(is_inner)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

fn check_namespace(text: &str) -> Result<(), NotAName> {
    if text.len() <= LABEL && is_label(text) {
        Ok(())
    } else {
        Err(NotAName(
            "which is not a namespace name: at most 63 of a-z, 0-9 and -, with a letter or digit at both ends",
        ))
    }
}

fn check_pod(text: &str) -> Result<(), NotAName> {
    if text.len() <= SUBDOMAIN && text.split('.').all(is_label) {
        Ok(())
    } else {
        Err(NotAName(
            "which is not a pod name: at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends of each part",
        ))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Box<str>);

        impl $name {
            /// Returns the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAName;

            fn from_str(text: &str) -> Result<Self, NotAName> {
                $check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NotAName;

            fn try_from(text: &str) -> Result<Self, NotAName> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAName;

            fn try_from(text: String) -> Result<Self, NotAName> {
                $check(&text).map(|()| Self(text.into_boxed_str()))
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a namespace: an RFC 1123 label.
    NamespaceName,
    check_namespace
);
name!(
    /// The name of a pod: an RFC 1123 subdomain.
    PodName,
    check_pod
);

#[cfg(test)]
mod tests {
    use super::{NamespaceName, PodName};
    use rstest::rstest;

    #[rstest]
    #[case("ci", true)]
    #[case("0-9", true)]
    #[case("", false)]
    #[case("-ci", false)]
    #[case("ci-", false)]
    #[case("CI", false)]
    #[case("a.b", false)]
    #[case("a/b", false)]
    #[case("victim/pods/foo/eviction?x=", false)]
    #[case("..", false)]
    #[case("a%2fb", false)]
    #[case("a\u{0}", false)]
    #[case("ü", false)]
    fn f7_a_namespace_is_an_rfc_1123_label(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(text.parse::<NamespaceName>().is_ok(), expected);
        assert_eq!(NamespaceName::try_from(text.to_owned()).is_ok(), expected);
    }

    #[rstest]
    #[case("runner-1", true)]
    #[case("a.b-c.0", true)]
    #[case("runner-", false)]
    #[case("a..b", false)]
    #[case(".a", false)]
    #[case("a.-b", false)]
    #[case("a/../b", false)]
    #[case("a?x=", false)]
    #[case("", false)]
    fn f7_a_pod_name_is_an_rfc_1123_subdomain(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(text.parse::<PodName>().is_ok(), expected);
        assert_eq!(PodName::try_from(text.to_owned()).is_ok(), expected);
    }

    #[test]
    fn f7_a_name_is_no_longer_than_the_api_server_allows() {
        assert!("a".repeat(63).parse::<NamespaceName>().is_ok());
        assert!("a".repeat(64).parse::<NamespaceName>().is_err());
        assert!("a".repeat(253).parse::<PodName>().is_ok());
        assert!("a".repeat(254).parse::<PodName>().is_err());
    }
}
