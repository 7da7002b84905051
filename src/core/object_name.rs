//! Types for valid names of namespaces and pods (F7).
//!
//! drydock uses names from requests in API paths and in Events. A name with a slash or a question
//! mark could address another object. Parsing text into one of these types rejects such names.
//!
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// The maximum length of an RFC 1123 label.
const MAX_LABEL: usize = 63;
/// The maximum length of an RFC 1123 subdomain.
const MAX_SUBDOMAIN: usize = 253;

fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $is_valid:expr, $reason:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Box<str>);

        impl $name {
            /// Returns the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            /// The error message, which follows `is "…",`.
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let is_valid: fn(&str) -> bool = $is_valid;
                is_valid(text).then(|| Self(text.into())).ok_or($reason)
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
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
    |text| text.len() <= MAX_LABEL && is_label(text),
    "not a namespace name: at most 63 lower-case letters, digits and '-', beginning and ending with a letter or digit"
);
name!(
    /// The name of a pod: an RFC 1123 subdomain.
    PodName,
    |text| text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_label),
    "not a pod name: at most 253 lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit"
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
    }

    #[test]
    fn f7_a_name_has_the_maximum_length_of_the_api_server() {
        assert!("a".repeat(63).parse::<NamespaceName>().is_ok());
        assert!("a".repeat(64).parse::<NamespaceName>().is_err());
        assert!("a".repeat(253).parse::<PodName>().is_ok());
        assert!("a".repeat(254).parse::<PodName>().is_err());
    }
}
