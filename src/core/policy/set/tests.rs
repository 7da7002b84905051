//! Tests of rules M1 to M4.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::core::policy::set::{Matching, Namespace};
use crate::core::verdict::{Outcome, SkipReason};
use crate::testing::{DIND, Setup};
use rstest::rstest;
use serde_json::json;
use std::collections::BTreeMap;

#[test]
fn m1_the_higher_priority_comes_first_then_the_name() {
    let set = Setup {
        policies: &[
            ("b", "{}"),
            ("a", "priority: 0"),
            ("last", "priority: -1"),
            ("first", "priority: 5"),
            ("c", "priority: null"),
        ],
        ..Setup::default()
    }
    .policy_set();
    let names: Vec<&str> = set.policies().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["first", "a", "b", "c", "last"]);
}

#[rstest]
#[case::none("{}", true)]
#[case::empty("{podSelector: {}, namespaceSelector: {}}", true)]
#[case::null("{podSelector: null, namespaceSelector: {matchLabels: null}}", true)]
#[case::pod_label("podSelector: {matchLabels: {team: a}}", true)]
#[case::other_pod_label("podSelector: {matchLabels: {team: b}}", false)]
#[case::namespace_label("namespaceSelector: {matchLabels: {env: prod}}", true)]
#[case::other_namespace_label("namespaceSelector: {matchLabels: {env: test}}", false)]
#[case::one_of_two(
    "{podSelector: {matchLabels: {team: a}}, namespaceSelector: {matchLabels: {env: test}}}",
    false
)]
#[case::in_values(
    "podSelector: {matchExpressions: [{key: team, operator: In, values: [b, a]}]}",
    true
)]
#[case::not_in_values(
    "podSelector: {matchExpressions: [{key: team, operator: NotIn, values: [a]}]}",
    false
)]
#[case::not_in_an_absent_label(
    "podSelector: {matchExpressions: [{key: none, operator: NotIn, values: [a]}]}",
    true
)]
#[case::exists(
    "podSelector: {matchExpressions: [{key: team, operator: Exists}]}",
    true
)]
#[case::does_not_exist(
    "podSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}",
    false
)]
#[case::the_namespaces_name(
    "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ci}}",
    true
)]
#[case::another_name(
    "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: cd}}",
    false
)]
fn m1_selectors_narrow_a_policy(#[case] policy: &str, #[case] matches: bool) {
    let judged = Setup {
        policies: &[("p", policy)],
        pod: "metadata: {labels: {job.runner.gitlab.com/pod: x, team: a}}",
        namespace: "ci",
        namespace_labels: &[("env", "prod")],
        ..Setup::default()
    }
    .judge();
    let no_policy = Outcome::Skipped(SkipReason::NoPolicy);
    assert_eq!(judged.outcome != no_policy, matches);
}

