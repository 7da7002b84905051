//! Each thing that a policy can get wrong, one by one: refused with file, document, policy, field path, value and a way out.

use super::desk::{Desk, policy};
use rstest::rstest;

/// Checks a policy with one mistake; the only error is the one expected.
#[track_caller]
fn is_refused(spec: &str, expected: &str) {
    let desk = Desk::new();
    desk.write("policy.yaml", policy("first", "") + &policy("ci", spec));
    let ran = desk.run("check policy.yaml");
    assert_eq!(ran.code, 1, "{ran}");
    assert_eq!(
        ran.out,
        format!("error: policy.yaml: document 2 (JobPodPolicy \"ci\"): {expected}\n")
    );
    assert_eq!(ran.talk, "1 policy is right, 1 error\n");
}

const SUBDOMAIN: &str = "not an RFC 1123 subdomain: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit, at most 253 characters";
const LABEL: &str = "not an RFC 1123 label: lower-case letters, digits and '-', beginning and ending with a letter or digit, at most 63 characters";
const LABEL_VALUE: &str = "not a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit";

#[rstest]
#[case::address(
    "{ip: 10.0.0.256, hostnames: [a]}",
    "spec.hostAliases[0].ip is \"10.0.0.256\", not an IP address; write it as in 10.0.0.232 or fd00::232, without port or zone"
)]
#[case::zone(
    "{ip: 'fe80::1%eth0', hostnames: [a]}",
    "spec.hostAliases[0].ip is \"fe80::1%eth0\", not an IP address; write it as in 10.0.0.232 or fd00::232, without port or zone"
)]
#[case::loopback(
    "{ip: 127.8.0.1, hostnames: [a]}",
    "spec.hostAliases[0].ip is \"127.8.0.1\", a loopback address; those are the names of the job's own services"
)]
#[case::loopback_6(
    "{ip: '::1', hostnames: [a]}",
    "spec.hostAliases[0].ip is \"::1\", a loopback address; those are the names of the job's own services"
)]
#[case::loopback_mapped(
    "{ip: '::ffff:127.0.0.1', hostnames: [a]}",
    "spec.hostAliases[0].ip is \"::ffff:127.0.0.1\", a loopback address; those are the names of the job's own services"
)]
#[case::unspecified(
    "{ip: 0.0.0.0, hostnames: [a]}",
    "spec.hostAliases[0].ip is \"0.0.0.0\", the unspecified address; write the one that the hostname resolves to"
)]
#[case::unspecified_6(
    "{ip: '::', hostnames: [a]}",
    "spec.hostAliases[0].ip is \"::\", the unspecified address; write the one that the hostname resolves to"
)]
#[case::both(
    "{ip: 10.0.0.1, from: {service: {namespace: a, name: b}}, hostnames: [a]}",
    "spec.hostAliases[0] has both ip and from; keep one of them"
)]
#[case::neither(
    "{hostnames: [a]}",
    "spec.hostAliases[0] has neither ip nor from; give it a fixed address or the object that has one"
)]
#[case::no_source(
    "{from: {}, hostnames: [a]}",
    "spec.hostAliases[0].from must have exactly one of ingress, service and gateway"
)]
#[case::two_sources(
    "{from: {ingress: {namespace: a, name: b}, service: {namespace: a, name: b}}, hostnames: [a]}",
    "spec.hostAliases[0].from must have exactly one of ingress, service and gateway"
)]
#[case::source_name("{from: {gateway: {namespace: a, name: b}}, hostnames: [a]}, {from: {service: {namespace: a, name: B}}, hostnames: [b]}", &format!("spec.hostAliases[1].from.service.name is \"B\", {SUBDOMAIN}"))]
#[case::source_namespace("{from: {gateway: {namespace: a.b, name: b}}, hostnames: [a]}", &format!("spec.hostAliases[0].from.gateway.namespace is \"a.b\", {LABEL}"))]
#[case::upper_case("{ip: 10.0.0.1, hostnames: [a, B]}", &format!("spec.hostAliases[0].hostnames[1] is \"B\", {SUBDOMAIN}"))]
#[case::wildcard("{ip: 10.0.0.1, hostnames: ['*.a']}", &format!("spec.hostAliases[0].hostnames[0] is \"*.a\", {SUBDOMAIN}"))]
#[case::trailing_dot("{ip: 10.0.0.1, hostnames: [a.]}", &format!("spec.hostAliases[0].hostnames[0] is \"a.\", {SUBDOMAIN}"))]
#[case::two_of_a_family(
    "{ip: 10.0.0.1, hostnames: [a]}, {ip: 'fd00::1', hostnames: [a]}, {ip: 10.0.0.2, hostnames: [a]}",
    "spec.hostAliases[2].hostnames[0] is \"a\", which has the IPv4 address 10.0.0.1 in spec.hostAliases[0] already; give a hostname one address per family"
)]
#[case::no_hostnames(
    "{ip: 10.0.0.1}",
    "spec.hostAliases[0].hostnames is empty; list the hostnames that resolve to this address"
)]
#[case::no_hostnames_of_a_service(
    "{from: {service: {namespace: a, name: b}}}",
    "spec.hostAliases[0].hostnames is empty; list the hostnames that resolve to this address"
)]
fn h6_a_wrong_host_alias(#[case] aliases: &str, #[case] expected: &str) {
    is_refused(&format!("hostAliases: [{aliases}]"), expected);
}

