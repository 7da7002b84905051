//! Rules M4, T1 and T4 in the words of `explain`.

use crate::core::policy::Mode;
use crate::testing::Setup;

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
        text.contains("  removed the hostAliases entry 10.0.0.9 (a), which is not the policy's address (H2, policy \"aliases\")\n"),
        "{text}"
    );
    assert!(
        text.contains("  added the hostAliases entry 10.0.0.1 (a) (H5, policy \"aliases\")\n"),
        "{text}"
    );
}

#[test]
fn m4_explain_tells_of_losers() {
    let text = explained(
        &[
            ("a", "hostAliases: [{ip: 10.0.0.1, hostnames: [x]}]"),
            ("b", "hostAliases: [{ip: 10.0.0.2, hostnames: [x]}]"),
        ],
        "",
    );
    let mut lines = text.lines();
    let told = |line: &str| {
        line.starts_with("  policy \"b\" is overridden for hostname x") && line.ends_with(" (M4)")
    };
    assert!(lines.any(told), "{text}");
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
