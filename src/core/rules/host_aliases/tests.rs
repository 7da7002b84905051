//! Rules H1 to H8.

use crate::testing::{Setup, judge};
use rstest::rstest;
use serde_json::json;

const GITLAB: &str = "hostAliases: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}]";
const BOTH_FAMILIES: &str = "hostAliases: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}, {ip: 'fd00::232', hostnames: [gitlab.mylab.com]}]";
const LIVE: &str = "hostAliases: [{from: {ingress: {namespace: cicd, name: gitlab}}, hostnames: [gitlab.mylab.com]}]";

#[rstest]
#[case::absent("")]
#[case::null("hostAliases: null")]
#[case::empty("hostAliases: []")]
fn h1_a_pod_without_aliases_gets_the_policys_entries(#[case] pod: &str) {
    let judged = judge(GITLAB, pod);
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}])
    );
    assert_eq!(judged.changes, ["add-host-alias"]);
}

#[test]
fn h1_an_owned_hostname_has_the_address_of_each_family_and_no_other() {
    let judged = judge(
        BOTH_FAMILIES,
        "hostAliases: [{ip: 'fd00::1', hostnames: [gitlab.mylab.com, nexus.mylab.com]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "fd00::1", "hostnames": ["nexus.mylab.com"]},
            {"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]},
            {"ip": "fd00::232", "hostnames": ["gitlab.mylab.com"]},
        ])
    );
}

#[test]
fn h1_a_hostname_of_one_family_loses_its_address_of_the_other() {
    let judged = judge(
        GITLAB,
        "hostAliases: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}, {ip: 'fd00::1', hostnames: [gitlab.mylab.com]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}])
    );
    assert_eq!(judged.changes, ["remove-host-alias"]);
}

#[test]
fn h1_hostnames_of_a_pod_are_compared_without_case() {
    let right = judge(
        GITLAB,
        "hostAliases: [{ip: 10.0.0.232, hostnames: [GitLab.MyLab.com]}]",
    );
    right.assert_unchanged();
    let stale = judge(
        GITLAB,
        "hostAliases: [{ip: 10.0.0.216, hostnames: [GitLab.MyLab.com]}]",
    );
    assert_eq!(
        stale.host_aliases(),
        &json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}])
    );
}

#[test]
fn h2_a_stale_hostname_is_removed_and_the_others_stay() {
    let judged = judge(
        GITLAB,
        "hostAliases: [{ip: 10.0.0.216, hostnames: [nexus.mylab.com, gitlab.mylab.com, nexus, gitlab.mylab.com]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "10.0.0.216", "hostnames": ["nexus.mylab.com", "nexus"]},
            {"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]},
        ])
    );
}

#[test]
fn h2_emptied_entries_are_removed_and_empty_entries_stay() {
    let judged = judge(
        GITLAB,
        "hostAliases: [{ip: 10.0.0.1, hostnames: [gitlab.mylab.com]}, {ip: 10.0.0.2}, {ip: 10.0.0.3, hostnames: []}, {ip: 10.0.0.4, hostnames: [gitlab.mylab.com]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "10.0.0.2"},
            {"ip": "10.0.0.3", "hostnames": []},
            {"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]},
        ])
    );
}

#[test]
fn h2_an_entry_with_hostnames_of_two_policies_is_removed_once() {
    let judged = Setup {
        policies: &[
            ("a", "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]"),
            ("b", "hostAliases: [{ip: 10.0.0.2, hostnames: [b]}]"),
        ],
        pod: "hostAliases: [{ip: 10.0.0.8, hostnames: [x]}, {ip: 10.0.0.9, hostnames: [b, a, B]}]",
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "10.0.0.8", "hostnames": ["x"]},
            {"ip": "10.0.0.1", "hostnames": ["a"]},
            {"ip": "10.0.0.2", "hostnames": ["b"]},
        ])
    );
}

#[test]
fn h2_an_emptied_entry_is_reused_for_its_address() {
    let policy = "hostAliases: [{ip: 10.0.0.1, hostnames: [a.mylab.com]}, {ip: 10.0.0.2, hostnames: [b.mylab.com]}]";
    let judged = judge(
        policy,
        "hostAliases: [{ip: 10.0.0.1, hostnames: [b.mylab.com]}, {ip: 10.0.0.2, hostnames: [a.mylab.com]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "10.0.0.1", "hostnames": ["a.mylab.com"]},
            {"ip": "10.0.0.2", "hostnames": ["b.mylab.com"]},
        ])
    );
}

#[test]
fn h2_correct_entries_and_their_duplicates_stay() {
    let aliases = "hostAliases: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com, gitlab.mylab.com]}, {ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}]";
    judge(GITLAB, aliases).assert_unchanged();
}

#[test]
fn h2_a_hostname_with_an_invalid_address_is_stale() {
    let judged = judge(
        GITLAB,
        "hostAliases: [{ip: gateway, hostnames: [gitlab.mylab.com, nexus]}, {hostnames: [gitlab.mylab.com]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "gateway", "hostnames": ["nexus"]},
            {"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]},
        ])
    );
}

#[rstest]
#[case::ipv4("127.0.0.1")]
#[case::the_whole_network("127.8.9.10")]
#[case::ipv6("::1")]
#[case::long_ipv6("0:0:0:0:0:0:0:1")]
fn h3_a_service_name_is_shadowed_in_every_entry(#[case] loopback: &str) {
    let pod = format!(
        "hostAliases: [{{ip: 10.0.0.216, hostnames: [gitlab.mylab.com]}}, {{ip: '{loopback}', hostnames: [Gitlab.mylab.com, docker]}}]"
    );
    let judged = judge(BOTH_FAMILIES, &pod);
    judged.assert_unchanged();
    assert!(judged.reports_to_author("H3", "gitlab.mylab.com"));
}

