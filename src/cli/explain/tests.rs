//! Tests how `drydock mutate -o explain` follows rules A6, M4, T1, T2 and T4.

use crate::core::policy::Mode;
use crate::core::rules::Change;
use crate::core::rules::change::NAMES;
use crate::testing::Setup;
use std::collections::BTreeSet;

fn explained(policies: &[(&str, &str)], pod: &str) -> String {
    let setup = Setup {
        policies,
        pod,
        ..Setup::default()
    };
    setup.with_verdict(|verdict| super::explain("pod", verdict, Mode::Enforce))
}

#[test]
fn t1_explain_names_the_rule_and_the_policy_of_each_change() {
    let text = explained(
        &[("aliases", "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]")],
        "hostAliases: [{ip: 10.0.0.9, hostnames: [a]}]",
    );
    assert!(text.starts_with("pod: mutated, 2 changes\n"), "{text}");
    assert!(
        text.contains("  policy \"aliases\" (priority 0, Enforce):\n    added the hostAliases entry 10.0.0.1 (a) (H5)\n"),
        "{text}"
    );
    assert!(
        text.contains("    removed the hostAliases entry 10.0.0.9 (a), because 10.0.0.9 is not the policy's address for this hostname (H2)\n"),
        "{text}"
    );
}

#[test]
fn m4_explain_reports_overridden_policies() {
    let text = explained(
        &[
            ("a", "hostAliases: [{ip: 10.0.0.1, hostnames: [x]}]"),
            ("b", "hostAliases: [{ip: 10.0.0.2, hostnames: [x]}]"),
        ],
        "",
    );
    assert!(
        text.ends_with(
            "  policy \"b\" (priority 0, Enforce):\n    hostname x is overridden by policy \"a\", which ranks higher (M4)\n"
        ),
        "{text}"
    );
}

/// In audit mode, no sentence claims that a change was made.
#[test]
fn a6_every_change_has_a_sentence_for_an_audit() {
    let policy = "{mode: Audit, hostAliases: [{ip: 10.0.0.1, hostnames: [a, b]}, {ip: 10.0.0.2, hostnames: [c]}],
dind: {scheduling: {nodeSelector: {role: ci}, tolerations: [{key: ci, operator: Exists}]}}}";
    let pods = [
        "hostAliases: [{ip: 10.0.0.9, hostnames: [a]}, {ip: 10.0.0.8, hostnames: [b, other]}, {ip: 10.0.0.2, hostnames: [d]}]
volumes: [{name: ca, secret: {secretName: ca}}]
containers:
- {name: build, volumeMounts: [{name: ca, mountPath: /certs/client, readOnly: true}]}
- {name: docker, image: docker:dind, volumeMounts: [{name: ca, mountPath: /certs/client/ca.pem, subPath: ca.pem}]}",
        "volumes: [{name: ca, secret: {secretName: ca}}]
containers:
- {name: build, volumeMounts: [{name: ca, mountPath: /certs/client, readOnly: true}]}
- {name: docker, image: docker:dind, volumeMounts: [{name: ca, mountPath: /certs/client, readOnly: true}]}",
    ];
    let mut names = BTreeSet::new();
    for pod in pods {
        let setup = Setup {
            policies: &[("quiet", policy)],
            pod,
            ..Setup::default()
        };
        let text = setup.with_verdict(|verdict| {
            names.extend(verdict.audited.changes.iter().map(Change::name));
            super::explain("pod", verdict, Mode::Enforce)
        });
        let changes = text.lines().filter(|line| line.starts_with("    would "));
        let is_past = |line: &str| {
            line.split(' ')
                .nth(5)
                .is_some_and(|verb| verb.ends_with("ed"))
        };
        assert!(changes.clone().count() > 5, "{text}");
        assert!(!changes.clone().any(is_past), "{text}");
    }
    assert_eq!(names, NAMES.iter().copied().collect());
}

/// The author cannot change the policy, so the advice is to ask the platform team. The same advice
/// would be wrong in a message for the platform team.
#[test]
fn t2_advice_for_the_team_reaches_the_author_as_a_request() {
    let pod = "volumes: [{name: ca, secret: {secretName: ca}}]
containers:
- {name: build}
- {name: docker, image: docker:dind, volumeMounts: [{name: ca, mountPath: /certs/client}]}";
    let text = explained(&[("p", "dind: {volumes: []}")], pod);
    let expected = "    for the author of the job:\n      secret volume \"ca\" is no longer mounted at /certs/client, because docker:dind must write its client certificates to /certs/client; ask the platform team to set dind.registryCAs in the policy if dind needs the CA of a registry (D7)\n";
    assert!(text.contains(expected), "{text}");
    let team = "    for the platform team:\n      the build container has no DOCKER_HOST";
    assert!(text.contains(team), "{text}");
    assert!(
        !text.contains("scheduling"),
        "the policy has no scheduling: {text}"
    );
}

#[test]
fn t4_explain_never_shows_the_value_of_a_variable() {
    for on_conflict in ["Replace", "Relocate", "Report", "Deny"] {
        let text = explained(
            &[(
                "p",
                &format!("{{hostAliases: [{{ip: 10.0.0.1, hostnames: [a]}}], dind: {{clientCerts: {{onConflict: {on_conflict}}}}}}}"),
            )],
            "volumes: [{name: ca, secret: {secretName: ca}}]
containers:
- {name: build, env: [{name: TOKEN, value: s3cr3t}, {name: DOCKER_HOST, value: 'tcp://s3cr3t:2375'}], volumeMounts: [{name: ca, mountPath: /certs/client}]}
- {name: docker, image: docker:dind, env: [{name: A, value: s3cr3t}]}
- {name: two, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR, value: s3cr3t}]}",
        );
        assert!(text.lines().count() > 5, "{text}");
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}
