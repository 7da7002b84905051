//! What names, addresses, paths and sizes look like: said once, as regular expressions and words for people.
//!
//! A [`Form`] becomes a CEL rule in the schema, so that the API server refuses what does not have it, and is checked with the same
//! expressions and told in the same words by `drydock check`. The syntax of the expressions is that of RE2, which CEL has, as far as
//! the `regex` crate reads it alike. They use nothing that is newer than Kubernetes 1.30 (its CEL has no `isIP` and no `format` yet).
//!
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>, the labels page beside it, and
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use regex::Regex;
use std::sync::OnceLock;

/// What a text must look like.
#[derive(Debug)]
pub struct Form {
    /// How many characters it may have.
    pub longest: usize,
    /// What can be wrong with it; the first that is wrong is told. Never empty.
    pub faults: &'static [Fault],
    compiled: OnceLock<Vec<Regex>>,
}

/// One thing that can be wrong with a text.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// A regular expression without `'`.
    pub pattern: &'static str,
    /// Whether a good text matches it, or does not.
    pub wanted: bool,
    /// What a bad text is, to follow `is "…",`.
    pub words: &'static str,
}

impl Form {
    const fn new(longest: usize, faults: &'static [Fault]) -> Self {
        Self {
            longest,
            faults,
            compiled: OnceLock::new(),
        }
    }

    /// Checks a text.
    ///
    /// # Errors
    /// What is wrong with it, to follow `is "…",`.
    pub fn check(&self, text: &str) -> Result<(), &'static str> {
        let patterns = self.compiled.get_or_init(|| {
            let compile = |fault: &Fault| {
                Regex::new(fault.pattern).expect("a test compiles the expressions of all forms")
            };
            self.faults.iter().map(compile).collect()
        });
        let too_long = text.chars().nth(self.longest).is_some();
        let wrong = |fault: &Fault, pattern: &Regex| pattern.is_match(text) != fault.wanted;
        let mut faults = self.faults.iter().zip(patterns);
        match faults.find(|(fault, pattern)| too_long || wrong(fault, pattern)) {
            Some((fault, _)) => Err(fault.words),
            None => Ok(()),
        }
    }
}

const fn must(pattern: &'static str, words: &'static str) -> Fault {
    Fault {
        pattern,
        wanted: true,
        words,
    }
}