#[test]
fn h3_loopback_entries_keep_their_place_and_text() {
    let judged = judge(
        GITLAB,
        "hostAliases: [{ip: 127.0.0.1, hostnames: [docker, docker]}, {ip: 10.0.0.216, hostnames: [gitlab.mylab.com]}, {ip: '0::1', hostnames: []}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "127.0.0.1", "hostnames": ["docker", "docker"]},
            {"ip": "0::1", "hostnames": []},
            {"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]},
        ])
    );
}

#[test]
fn h4_other_entries_keep_their_order_and_duplicates() {
    let judged = judge(
        GITLAB,
        "hostAliases: [{ip: 8.8.8.8, hostnames: [a, a]}, {ip: 10.0.0.216, hostnames: [gitlab.mylab.com]}, {ip: 8.8.8.8, hostnames: [a, B], newer: 1}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "8.8.8.8", "hostnames": ["a", "a"]},
            {"ip": "8.8.8.8", "hostnames": ["a", "B"], "newer": 1},
            {"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]},
        ])
    );
}

#[test]
fn h5_missing_hostnames_are_added_to_the_first_entry_with_the_address() {
    let policy =
        "hostAliases: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com, registry.mylab.com]}]";
    let judged = judge(
        policy,
        "hostAliases: [{ip: 10.0.0.9, hostnames: [other]}, {ip: 10.0.0.232, hostnames: [nexus]}, {ip: 10.0.0.232, hostnames: [registry.mylab.com]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "10.0.0.9", "hostnames": ["other"]},
            {"ip": "10.0.0.232", "hostnames": ["nexus", "gitlab.mylab.com"]},
            {"ip": "10.0.0.232", "hostnames": ["registry.mylab.com"]},
        ])
    );
}

#[rstest]
#[case::absent("{ip: 10.0.0.232}")]
#[case::null("{ip: 10.0.0.232, hostnames: null}")]
#[case::empty("{ip: 10.0.0.232, hostnames: []}")]
fn h5_hostnames_are_added_to_an_entry_without_hostnames(#[case] entry: &str) {
    let judged = judge(GITLAB, &format!("hostAliases: [{entry}]"));
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}])
    );
    assert_eq!(judged.changes, ["extend-host-alias"]);
}

#[test]
fn h5_an_address_of_several_policies_has_one_entry() {
    let judged = Setup {
        policies: &[
            (
                "a",
                "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}, {ip: 10.0.0.1, hostnames: [b]}]",
            ),
            ("b", "hostAliases: [{ip: 10.0.0.1, hostnames: [c]}]"),
        ],
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "10.0.0.1", "hostnames": ["a", "b", "c"]}])
    );
}

#[test]
fn h6_addresses_are_written_in_canonical_form() {
    let judged = judge("hostAliases: [{ip: 'FD00:0:0::0232', hostnames: [a]}]", "");
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "fd00::232", "hostnames": ["a"]}])
    );
}

#[test]
fn h6_equal_addresses_keep_their_spelling() {
    let judged = judge(
        "hostAliases: [{ip: 'fd00::232', hostnames: [a, b]}]",
        "hostAliases: [{ip: 'FD00:0:0::0232', hostnames: [a]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "FD00:0:0::0232", "hostnames": ["a", "b"]}])
    );
}

#[test]
fn h6_an_ipv4_mapped_address_differs_from_the_ipv4_address() {
    let judged = judge(
        GITLAB,
        "hostAliases: [{ip: '::ffff:10.0.0.232', hostnames: [gitlab.mylab.com]}]",
    );
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}])
    );
    let not_loopback = judge(
        GITLAB,
        "hostAliases: [{ip: '::ffff:127.0.0.1', hostnames: [gitlab.mylab.com]}]",
    );
    assert_eq!(not_loopback.host_aliases(), judged.host_aliases());
}

#[test]
fn h7_the_first_live_address_of_each_family_is_used() {
    let addresses: &[&str] = &["10.0.0.9", "fd00::9", "10.0.0.1", "fd00::1"];
    let judged = Setup {
        policies: &[("live", LIVE)],
        live: &[("ingress/cicd/gitlab", addresses)],
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.host_aliases(),
        &json!([
            {"ip": "10.0.0.9", "hostnames": ["gitlab.mylab.com"]},
            {"ip": "fd00::9", "hostnames": ["gitlab.mylab.com"]},
        ])
    );
}

#[rstest]
#[case::unknown(&[])]
#[case::without_addresses(&[("ingress/cicd/gitlab", &[] as &[&str])])]
fn h7_a_missing_live_address_is_reported_and_the_pod_is_unchanged(
    #[case] live: &[(&str, &[&str])],
) {
    let judged = Setup {
        policies: &[("live", LIVE)],
        live,
        pod: "hostAliases: [{ip: 10.0.0.216, hostnames: [gitlab.mylab.com]}]",
        ..Setup::default()
    }
    .judge();
    judged.assert_unchanged();
    assert!(judged.reports_to_team("H7", "ingress/cicd/gitlab"));
}

#[test]
fn h7_a_fixed_address_does_not_replace_an_unknown_live_address() {
    let policy = "hostAliases:
- {ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}
- {from: {ingress: {namespace: cicd, name: gitlab}}, hostnames: [gitlab.mylab.com]}";
    let judged = judge(
        policy,
        "hostAliases: [{ip: 'fd00::216', hostnames: [gitlab.mylab.com]}]",
    );
    judged.assert_unchanged();
    assert!(judged.reports_to_team("H7", "ingress/cicd/gitlab"));
}

#[test]
fn h8_host_network_makes_no_difference() {
    let judged = judge(GITLAB, "hostNetwork: true");
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}])
    );
}
