//! Tests of rules M6 and H6, the schema and the error messages.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::core::policy::read;
use crate::testing::policy_text;
use rstest::rstest;

/// Returns the field and problem of each error in a policy with this spec.
fn problems(spec: &str) -> Vec<String> {
    let file = read("test", &policy_text("test", spec));
    assert_eq!(file.policies.is_empty(), !file.errors.is_empty());
    file.errors.into_iter().map(|error| error.problem).collect()
}

/// Asserts that a spec has exactly one error, which begins with `field` and contains `part`.
#[track_caller]
fn assert_refused(spec: &str, field: &str, part: &str) {
    let problems = problems(spec);
    let [problem] = problems.as_slice() else {
        assert_eq!(problems.len(), 1, "{problems:#?}");
        return;
    };
    assert!(problem.starts_with(&format!("{field} ")), "{problem}");
    assert!(problem.contains(part), "{problem}");
}

fn volumes(volumes: &str) -> String {
    format!("dind: {{volumes: [{volumes}]}}")
}

#[test]
fn m6_two_volumes_with_the_same_name_are_refused() {
    let spec =
        volumes("{name: v, mountPath: /a, emptyDir: {}}, {name: v, mountPath: /b, emptyDir: {}}");
    assert_refused(&spec, "spec.dind.volumes[1].name", "\"v\"");
}

#[test]
fn m6_two_volumes_with_the_same_path_are_refused() {
    let spec = volumes(
        "{name: v, mountPath: /a/v, emptyDir: {}}, {name: w, mountPath: /a/v, emptyDir: {}}",
    );
    assert_refused(&spec, "spec.dind.volumes[1].mountPath", "volumes[0]");
}

/// The paths of a policy must be clean, because they are compared as strings.
#[rstest]
#[case("/a/v/")]
#[case("//a//v")]
#[case("/b/../a/v")]
#[case("/a/./v")]
#[case("/a/..")]
fn m6_a_path_that_is_not_clean_is_refused(#[case] path: &str) {
    let volume = volumes(&format!("{{name: w, mountPath: {path}, emptyDir: {{}}}}"));
    assert_refused(
        &volume,
        "spec.dind.volumes[0].mountPath",
        "not a clean path",
    );
    let relocate = format!("dind: {{clientCerts: {{onConflict: Relocate, relocateTo: {path}}}}}");
    assert_refused(
        &relocate,
        "spec.dind.clientCerts.relocateTo",
        "not a clean path",
    );
}

#[rstest]
#[case::at("/certs/client")]
#[case::not_clean("/x/..//certs/client/")]
#[case::above("/certs")]
#[case::the_root("/")]
#[case::below("/certs/client/ca")]
fn m6_a_path_that_overlaps_with_the_certificates_is_refused(#[case] path: &str) {
    let volume = volumes(&format!("{{name: v, mountPath: {path}, emptyDir: {{}}}}"));
    assert_refused(&volume, "spec.dind.volumes[0].mountPath", path);
    let relocate = format!("dind: {{clientCerts: {{onConflict: Relocate, relocateTo: {path}}}}}");
    assert_refused(&relocate, "spec.dind.clientCerts.relocateTo", path);
}

#[rstest]
#[case("/certs/clients")]
#[case("/certs/server")]
#[case("/data")]
fn m6_a_path_that_does_not_overlap_with_the_certificates_is_accepted(#[case] path: &str) {
    let none: [String; 0] = [];
    let volume = volumes(&format!("{{name: v, mountPath: {path}, emptyDir: {{}}}}"));
    assert_eq!(problems(&volume), none);
    let relocate = format!("dind: {{clientCerts: {{onConflict: Relocate, relocateTo: {path}}}}}");
    assert_eq!(problems(&relocate), none);
}

#[test]
fn m6_a_duplicate_registry_host_is_refused() {
    let ca = "{host: 'r:5000', configMap: {name: ca, key: k}}";
    let spec = format!(
        "dind: {{registryCAs: [{ca}, {{host: r, configMap: {{name: ca, key: k}}}}, {ca}]}}"
    );
    assert_refused(&spec, "spec.dind.registryCAs[2].host", "\"r:5000\"");
}

#[rstest]
#[case::not_an_address("10.0.0")]
#[case::with_a_port("'10.0.0.1:443'")]
#[case::with_a_zone("'fe80::1%eth0'")]
#[case::with_leading_zeros("10.0.0.01")]
#[case::a_network("10.0.0.0/8")]
#[case::a_name("gitlab.mylab.com")]
#[case::empty("''")]
#[case::loopback("127.0.0.1")]
#[case::of_the_loopback_network("127.9.9.9")]
#[case::loopback_of_ipv6("'::1'")]
#[case::mapped_loopback("'::ffff:127.0.0.1'")]
#[case::unspecified("0.0.0.0")]
#[case::unspecified_of_ipv6("'::'")]
fn h6_an_address_that_no_hostname_can_have_is_refused(#[case] ip: &str) {
    let spec = format!("hostAliases: [{{ip: {ip}, hostnames: [a]}}]");
    assert_refused(&spec, "spec.hostAliases[0].ip", ip.trim_matches('\''));
}

