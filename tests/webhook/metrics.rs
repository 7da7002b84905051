//! Parses `/metrics` as strictly as a scraper (OpenMetrics 1.0).

use std::collections::{BTreeMap, BTreeSet};

/// The samples of one scrape.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Parses the text and checks its form: it ends with `# EOF`, samples are unique, and each
    /// sample belongs to the family that was declared before it, with a help text, and with a
    /// suffix that the type of the family allows.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with("# EOF\n"), "no # EOF at the end: {text:?}");
        let mut samples = BTreeMap::new();
        let (mut helped, mut typed) = (BTreeSet::new(), BTreeSet::new());
        let (mut family, mut kind) = ("", "");
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["#", "EOF"] => break,
                ["#", "HELP", name, help] => {
                    assert!(helped.insert(*name), "second HELP: {line}");
                    assert!(help.len() > 10, "no help text: {line}");
                }
                ["#", "TYPE", name, of] => {
                    assert!(typed.insert(*name), "second TYPE: {line}");
                    (family, kind) = (name, of);
                }
                ["#", "UNIT", name, unit] => {
                    assert!(name == &family && name.ends_with(unit), "{line}");
                }
                _ => {
                    let (sample, value) = line.rsplit_once(' ').expect("a sample without a value");
                    let name = sample.split('{').next().unwrap();
                    let suffix = name.strip_prefix(family);
                    let allowed: &[&str] = match kind {
                        "counter" => &["_total"],
                        "gauge" => &[""],
                        "info" => &["_info"],
                        "histogram" => &["_sum", "_count", "_bucket"],
                        other => panic!("unexpected type {other}"),
                    };
                    assert!(
                        suffix.is_some_and(|suffix| allowed.contains(&suffix)),
                        "{line} does not belong to {kind} {family}"
                    );
                    assert!(name.starts_with("drydock_"), "{line}");
                    let value: f64 = value.parse().unwrap();
                    assert_eq!(samples.insert(sample.to_owned(), value), None, "{line}");
                }
            }
        }
        assert_eq!(helped, typed);
        Self(samples)
    }

    /// Returns the value of a sample.
    #[track_caller]
    pub(crate) fn value(&self, sample: &str) -> f64 {
        *self
            .0
            .get(sample)
            .unwrap_or_else(|| panic!("no {sample} in {:#?}", self.0))
    }

    /// Returns the samples whose name and labels begin with a prefix.
    pub(crate) fn beginning_with(&self, prefix: &str) -> impl Iterator<Item = (&str, f64)> {
        let samples = self.0.range(prefix.to_owned()..);
        let samples = samples.take_while(move |(sample, _)| sample.starts_with(prefix));
        samples.map(|(sample, value)| (sample.as_str(), *value))
    }

    /// Returns the sum of the samples whose name and labels begin with a prefix.
    pub(crate) fn sum(&self, prefix: &str) -> f64 {
        self.beginning_with(prefix).map(|(_, value)| value).sum()
    }
}

/// Returns the name of the sample that counts reviews by outcome and reason.
pub(crate) fn reviews(outcome: &str, reason: &str) -> String {
    format!("drydock_reviews_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}")
}

/// Returns the name of the sample that counts failed reviews.
pub(crate) fn failed(reason: &str) -> String {
    reviews("failed", reason)
}

/// Returns the name of the sample that counts requests that are not reviews.
pub(crate) fn other(reason: &str) -> String {
    format!("drydock_other_requests_total{{reason=\"{reason}\"}}")
}

/// Returns the name of the sample that counts failed TLS handshakes.
pub(crate) fn handshake_failure(reason: &str) -> String {
    format!("drydock_tls_handshake_failures_total{{reason=\"{reason}\"}}")
}

/// Returns the name of the sample that counts how often a limit was reached.
pub(crate) fn limit(name: &str) -> String {
    format!("drydock_limit_hits_total{{limit=\"{name}\"}}")
}
