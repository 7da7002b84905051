//! Defines the syntax of names, addresses, paths and sizes in a policy.
//!
//! A [`Format`] is a list of regular expressions with messages. In the schema it is a CEL rule, so
//! that the API server rejects other values; `drydock check` runs the same expressions and prints
//! the same messages. `super::constraints` assigns formats to fields.
//!
//! The expressions use only syntax that RE2 (in CEL) and the `regex` crate share. The CEL rules use
//! only functions of Kubernetes 1.30, whose CEL library has neither `isIP` nor `format`.
//!
//! Sources: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>,
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/> and
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use regex::Regex;
use std::sync::OnceLock;

/// The syntax that a string must have.
#[derive(Debug)]
pub struct Format {
    pub(crate) max_length: usize,
    /// The checks, at least one. [`Format::check`] returns the message of the first that fails.
    checks: &'static [Check],
    compiled: OnceLock<Vec<Regex>>,
}

/// One requirement on a string.
#[derive(Clone, Copy, Debug)]
struct Check {
    /// A regular expression without `'`.
    pattern: &'static str,
    /// Whether a valid string matches the pattern.
    must_match: bool,
    /// The error message, which follows `is "…",`.
    message: &'static str,
}

impl Format {
    const fn new(max_length: usize, checks: &'static [Check]) -> Self {
        Self {
            max_length,
            checks,
            compiled: OnceLock::new(),
        }
    }