#[rstest]
#[case::upper_case("GitLab.mylab.com")]
#[case::underscore("git_lab")]
#[case::wildcard("'*.mylab.com'")]
#[case::trailing_dot("mylab.com.")]
#[case::leading_dash("-a")]
#[case::empty_part("a..b")]
#[case::empty("''")]
#[case::space("'a b'")]
#[case::umlaut("münchen.de")]
fn h6_a_hostname_that_is_no_subdomain_is_refused(#[case] hostname: &str) {
    let spec = format!("hostAliases: [{{ip: 10.0.0.1, hostnames: [a, {hostname}]}}]");
    assert_refused(
        &spec,
        "spec.hostAliases[0].hostnames[1]",
        hostname.trim_matches('\''),
    );
    let long = format!(
        "hostAliases: [{{ip: 10.0.0.1, hostnames: [{}]}}]",
        "a".repeat(254)
    );
    assert_refused(&long, "spec.hostAliases[0].hostnames[0]", "253");
}

#[test]
fn h6_a_hostname_has_one_address_of_each_family() {
    assert_refused(
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}, {ip: 'fd00::1', hostnames: [a]}, {ip: 10.0.0.2, hostnames: [a]}]",
        "spec.hostAliases[2].hostnames[0]",
        "10.0.0.1",
    );
    // The same address in two notations. The API server compares strings.
    assert_refused(
        "hostAliases: [{ip: 'fd00::1', hostnames: [a]}, {ip: 'FD00:0::1', hostnames: [a]}]",
        "spec.hostAliases[1].hostnames[0]",
        "fd00::1",
    );
    let same_notation =
        "hostAliases: [{ip: 'fd00::1', hostnames: [a]}, {ip: 'fd00::1', hostnames: [a]}]";
    assert!(problems(same_notation).is_empty());
}

#[rstest]
#[case::both(
    "{ip: 10.0.0.1, from: {service: {namespace: ns, name: s}}, hostnames: [a]}",
    "spec.hostAliases[0]",
    "both"
)]
#[case::neither("{hostnames: [a]}", "spec.hostAliases[0]", "neither")]
#[case::no_hostnames("{ip: 10.0.0.1}", "spec.hostAliases[0].hostnames", "empty")]
#[case::two_sources(
    "{from: {service: {namespace: ns, name: s}, gateway: {namespace: ns, name: s}}, hostnames: [a]}",
    "spec.hostAliases[0].from",
    "exactly one"
)]
#[case::no_source(
    "{from: {}, hostnames: [a]}",
    "spec.hostAliases[0].from",
    "exactly one"
)]
#[case::no_rules(
    "{from: {service: {namespace: ns, name: s}}}",
    "spec.hostAliases[0].hostnames",
    "empty"
)]
#[case::bad_namespace(
    "{from: {service: {namespace: NS, name: s}}, hostnames: [a]}",
    "spec.hostAliases[0].from.service.namespace",
    "\"NS\""
)]
fn h6_an_invalid_entry_is_refused(#[case] alias: &str, #[case] field: &str, #[case] part: &str) {
    assert_refused(&format!("hostAliases: [{alias}]"), field, part);
}

