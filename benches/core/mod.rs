//! The cases of `ir` and `time`: reviews from 6 kB to 1 MB, and policy sets from one policy to a
//! thousand.

mod bodies;
#[allow(dead_code, reason = "`time` does not use it")]
#[path = "../../tests/webhook/bounds.rs"]
pub(crate) mod bounds;
#[allow(dead_code, reason = "`time` does not use it")]
pub(crate) mod growth;

use bodies::fixture;
use drydock::core::admission::{self, Context, ReviewError};
use drydock::core::policy::{self, AddressesBySource, Mode, PolicySet};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::hint::black_box;

/// The operation to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Evaluates the review: parses it, judges the pod, renders the response.
    Review,
    /// Parses the body with serde_json and discards the result. A reference that changes with
    /// compiler and machine as the review does.
    Ignore,
}

/// An operation, a body and policies.
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) body: Vec<u8>,
    policies: PolicySet,
}

pub(crate) const NAMES: [&str; 13] = [
    "small",
    "typical",
    "full",
    "real",
    "no-match",
    "huge",
    "ignore-typical",
    "one-of-1",
    "one-of-1000-by-label",
    "one-of-1000-by-namespace",
    "aliases-100",
    "aliases-1000",
    "owned-1000",
];

impl Case {
    /// Creates a case of [`NAMES`].
    pub(crate) fn new(name: &'static str) -> Self {
        let (work, body, policies) = match name {
            "ignore-typical" => (Work::Ignore, fixture("typical"), sample()),
            "real" => (
                Work::Review,
                fixture("runner/19.3.0-secret-certs"),
                sample(),
            ),
            "no-match" => (Work::Review, fixture("nomatch"), sample()),
            "huge" => (Work::Review, bodies::huge(), sample()),
            "one-of-1" => (Work::Review, fixture("typical"), one_of(1, by_label)),
            "one-of-1000-by-label" => (Work::Review, fixture("typical"), one_of(1_000, by_label)),
            "one-of-1000-by-namespace" => (
                Work::Review,
                fixture("typical"),
                one_of(1_000, by_namespace),
            ),
            "aliases-100" => (Work::Review, with_aliases(100), sample()),
            "aliases-1000" => (Work::Review, with_aliases(1_000), sample()),
            "owned-1000" => (Work::Review, with_aliases(1_000), owner_of(1_000)),
            name => (Work::Review, fixture(name), sample()),
        };
        Self {
            work,
            body,
            policies: set(&policies),
        }
    }

    #[allow(dead_code, reason = "`time` does not use it")]
    /// Creates the case of a pod with `count` items of a dimension of [`growth::DIMENSIONS`].
    pub(crate) fn grown(dimension: &str, count: usize) -> Self {
        let policies = match dimension {
            "owned hostnames, and 2,000 entries" | "stale hostnames of one entry" => {
                owner_of(count)
            }
            _ => {
                let mut policies = sample();
                policies[0]["spec"]["dind"]["scheduling"] = json!({
                    "nodeSelector": {"role": "ci"},
                    "tolerations": [{"key": "ci", "operator": "Exists"}],
                });
                policies
            }
        };
        Self {
            work: Work::Review,
            body: growth::review(dimension, count),
            policies: set(&policies),
        }
    }

    #[allow(dead_code, reason = "`time` does not use it")]
    /// Creates the case of a review at the limits.
    pub(crate) fn at_bounds(shape: &bounds::AtBounds) -> Self {
        let policy = serde_json::from_str(&(shape.policy)()).unwrap();
        Self {
            work: Work::Review,
            body: (shape.review)(),
            policies: set(&[policy]),
        }
    }

    /// Runs the operation once, and drops the result.
    pub(crate) fn run(&self) {
        let body = black_box(self.body.as_slice());
        match self.work {
            Work::Ignore => {
                black_box(serde_json::from_slice::<IgnoredAny>(body).unwrap());
            }
            Work::Review => {
                let context = Context {
                    policies: &self.policies,
                    mode: Mode::Enforce,
                    namespace_labels: None,
                    own_namespace: "drydock",
                };
                // A review at the limits can fail because its patch is too large.
                let answer = black_box(admission::review(body, context));
                assert!(matches!(answer, Ok(_) | Err(ReviewError::PatchTooLarge(_))));
            }
        }
    }
}

fn sample() -> Vec<Value> {
    vec![json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": "gitlab"},
        "spec": {
            "priority": 100,
            "hostAliases": [{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com", "minio.mylab.com", "registry.mylab.com"]}],
            "dind": {
                "volumes": [
                    {"name": "dind-storage", "mountPath": "/var/lib/docker", "emptyDir": {}},
                    {"name": "dind-modules", "mountPath": "/lib/modules", "readOnly": true, "hostPath": {"path": "/lib/modules", "type": "DirectoryOrCreate"}},
                ],
                "registryCAs": [{"host": "registry.mylab.com", "configMap": {"name": "registry-ca", "key": "ca.crt"}}],
            },
        },
    })]
}

fn set(policies: &[Value]) -> PolicySet {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": policies});
    let file = policy::read("bench", &list.to_string());
    assert!(file.errors.is_empty(), "{:?}", file.errors);
    PolicySet::new(file.policies, &AddressesBySource::new())
}

/// Returns `count` copies of the sample policy, of which one selects the pods of the fixtures.
fn one_of(count: usize, select: fn(&mut Value, &str)) -> Vec<Value> {
    let [sample] = <[Value; 1]>::try_from(sample()).unwrap();
    let policy = |number: usize| {
        let mut policy = sample.clone();
        policy["metadata"]["name"] = json!(format!("policy-{number}"));
        let whom = if number == count / 2 {
            "ours".to_owned()
        } else {
            format!("other-{number}")
        };
        select(&mut policy["spec"], &whom);
        policy
    };
    (0..count).map(policy).collect()
}

fn by_label(spec: &mut Value, whom: &str) {
    let team = if whom == "ours" { "payments" } else { whom };
    spec["podSelector"] = json!({"matchLabels": {"team": team}});
}

fn by_namespace(spec: &mut Value, whom: &str) {
    let namespace = if whom == "ours" { "gitlab-ci" } else { whom };
    spec["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
}

/// Returns policies with this number of hostnames together, ten for each address. A policy has at
/// most 32 addresses.
fn owner_of(hostnames: usize) -> Vec<Value> {
    let alias = |entry: usize| {
        let names: Vec<String> = (0..10)
            .map(|name| format!("owned-{entry}-{name}.mylab.com"))
            .collect();
        json!({"ip": format!("10.1.{}.{}", entry / 200, entry % 200 + 1), "hostnames": names})
    };
    let aliases: Vec<Value> = (0..hostnames / 10).map(alias).collect();
    let policy = |(number, aliases): (usize, &[Value])| {
        let mut policy = sample().remove(0);
        policy["metadata"]["name"] = json!(format!("owner-{number}"));
        policy["spec"]["hostAliases"] = json!(aliases);
        policy
    };
    aliases.chunks(32).enumerate().map(policy).collect()
}

/// Returns the typical body with `count` entries in `hostAliases`.
fn with_aliases(count: usize) -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(&fixture("typical")).unwrap();
    let alias = |entry: usize| json!({"ip": format!("10.9.{}.{}", entry / 200, entry % 200 + 1), "hostnames": [format!("host-{entry}.mylab.com")]});
    review["request"]["object"]["spec"]["hostAliases"] = (0..count).map(alias).collect();
    review.to_string().into_bytes()
}