/// The index must find the same policies as an evaluation of all selectors.
#[test]
fn m1_the_index_finds_the_same_policies_as_a_scan() {
    let selectors = [
        "",
        "podSelector: {matchLabels: {team: a}}",
        "podSelector: {matchExpressions: [{key: team, operator: In, values: [a, b, a]}, {key: x, operator: Exists}]}",
        "podSelector: {matchExpressions: [{key: team, operator: NotIn, values: [a]}]}",
        "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ci}}",
        "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ci, env: prod}}",
        "namespaceSelector: {matchLabels: {env: prod}}",
        "namespaceSelector: {matchExpressions: [{key: env, operator: DoesNotExist}]}",
        "{podSelector: {matchLabels: {x: z}}, namespaceSelector: {matchLabels: {env: prod}}}",
    ];
    let names: Vec<String> = (0..selectors.len())
        .map(|n| format!("policy-{n}"))
        .collect();
    let policies: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(selectors).collect();
    let set = Setup {
        policies: &policies,
        ..Setup::default()
    }
    .policy_set();
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let pods = [
        labels(&[]),
        labels(&[("team", "a")]),
        labels(&[("team", "b"), ("x", "z")]),
        labels(&[("team", "c"), ("x", "")]),
    ];
    let of_namespace = [
        None,
        Some(labels(&[])),
        Some(labels(&[("env", "prod")])),
        Some(labels(&[("kubernetes.io/metadata.name", "other")])),
    ];
    let mut matched = 0;
    for (pod, of_namespace, name) in pods.iter().flat_map(|pod| {
        of_namespace
            .iter()
            .flat_map(move |of| ["ci", "other", ""].map(|name| (pod, of, name)))
    }) {
        let namespace = Namespace {
            name,
            labels: of_namespace.as_ref(),
        };
        let label = |key: &str| pod.get(key).map(String::as_str);
        let matching = set.matching(label, namespace);
        let of_pod: Vec<_> = set
            .policies()
            .filter(|policy| policy.pod_selector.matches(label))
            .collect();
        let by = |wanted| {
            of_pod
                .iter()
                .filter(|policy| namespace.is_selected_by(policy) == wanted)
                .map(|policy| policy.name.as_str())
                .collect::<Vec<_>>()
        };
        let found = |policies: &[&crate::core::policy::Policy]| {
            policies
                .iter()
                .map(|policy| policy.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&matching.enforce.policies), by(Some(true)));
        assert_eq!(found(&matching.undecided), by(None));
        let reported = matching.enforce.policies.len() + matching.undecided.len();
        assert_eq!(matching.others().count(), selectors.len() - reported);
        matched += matching.enforce.policies.len();
    }
    assert!(matched > 50, "{matched}");
}

#[test]
fn m1_a_policy_that_needs_unknown_labels_is_undecided() {
    let set = Setup {
        policies: &[
            ("by-label", "namespaceSelector: {matchLabels: {env: prod}}"),
            (
                "by-absence",
                "namespaceSelector: {matchExpressions: [{key: env, operator: DoesNotExist}]}",
            ),
            (
                "by-name",
                "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ci}}",
            ),
        ],
        ..Setup::default()
    }
    .policy_set();
    let namespace = Namespace {
        name: "ci",
        labels: None,
    };
    let Matching {
        enforce, undecided, ..
    } = set.matching(|_| None, namespace);
    let names = |policies: &[&crate::core::policy::Policy]| {
        policies
            .iter()
            .map(|policy| policy.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&enforce.policies), ["by-name"]);
    assert_eq!(names(&undecided), ["by-absence", "by-label"]);
}

#[test]
fn m2_a_hostname_belongs_to_the_first_policy_with_all_its_addresses() {
    let judged = Setup {
        policies: &[
            ("low", "hostAliases: [{ip: 'fd00::2', hostnames: [a, b]}]"),
            (
                "high",
                "{priority: 1, hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]}",
            ),
        ],
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "fd00::2", "hostnames": ["b"]}])
    );
}

#[test]
fn m2_a_hostname_without_a_live_address_still_belongs_to_the_first_policy() {
    let judged = Setup {
        policies: &[
            ("low", "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]"),
            ("high", "{priority: 1, hostAliases: [{from: {service: {namespace: ns, name: s}}, hostnames: [a]}]}"),
        ],
        ..Setup::default()
    }
    .judge();
    judged.assert_unchanged();
    assert!(judged.reports_to_team("H7", "service/ns/s"));
    assert_eq!(judged.overrides.len(), 1);
}

#[test]
fn m2_a_policy_that_does_not_match_has_no_effect() {
    let judged = Setup {
        policies: &[
            ("low", "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]"),
            ("high", "{priority: 1, podSelector: {matchLabels: {a: b}}, hostAliases: [{ip: 10.0.0.2, hostnames: [a]}]}"),
        ],
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.host_aliases()[0]["ip"], "10.0.0.1");
    assert!(judged.overrides.is_empty());
}

const HIGH: &str = "{priority: 1, dind: {
    images: [corp/a:*],
    clientCerts: {sizeLimit: 2Mi},
    volumes: [{name: high, mountPath: /v, emptyDir: {}}],
    registryCAs: [{host: r, configMap: {name: high, key: k}}],
    scheduling: {nodeSelector: {role: high}, tolerations: [{key: high, operator: Exists}]}}}";