const fn must_not(pattern: &'static str, words: &'static str) -> Fault {
    Fault {
        pattern,
        wanted: false,
        words,
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
macro_rules! group {
    () => {
        "[0-9a-fA-F]{1,4}"
    };
}
/// `::` between at most so many groups before it and after it.
macro_rules! around {
    ($before:literal, $after:literal) => {
        concat!(
            "(",
            group!(),
            ":){1,",
            $before,
            "}(:",
            group!(),
            "){1,",
            $after,
            "}|"
        )
    };
}
/// Eight groups, or fewer and one `::`. Without an IPv4 address at the end.
macro_rules! ipv6 {
    () => {
        concat!(
            around!(6, 1),
            around!(5, 2),
            around!(4, 3),
            around!(3, 4),
            around!(2, 5),
            around!(1, 6),
            "(",
            group!(),
            ":){1,7}:|:(:",
            group!(),
            "){1,7}|::|(",
            group!(),
            ":){7}",
            group!()
        )
    };
}

/// An RFC 1123 subdomain: a hostname of `hostAliases`, and the name of most objects.
pub static SUBDOMAIN: Form = Form::new(
    253,
    &[must(
        // A part may be longer than DNS's 63 characters: the API server counts the whole only.
        concat!("^", subdomain!(), "$"),
        "not an RFC 1123 subdomain: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit, at most 253 characters",
    )],
);

/// An RFC 1123 label: the name of a volume or a namespace.
pub static LABEL: Form = Form::new(
    63,
    &[must(
        concat!("^", label!(), "$"),
        "not an RFC 1123 label: lower-case letters, digits and '-', beginning and ending with a letter or digit, at most 63 characters",
    )],
);

/// A key of a label, annotation, taint or node selector: `[prefix/]name`.
pub static LABEL_KEY: Form = Form::new(
    253 + 1 + 63,
    &[must(
        concat!("^(", subdomain!(), "/)?", qualified!(), "$"),
        "not a label key: an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_' and '.'",
    )],
);

/// A value of a label; may be empty.
pub static LABEL_VALUE: Form = Form::new(
    63,
    &[must(
        concat!("^(", qualified!(), ")?$"),
        "not a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    )],
);

/// A key of a ConfigMap or Secret.
pub static CONFIG_KEY: Form = Form::new(
    253,
    &[must(
        r"^(\.?[-_A-Za-z0-9])[-._A-Za-z0-9]*$",
        "not a ConfigMap key: at most 253 letters, digits, '-', '_' and '.', and neither '.' nor beginning with '..'",
    )],
);

/// An address that a hostname may resolve to.
pub static ADDRESS: Form = Form::new(
    39,
    &[
        must_not(
            "^(127[.]|[0:]*:0{0,3}1$)",
            "a loopback address; those are the names of the job's own services",
        ),
        must_not(
            "^(0[.]0[.]0[.]0|[0:]+)$",
            "the unspecified address; write the one that the hostname resolves to",
        ),
        // IPv4-mapped ones above all (RFC 4291, 2.5.5): other programs take them for the IPv4 address.
        must_not(
            "^(::|0{1,4}:)",
            "an IPv6 address that begins with zeros, which no host has; write an IPv4 address as in 10.0.0.232",
        ),
        must(
            concat!("^((", octet!(), r"\.){3}", octet!(), "|", ipv6!(), ")$"),
            "not an IP address; write it as in 10.0.0.232 or fd00::232, without port or zone",
        ),
    ],
);

/// A registry as the docker client writes it: `host` or `host:port`, an IPv6 address in brackets.
pub static REGISTRY_HOST: Form = Form::new(
    253,
    &[must(
        concat!(
            "^(",
            subdomain!(),
            r"|\[(",
            ipv6!(),
            r")\])",
            "(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?$"
        ),
        "not a registry host: a hostname or an address, and :PORT if it has one, as in registry.mylab.com:5000",
    )],
);

/// A glob over image references.
pub static IMAGE_GLOB: Form = Form::new(
    512,
    &[
        must(
            ".",
            "no image; write a reference, in which * stands for any characters",
        ),
        must_not(
            "@",
            "with a digest; globs are compared with the reference without it",
        ),
    ],
);

const ABSOLUTE: Fault = must("^/", "not an absolute path; begin it with /");
const WITHOUT_COLON: Fault = must_not(":", "with a ':', which a mount path must not contain");
/// The API server has no function that cleans a path, and paths that are written alike can be compared.
const CLEAN: Fault = must_not(
    "//|/[.][.]?(/|$)|./$",
    "not a clean path; write it without '//', '.', '..' and a '/' at the end",
);
/// [`CLEAN`] comes before it.
const AROUND_CLIENT_CERTS: &str = "^/(certs(/client)?)?$|^/certs/client/";
/// `PATH_MAX` of Linux.
const LONGEST_PATH: usize = 4096;

/// Where a volume is mounted.
pub static MOUNT_PATH: Form = Form::new(
    LONGEST_PATH,
    &[
        ABSOLUTE,
        WITHOUT_COLON,
        CLEAN,
        must_not(
            AROUND_CLIENT_CERTS,
            "at, above or below /certs/client, which clientCerts looks after; take another path",
        ),
    ],
);

/// Where something displaced is mounted.
pub static RELOCATE_TO: Form = Form::new(
    LONGEST_PATH,
    &[
        ABSOLUTE,
        WITHOUT_COLON,
        CLEAN,
        must_not(
            AROUND_CLIENT_CERTS,
            "at, above or below /certs/client, where dind writes its certificates; take another directory, as in /certs/displaced",
        ),
    ],
);

/// A path of the node.
pub static HOST_PATH: Form = Form::new(
    LONGEST_PATH,
    &[
        ABSOLUTE,
        must_not(
            "/[.][.](/|$)",
            "with a '..', which a path of the node must not contain",
        ),
    ],
);

/// A path that NFS exports.
pub static EXPORTED_PATH: Form = Form::new(LONGEST_PATH, &[ABSOLUTE]);

/// Where a key of a ConfigMap or Secret is put in its volume.
pub static ITEM_PATH: Form = Form::new(
    1024,
    &[
        must("^[^/]", "not a relative path; write it as in ca.crt"),
        must_not(
            "^[.][.]|/[.][.](/|$)",
            "with a '..', which a path in a volume must not contain",
        ),
    ],
);

macro_rules! suffix {
    () => {
        "([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,3})?"
    };
}

/// A quantity of bytes that is not negative.
pub static QUANTITY: Form = Form::new(
    32,
    &[must(
        concat!("^[+]?([0-9]+[.]?[0-9]*|[.][0-9]+)", suffix!(), "$"),
        "not a quantity of bytes, as in 1Mi",
    )],
);

/// A quantity of bytes that is greater than zero.
pub static SIZE_LIMIT: Form = Form::new(
    32,
    &[must(
        concat!(
            "^[+]?(0*[1-9][0-9]*([.][0-9]*)?|0*[.]0*[1-9][0-9]*)",
            suffix!(),
            "$"
        ),
        "not a quantity of bytes greater than zero, as in 1Mi; without a limit the certificates' volume could fill the node's memory",
    )],
);

/// What an emptyDir is made of.
pub static MEDIUM: Form = Form::new(
    63,
    &[must(
        "^(Memory|HugePages(-[0-9]+[KMG]i)?)?$",
        "not a medium; use Memory, or leave it out for the node's disk",
    )],
);

/// The name of a CSI driver.
pub static CSI_DRIVER: Form = Form::new(
    63,
    &[must(
        "^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$",
        "not the name of a CSI driver: letters, digits, '-' and '.', beginning and ending with a letter or digit, at most 63 characters",
    )],
);

/// A server that a volume comes from.
pub static SERVER: Form = Form::new(
    253,
    &[must(
        "^[-A-Za-z0-9_.:%]+$",
        "not a server; write its name or address",
    )],
);

/// Every form.
pub static ALL: &[&Form] = &[
    &SUBDOMAIN,
    &LABEL,
    &LABEL_KEY,
    &LABEL_VALUE,
    &CONFIG_KEY,
    &ADDRESS,
    &REGISTRY_HOST,
    &IMAGE_GLOB,
    &MOUNT_PATH,
    &RELOCATE_TO,
    &HOST_PATH,
    &EXPORTED_PATH,
    &ITEM_PATH,
    &QUANTITY,
    &SIZE_LIMIT,
    &MEDIUM,
    &CSI_DRIVER,
    &SERVER,
];

#[cfg(test)]
mod tests;