    /// Checks a string.
    ///
    /// # Errors
    /// Returns the message of the first check that fails, which follows `is "…",`.
    pub fn check(&self, text: &str) -> Result<(), &'static str> {
        let patterns = self.compiled.get_or_init(|| {
            let compile =
                |check: &Check| Regex::new(check.pattern).expect("the pattern should be valid");
            self.checks.iter().map(compile).collect()
        });
        let is_too_long = text.chars().nth(self.max_length).is_some();
        let mut checks = self.checks.iter().zip(patterns);
        match checks.find(|(check, it)| is_too_long || it.is_match(text) != check.must_match) {
            Some((check, _)) => Err(check.message),
            None => Ok(()),
        }
    }

    /// Returns the CEL rule that rejects other strings.
    pub(super) fn rule(&self) -> ValidationRule {
        let message = format!(r#""is \"" + self + {}"#, self.message("self"));
        self.validation(self.condition("self"), message)
    }

    /// Returns the CEL rule that rejects maps in which a key does not match the format.
    pub(super) fn rule_for_keys(&self) -> ValidationRule {
        let valid = self.condition("key");
        let message = format!(r#""has the key \"" + key + {}"#, self.message("key"));
        self.validation(
            format!("self.all(key, {valid})"),
            format!("self.map(key, !({valid}), {message})[0]"),
        )
    }

    fn validation(&self, rule: String, message: String) -> ValidationRule {
        ValidationRule {
            rule,
            message_expression: Some(message),
            // The API server uses this text if the message contains a line break.
            message: self.checks.first().map(|check| check.message.to_owned()),
            ..ValidationRule::default()
        }
    }

    /// Returns the regular expression of the first check, for fields without a CEL rule.
    pub(super) fn pattern(&self) -> Option<String> {
        self.checks.first().map(|check| check.pattern.to_owned())
    }

    fn condition(&self, variable: &str) -> String {
        let checks = self.checks.iter();
        let conditions: Vec<String> = checks.map(|check| check.condition(variable)).collect();
        conditions.join(" && ")
    }

    /// Returns a CEL expression whose value is the message of the first check that fails.
    fn message(&self, variable: &str) -> String {
        let quoted = |check: &Check| serde_json::Value::from(check.message).to_string();
        let mut checks = self.checks.iter().rev();
        let last = checks.next().map(quoted).unwrap_or_default();
        let message = checks.fold(last, |others, check| {
            let (condition, message) = (check.condition(variable), quoted(check));
            format!("({condition} ? {others} : {message})")
        });
        format!(r#""\", " + {message}"#)
    }
}

impl Check {
    fn condition(&self, variable: &str) -> String {
        let not = if self.must_match { "" } else { "!" };
        format!("{not}{variable}.matches(r'{}')", self.pattern)
    }
}

const fn must(pattern: &'static str, message: &'static str) -> Check {
    Check {
        pattern,
        must_match: true,
        message,
    }
}

const fn must_not(pattern: &'static str, message: &'static str) -> Check {
    Check {
        must_match: false,
        ..must(pattern, message)
    }
}

macro_rules! label {
    () => {
        "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    };
}
macro_rules! subdomain {
    () => {
        concat!(label!(), r"(\.", label!(), ")*")
    };
}
macro_rules! qualified {
    () => {
        "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
    };
}
macro_rules! octet {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    };
}
/// Matches an IPv6 address: eight groups, or fewer groups and one `::`. Does not match addresses
/// that end in IPv4 notation.
macro_rules! ipv6 {
    () => {
        concat!(
            "([0-9a-fA-F]{1,4}:){1,6}(:[0-9a-fA-F]{1,4}){1,1}|",
            "([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|",
            "([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|",
            "([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|",
            "([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|",
            "([0-9a-fA-F]{1,4}:){1,1}(:[0-9a-fA-F]{1,4}){1,6}|",
            "([0-9a-fA-F]{1,4}:){1,7}:|:(:[0-9a-fA-F]{1,4}){1,7}|::|",
            "([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}",
        )
    };
}
macro_rules! suffix {
    () => {
        "([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,3})?"
    };
}

/// The API server limits the length of the whole name, and not of each part as DNS does.
const SUBDOMAIN_CHECK: Check = must(
    concat!("^", subdomain!(), "$"),
    "not an RFC 1123 subdomain: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit, at most 253 characters",
);
const ABSOLUTE: Check = must("^/", "not an absolute path; it must begin with '/'");
const WITHOUT_COLON: Check = must_not(":", "but must not contain ':'");
/// Requires a clean path, because CEL has no function that cleans a path before it is compared.
const CLEAN: Check = must_not(
    "//|/[.][.]?(/|$)|./$",
    "not a clean path; write it without '//', '.', '..' and a trailing '/'",
);
/// Matches `/certs/client`, its parents and the paths below it, if they passed [`CLEAN`].
const AROUND_CLIENT_CERTS: &str = "^/(certs(/client)?)?$|^/certs/client/";
/// The value of `PATH_MAX` in Linux.
const PATH_MAX: usize = 4096;

/// Defines a static for each format, from its name, maximum length and checks.
macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident($max_length:expr): [$($check:expr),* $(,)?];)*) => {
        $($(#[$doc])* pub static $name: Format = Format::new($max_length, &[$($check),*]);)*

        #[cfg(test)]
        static ALL: &[&Format] = &[$(&$name),*];
    };
}

formats! {
    /// An RFC 1123 subdomain: the name of most objects.
    SUBDOMAIN(253): [SUBDOMAIN_CHECK];

    /// A hostname of `hostAliases`.
    HOSTNAME(253): [
        SUBDOMAIN_CHECK,
        // The kubelet writes these names to the hosts file, and RFC 6761 reserves `localhost`.
        must_not(r"^(.*\.localhost|localhost|ip6-localhost|ip6-loopback)$", "a name of the pod itself, which must resolve to a loopback address"),
    ];

    /// An RFC 1123 label: the name of a volume or a namespace.
    LABEL(63): [must(
        concat!("^", label!(), "$"),
        "not an RFC 1123 label: lower-case letters, digits and '-', beginning and ending with a letter or digit, at most 63 characters"
    )];

    /// A key of a label, annotation, taint or node selector: `[prefix/]name`.
    LABEL_KEY(253 + 1 + 63): [must(
        concat!("^(", subdomain!(), "/)?", qualified!(), "$"),
        "not a label key: an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_' and '.'"
    )];

    /// A label value; may be empty.
    LABEL_VALUE(63): [must(
        concat!("^(", qualified!(), ")?$"),
        "not a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
    )];

    /// A key of a ConfigMap or Secret.
    CONFIG_KEY(253): [must(
        r"^(\.?[-_A-Za-z0-9])[-._A-Za-z0-9]*$",
        "not a key of a ConfigMap or Secret: at most 253 letters, digits, '-', '_' and '.', not '.' alone and not beginning with '..'"
    )];

    /// An address to which a hostname can resolve.
    ADDRESS(39): [
        must_not("^(127[.]|[0:]*:0{0,3}1$)", "a loopback address, which the runner uses for services of the job"),
        must_not("^(0[.]0[.]0[.]0|[0:]+)$", "the unspecified address; write the address of the host"),
        // RFC 4291 reserves these addresses. Programs read IPv4-mapped addresses (2.5.5) as IPv4.
        must_not("^(::|0{1,4}:)", "an IPv6 address that begins with zeros, which is reserved; write an IPv4 address as in 10.0.0.232"),
        must(concat!("^((", octet!(), r"\.){3}", octet!(), "|", ipv6!(), ")$"), "not an IP address; write it as in 10.0.0.232 or fd00::232, without port or zone"),
    ];

    /// A registry as in image references: `host` or `host:port`, with IPv6 addresses in brackets.
    REGISTRY_HOST(253): [must(
        concat!("^(", subdomain!(), r"|\[(", ipv6!(), r")\])", "(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?$"),
        "not a registry host: a hostname or IP address with an optional port, as in registry.mylab.com:5000"
    )];

    /// A glob that is compared with image references.
    IMAGE_GLOB(512): [
        must(".", "which matches no image; write an image reference, in which * matches any characters"),
        must_not("@", "but must not contain a digest, because drydock compares globs with image references without their digest"),
    ];

    /// The path at which a volume is mounted.
    MOUNT_PATH(PATH_MAX): [
        ABSOLUTE, WITHOUT_COLON, CLEAN,
        must_not(AROUND_CLIENT_CERTS, "but must not be /certs/client, a parent of it or a path below it, because clientCerts controls that directory"),
    ];

    /// The directory at which a displaced volume is mounted.
    RELOCATE_TO(PATH_MAX): [
        ABSOLUTE, WITHOUT_COLON, CLEAN,
        must_not(AROUND_CLIENT_CERTS, "but must not be /certs/client, a parent of it or a path below it, because dind writes its certificates there; use a path such as /certs/displaced"),
    ];

    /// A path on the node.
    HOST_PATH(PATH_MAX): [
        ABSOLUTE,
        must_not("/[.][.](/|$)", "but must not contain '..'"),
    ];

    /// A path of an NFS export.
    EXPORTED_PATH(PATH_MAX): [ABSOLUTE];

    /// The path in a volume to which a key of a ConfigMap or Secret is projected.
    ITEM_PATH(1024): [
        must("^[^/]", "not a relative path, as in ca.crt"),
        must_not("^[.][.]|/[.][.](/|$)", "but must not begin with '..' or contain it as a path element"),
    ];

    /// A quantity of bytes that is not negative.
    QUANTITY(32): [must(
        concat!("^[+]?([0-9]+[.]?[0-9]*|[.][0-9]+)", suffix!(), "$"),
        "not a quantity of bytes, as in 1Mi"
    )];

    /// A quantity of bytes that is greater than zero.
    SIZE_LIMIT(32): [must(
        concat!("^[+]?(0*[1-9][0-9]*([.][0-9]*)?|0*[.]0*[1-9][0-9]*)", suffix!(), "$"),
        "not a quantity of bytes greater than zero, as in 1Mi; without a limit, the volume could fill the memory of the node"
    )];

    /// The medium of an emptyDir.
    MEDIUM(63): [must(
        "^(Memory|HugePages(-[0-9]+[KMG]i)?)?$",
        "not a storage medium; use Memory, or omit the field to use the disk of the node"
    )];

    /// The name of a CSI driver.
    CSI_DRIVER(63): [must(
        "^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$",
        "not the name of a CSI driver: letters, digits, '-' and '.', beginning and ending with a letter or digit, at most 63 characters"
    )];

    /// The host of an NFS server.
    SERVER(253): [must("^[-A-Za-z0-9_.:%]+$", "not the hostname or IP address of a server")];
}

#[cfg(test)]
mod tests;