#[test]
fn h6_a_hostname_of_more_than_253_characters() {
    let long = format!("{}.a", "x".repeat(252));
    is_refused(
        &format!("hostAliases: [{{ip: 10.0.0.1, hostnames: [{long}]}}]"),
        &format!("spec.hostAliases[0].hostnames[0] is \"{long}\", {SUBDOMAIN}"),
    );
}

#[rstest]
#[case::one_name(
    "{name: a, mountPath: /a, emptyDir: {}}, {name: a, mountPath: /b, emptyDir: {}}",
    "spec.dind.volumes[1].name is \"a\", the name of spec.dind.volumes[0] too; names must differ"
)]
#[case::one_path(
    "{name: a, mountPath: /a/b, emptyDir: {}}, {name: b, mountPath: //a/./c/../b/, emptyDir: {}}",
    "spec.dind.volumes[1].mountPath is \"//a/./c/../b/\", the path of spec.dind.volumes[0] too; a path holds one volume"
)]
#[case::at_the_certificates(
    "{name: a, mountPath: /certs//client/, emptyDir: {}}",
    "spec.dind.volumes[0].mountPath is \"/certs//client/\", at, above or below /certs/client, which clientCerts looks after; take another path"
)]
#[case::above_the_certificates(
    "{name: a, mountPath: /certs, emptyDir: {}}",
    "spec.dind.volumes[0].mountPath is \"/certs\", at, above or below /certs/client, which clientCerts looks after; take another path"
)]
#[case::below_the_certificates(
    "{name: a, mountPath: /certs/client/ca.pem, emptyDir: {}}",
    "spec.dind.volumes[0].mountPath is \"/certs/client/ca.pem\", at, above or below /certs/client, which clientCerts looks after; take another path"
)]
#[case::relative(
    "{name: a, mountPath: a/b, emptyDir: {}}",
    "spec.dind.volumes[0].mountPath is \"a/b\", not an absolute path; begin it with /"
)]
#[case::colon(
    "{name: a, mountPath: '/a:b', emptyDir: {}}",
    "spec.dind.volumes[0].mountPath is \"/a:b\"; a mount path must not contain ':'"
)]
#[case::name("{name: a.b, mountPath: /a, emptyDir: {}}", &format!("spec.dind.volumes[0].name is \"a.b\", {LABEL}"))]
#[case::no_source(
    "{name: a, mountPath: /a}",
    "spec.dind.volumes[0] (\"a\") has no source; give it exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, secret, csi and nfs"
)]
#[case::two_sources(
    "{name: a, mountPath: /a, emptyDir: {}, hostPath: {path: /x}}",
    "spec.dind.volumes[0] (\"a\") has 2 sources (emptyDir, hostPath); keep one of them"
)]
#[case::no_mount_path("{name: a, emptyDir: {}}", "spec.dind.volumes[0].mountPath is missing")]
#[case::no_name(
    "{mountPath: /a, emptyDir: {}}",
    "spec.dind.volumes[0].name is missing"
)]
#[case::no_path_of_the_node(
    "{name: a, mountPath: /a, hostPath: {}}",
    "spec.dind.volumes[0].hostPath.path is missing"
)]
#[case::containers(
    "{name: a, mountPath: /a, emptyDir: {}, containers: dind}",
    "spec.dind.volumes[0].containers is \"dind\"; use Dind or All"
)]
#[case::field(
    "{name: a, mountPath: /a, emptyDir: {sizelimit: 1Gi}}",
    "spec.dind.volumes[0].emptyDir.sizelimit is not a known field; known here: medium, sizeLimit"
)]
fn m6_a_wrong_volume(#[case] volumes: &str, #[case] expected: &str) {
    is_refused(&format!("dind: {{volumes: [{volumes}]}}"), expected);
}