const LOW: &str = "{dind: {
    images: [corp/b:*],
    clientCerts: {onConflict: Deny},
    volumes: [{name: low, mountPath: /v, emptyDir: {medium: Memory}}, {name: more, mountPath: /w, emptyDir: {}}],
    registryCAs: [{host: r, configMap: {name: low, key: k}}, {host: s, configMap: {name: low, key: k}}],
    scheduling: {nodeSelector: {role: low, zone: low}, tolerations: [{key: high, operator: Exists}, {key: low, operator: Exists}]}}}";

#[test]
fn m3_settings_for_dind_are_folded() {
    let judged = Setup {
        policies: &[("low", LOW), ("high", HIGH), ("none", "priority: 9")],
        pod: DIND,
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.volumes()[0]["emptyDir"]["sizeLimit"], "2Mi");
    let names: Vec<&str> = judged
        .volumes()
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "drydock-docker-certs",
            "high",
            "more",
            "registry-ca-r",
            "registry-ca-s"
        ]
    );
    assert_eq!(judged.volumes()[3]["configMap"]["name"], "high");
    assert_eq!(
        judged.pod["spec"]["nodeSelector"],
        json!({"role": "high", "zone": "low"})
    );
    assert_eq!(
        judged.pod["spec"]["tolerations"],
        json!([{"key": "high", "operator": "Exists"}, {"key": "low", "operator": "Exists"}])
    );
}

#[rstest]
#[case("corp/a:1")]
#[case("corp/b:1")]
fn m3_images_are_a_union(#[case] image: &str) {
    let judged = Setup {
        policies: &[("low", LOW), ("high", HIGH)],
        pod: &format!("containers: [{{name: build}}, {{name: svc-0, image: '{image}'}}]"),
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.outcome, Outcome::Mutated);
}

#[test]
fn m3_client_certs_are_those_of_the_first_policy_with_dind() {
    let judged = Setup {
        policies: &[
            ("low", "dind: {volumes: [], clientCerts: {sizeLimit: 2Mi, onConflict: Deny}}"),
            ("high", "{priority: 1, dind: {volumes: []}}"),
        ],
        pod: "volumes: [{name: ca, secret: {secretName: ca}}]\ncontainers: [{name: build}, {name: docker, image: docker:dind, volumeMounts: [{name: ca, mountPath: /certs/client}]}]",
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.volumes()[0]["emptyDir"]["sizeLimit"], "1Mi");
}

#[test]
fn m4_every_overridden_request_is_reported() {
    let policies = &[
        ("low", LOW),
        ("high", HIGH),
        (
            "a",
            "{priority: 2, hostAliases: [{ip: 10.0.0.1, hostnames: [x]}]}",
        ),
        ("b", "hostAliases: [{ip: 10.0.0.2, hostnames: [x]}]"),
    ];
    let setup = Setup {
        policies,
        pod: DIND,
        ..Setup::default()
    };
    let overrides = setup.judge().overrides;
    for (loser, what, winner) in [
        ("b", "hostname x", "a"),
        ("low", "clientCerts", "high"),
        ("low", "the volume at /v", "high"),
        ("low", "the CA certificate of registry r", "high"),
        ("low", "the nodeSelector key role", "high"),
    ] {
        let overridden = format!("policy \"{winner}\" overrides {what} of policy \"{loser}\"");
        assert!(
            overrides.contains(&overridden),
            "{overridden} in {overrides:?}"
        );
    }
    assert_eq!(overrides.len(), 5);
    let set = setup.policy_set();
    let all: Vec<String> = set.overrides().iter().map(ToString::to_string).collect();
    assert_eq!(
        all, overrides,
        "`drydock check` should report the same overrides"
    );
}

#[test]
fn m4_equal_requests_are_not_overrides() {
    let judged = Setup {
        policies: &[("a", HIGH), ("b", HIGH)],
        pod: DIND,
        ..Setup::default()
    }
    .judge();
    assert!(judged.overrides.is_empty(), "{:?}", judged.overrides);
}