#[rstest]
#[case::unknown_field("hostalias: []", "spec.hostalias", "unknown field")]
#[case::unknown_field_deep_down(
    "dind: {clientCerts: {onConflicts: Deny}}",
    "spec.dind.clientCerts.onConflicts",
    "known fields: "
)]
#[case::wrong_type("priority: high", "spec.priority", "\"high\"")]
#[case::too_great("priority: 3000000000", "spec.priority", "3000000000")]
#[case::a_number_as_text(
    "dind: {scheduling: {nodeSelector: {a: 1}}}",
    "spec.dind.scheduling.nodeSelector[a]",
    "put it in quotes"
)]
#[case::not_a_list("hostAliases: {}", "spec.hostAliases", "not a list")]
#[case::not_of_the_enumeration("mode: audit", "spec.mode", "\"audit\"")]
#[case::missing(
    "dind: {volumes: [{name: v, emptyDir: {}}]}",
    "spec.dind.volumes[0].mountPath",
    "missing"
)]
#[case::null_is_missing(
    "dind: {registryCAs: [{host: null, configMap: {name: a, key: b}}]}",
    "spec.dind.registryCAs[0].host",
    "missing"
)]
#[case::no_source(
    "dind: {volumes: [{name: v, mountPath: /v}]}",
    "spec.dind.volumes[0]",
    "no source"
)]
#[case::two_sources(
    "dind: {volumes: [{name: v, mountPath: /v, emptyDir: {}, hostPath: {path: /v}}]}",
    "spec.dind.volumes[0]",
    "emptyDir, hostPath"
)]
#[case::relative_path(
    "dind: {volumes: [{name: v, mountPath: v, emptyDir: {}}]}",
    "spec.dind.volumes[0].mountPath",
    "\"v\""
)]
#[case::colon_in_a_path(
    "dind: {volumes: [{name: v, mountPath: '/v:ro', emptyDir: {}}]}",
    "spec.dind.volumes[0].mountPath",
    "\"/v:ro\""
)]
#[case::bad_size(
    "dind: {clientCerts: {sizeLimit: 1MB}}",
    "spec.dind.clientCerts.sizeLimit",
    "\"1MB\""
)]
#[case::no_size(
    "dind: {clientCerts: {sizeLimit: '0'}}",
    "spec.dind.clientCerts.sizeLimit",
    "\"0\""
)]
#[case::relocate_to_without_relocate(
    "dind: {clientCerts: {relocateTo: /a}}",
    "spec.dind.clientCerts.relocateTo",
    "onConflict is Relocate"
)]
#[case::empty_glob("dind: {images: ['']}", "spec.dind.images[0]", "no image")]
#[case::glob_with_digest("dind: {images: ['a@sha256:*']}", "spec.dind.images[0]", "digest")]
#[case::bad_host(
    "dind: {registryCAs: [{host: 'https://r', configMap: {name: a, key: b}}]}",
    "spec.dind.registryCAs[0].host",
    "\"https://r\""
)]
#[case::bad_port(
    "dind: {registryCAs: [{host: 'r:0', configMap: {name: a, key: b}}]}",
    "spec.dind.registryCAs[0].host",
    "\"r:0\""
)]
#[case::bad_key(
    "dind: {registryCAs: [{host: r, configMap: {name: a, key: '../b'}}]}",
    "spec.dind.registryCAs[0].configMap.key",
    "\"../b\""
)]
#[case::bad_label(
    "dind: {scheduling: {nodeSelector: {'a b': c}}}",
    "spec.dind.scheduling.nodeSelector",
    "\"a b\", not a label key"
)]
#[case::bad_effect(
    "dind: {scheduling: {tolerations: [{key: a, effect: Never}]}}",
    "spec.dind.scheduling.tolerations[0].effect",
    "\"Never\""
)]
#[case::bad_operator(
    "podSelector: {matchExpressions: [{key: a, operator: Is}]}",
    "spec.podSelector.matchExpressions[0].operator",
    "\"Is\""
)]
#[case::no_values(
    "podSelector: {matchExpressions: [{key: a, operator: In}]}",
    "spec.podSelector.matchExpressions[0].values",
    "at least one"
)]
fn an_error_names_field_and_value(#[case] spec: &str, #[case] field: &str, #[case] part: &str) {
    assert_refused(spec, field, part);
}

#[test]
fn every_error_of_a_policy_is_reported_at_once() {
    let problems = problems(
        "{priority: high, extra: 1, mode: Audit,
          hostAliases: [{ip: 10.0.0, hostnames: [A]}, {ip: 10.0.0.1}],
          dind: {images: [''], clientCerts: {sizeLimit: much}, volumes: [{name: V, mountPath: v}, {name: w, mountPath: /w, emptyDir: []}], registryCAs: [{host: r}]}}",
    );
    let fields: Vec<&str> = problems
        .iter()
        .map(|problem| problem.split(' ').next().unwrap_or_default())
        .collect();
    for field in [
        "spec.priority",
        "spec.extra",
        "spec.dind.volumes[1].emptyDir",
        "spec.dind.registryCAs[0].configMap",
    ] {
        assert!(fields.contains(&field), "{field} in {fields:?}");
    }
}

#[test]
fn errors_of_the_schema_and_of_parsing_are_reported_at_once() {
    let problems = problems(
        "{hostAliases: [{ip: 10.0.0, hostnames: [A]}, {ip: 10.0.0.1}],
          dind: {images: [''], clientCerts: {sizeLimit: much}, volumes: [{name: V, mountPath: v, emptyDir: {}}]}}",
    );
    let fields: Vec<&str> = problems
        .iter()
        .map(|problem| problem.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(
        fields,
        [
            "spec.hostAliases[0].ip",
            "spec.hostAliases[0].hostnames[0]",
            "spec.dind.images[0]",
            "spec.dind.clientCerts.sizeLimit",
            "spec.dind.volumes[0].name",
            "spec.dind.volumes[0].mountPath",
            "spec.hostAliases[1].hostnames",
        ]
    );
}