#[rstest]
#[case::size(
    "sizeLimit: 1MB",
    "spec.dind.clientCerts.sizeLimit is \"1MB\", not a quantity of bytes, as in 1Mi"
)]
#[case::no_size(
    "sizeLimit: '0'",
    "spec.dind.clientCerts.sizeLimit is \"0\"; without a limit the certificates' volume could fill the node's memory, write one as in 1Mi"
)]
#[case::number(
    "sizeLimit: 1000000",
    "spec.dind.clientCerts.sizeLimit is 1000000 (a number), not a string; put it in quotes"
)]
#[case::conflict(
    "onConflict: Move",
    "spec.dind.clientCerts.onConflict is \"Move\"; use Replace, Relocate, Report or Deny"
)]
#[case::unused(
    "relocateTo: /certs/other",
    "spec.dind.clientCerts.relocateTo is set, but only onConflict: Relocate uses it"
)]
#[case::at_the_certificates(
    "onConflict: Relocate, relocateTo: /certs/client/",
    "spec.dind.clientCerts.relocateTo is \"/certs/client/\", at, above or below /certs/client, where dind writes its certificates; take another directory, as in /certs/displaced"
)]
#[case::above_the_certificates(
    "onConflict: Relocate, relocateTo: /certs",
    "spec.dind.clientCerts.relocateTo is \"/certs\", at, above or below /certs/client, where dind writes its certificates; take another directory, as in /certs/displaced"
)]
#[case::relative(
    "onConflict: Relocate, relocateTo: other",
    "spec.dind.clientCerts.relocateTo is \"other\", not an absolute path; begin it with /"
)]
fn m6_wrong_client_certificates(#[case] certs: &str, #[case] expected: &str) {
    is_refused(&format!("dind: {{clientCerts: {{{certs}}}}}"), expected);
}

#[rstest]
#[case::one_host(
    "{host: r.x, configMap: {name: a, key: b}}, {host: r.x, configMap: {name: c, key: d}}",
    "spec.dind.registryCAs[1].host is \"r.x\", the host of spec.dind.registryCAs[0] too; a host has one certificate authority"
)]
#[case::scheme(
    "{host: 'https://r.x', configMap: {name: a, key: b}}",
    "spec.dind.registryCAs[0].host is \"https://r.x\", not a registry host: a hostname or an address, and :PORT if it has one, as in registry.mylab.com:5000"
)]
#[case::port(
    "{host: 'r.x:99999', configMap: {name: a, key: b}}",
    "spec.dind.registryCAs[0].host is \"r.x:99999\", not a registry host: a hostname or an address, and :PORT if it has one, as in registry.mylab.com:5000"
)]
#[case::config_map("{host: r.x, configMap: {name: A, key: b}}", &format!("spec.dind.registryCAs[0].configMap.name is \"A\", {SUBDOMAIN}"))]
#[case::key(
    "{host: r.x, configMap: {name: a, key: b/c}}",
    "spec.dind.registryCAs[0].configMap.key is \"b/c\", not a ConfigMap key: at most 253 letters, digits, '-', '_' and '.'"
)]
#[case::no_key(
    "{host: r.x, configMap: {name: a}}",
    "spec.dind.registryCAs[0].configMap.key is missing"
)]
fn m6_a_wrong_registry(#[case] authorities: &str, #[case] expected: &str) {
    is_refused(&format!("dind: {{registryCAs: [{authorities}]}}"), expected);
}

#[rstest]
#[case::empty(
    "images: ['']",
    "spec.dind.images[0] is empty; write an image reference in which * stands for any characters"
)]
#[case::digest(
    "images: ['a@sha256:00']",
    "spec.dind.images[0] has a digest; globs are compared with the reference without it"
)]
#[case::selector_key(
    "scheduling: {nodeSelector: {'a b': c}}",
    "spec.dind.scheduling.nodeSelector[a b] is \"a b\", not a label key: an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_' and '.'"
)]
#[case::selector_value("scheduling: {nodeSelector: {a: b/c}}", &format!("spec.dind.scheduling.nodeSelector[a] is \"b/c\", {LABEL_VALUE}"))]
#[case::selector_type(
    "scheduling: {nodeSelector: {a: true}}",
    "spec.dind.scheduling.nodeSelector.a is true (a boolean), not a string; put it in quotes"
)]
#[case::operator(
    "scheduling: {tolerations: [{key: a, operator: Is}]}",
    "spec.dind.scheduling.tolerations[0].operator is \"Is\"; use Equal or Exists"
)]
#[case::every_taint(
    "scheduling: {tolerations: [{effect: NoSchedule}]}",
    "spec.dind.scheduling.tolerations[0].key is empty, which matches every taint and needs operator: Exists"
)]
#[case::value(
    "scheduling: {tolerations: [{key: a, operator: Exists, value: b}]}",
    "spec.dind.scheduling.tolerations[0].value is \"b\", but must be left out with operator Exists"
)]
#[case::effect(
    "scheduling: {tolerations: [{key: a, effect: Never}]}",
    "spec.dind.scheduling.tolerations[0].effect is \"Never\"; use NoSchedule, PreferNoSchedule or NoExecute, or leave it out for all"
)]
#[case::seconds(
    "scheduling: {tolerations: [{key: a, effect: NoSchedule, tolerationSeconds: 5}]}",
    "spec.dind.scheduling.tolerations[0].tolerationSeconds is set, but only effect NoExecute uses it"
)]
fn a_wrong_image_or_place(#[case] dind: &str, #[case] expected: &str) {
    is_refused(&format!("dind: {{{dind}}}"), expected);
}

#[rstest]
#[case::unknown(
    "hostaliases: []",
    "spec.hostaliases is not a known field; known here: dind, hostAliases, mode, namespaceSelector, podSelector, priority"
)]
#[case::mode("mode: audit", "spec.mode is \"audit\"; use Enforce or Audit")]
#[case::priority(
    "priority: 1.5",
    "spec.priority is 1.5 (a number), not an integer between -2147483648 and 2147483647"
)]
#[case::priority_too_large(
    "priority: 2147483648",
    "spec.priority is 2147483648 (a number), not an integer between -2147483648 and 2147483647"
)]
#[case::list("hostAliases: {}", "spec.hostAliases is an object, not a list")]
#[case::object("dind: []", "spec.dind is a list, not an object")]
#[case::item(
    "hostAliases: [10.0.0.1]",
    "spec.hostAliases[0] is \"10.0.0.1\" (a string), not an object"
)]
#[case::label_value("podSelector: {matchLabels: {a: b c}}", &format!("spec.podSelector.matchLabels[a] is \"b c\", {LABEL_VALUE}"))]
#[case::no_values(
    "podSelector: {matchExpressions: [{key: a, operator: In}]}",
    "spec.podSelector.matchExpressions[0].values is empty, but In needs at least one value"
)]
#[case::values(
    "namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
    "spec.namespaceSelector.matchExpressions[0].values must be left out with Exists"
)]
#[case::operator(
    "namespaceSelector: {matchExpressions: [{key: a, operator: Like, values: [b]}]}",
    "spec.namespaceSelector.matchExpressions[0].operator is \"Like\"; use In, NotIn, Exists or DoesNotExist"
)]
fn a_spec_that_the_schema_does_not_know(#[case] spec: &str, #[case] expected: &str) {
    is_refused(spec, expected);
}

#[rstest]
#[case::version(
    "{apiVersion: drydock.dev/v1, kind: JobPodPolicy, metadata: {name: a}, spec: {}}",
    " (JobPodPolicy \"a\"): apiVersion is \"drydock.dev/v1\"; this drydock reads drydock.dev/v1alpha1"
)]
#[case::no_name(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {}, spec: {}}",
    ": metadata.name is missing"
)]
#[case::no_metadata(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, spec: {}}",
    ": metadata.name is missing"
)]
#[case::name("{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: A}, spec: {}}", &format!(" (JobPodPolicy \"A\"): metadata.name is \"A\", {SUBDOMAIN}"))]
#[case::name_of_wrong_type(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: 5}, spec: {}}",
    ": metadata.name cannot be read: invalid type: integer `5`, expected a string"
)]
#[case::no_spec(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: a}}",
    " (JobPodPolicy \"a\"): spec is missing; `drydock print policy` shows one"
)]
#[case::field(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: a}, spec: {}, hostAliases: []}",
    " (JobPodPolicy \"a\"): hostAliases is not a field of a JobPodPolicy; its fields are apiVersion, kind, metadata and spec"
)]
#[case::kind(
    "{apiVersion: v1, kind: ConfigMap}",
    ": kind is \"ConfigMap\", not JobPodPolicy or a List of them"
)]
#[case::no_kind(
    "{spec: {}}",
    ": kind is missing; write apiVersion: drydock.dev/v1alpha1 and kind: JobPodPolicy"
)]
#[case::text("hello", ": it is a string, not an object with apiVersion and kind")]
#[case::items("{kind: List, items: 5}", ": items is a number, not a list")]
fn an_object_that_is_no_policy(#[case] object: &str, #[case] expected: &str) {
    let desk = Desk::new();
    desk.write("policy.yaml", object);
    let ran = desk.run("check policy.yaml");
    assert_eq!(
        (ran.code, ran.out),
        (1, format!("error: policy.yaml: document 1{expected}\n"))
    );
}
