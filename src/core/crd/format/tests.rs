//! Tests that formats accept the right strings. `tests/cluster/policies.rs` tests with a real API
//! server that CEL and the `regex` crate agree.

use super::*;
use crate::core::crd;
use crate::core::crd::constraints::{FORMATS, at};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use proptest::prelude::*;
use rstest::rstest;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

#[test]
fn every_format_compiles_and_can_be_quoted_in_cel() {
    for format in ALL {
        let _ = format.check("");
        for check in format.checks {
            assert!(!check.pattern.contains(['\'', '\n']), "{}", check.pattern);
            assert!(!check.message.is_empty());
        }
    }
}

#[test]
fn every_format_is_the_format_of_a_field() {
    let used: BTreeSet<*const Format> =
        FORMATS.values().map(|it| std::ptr::from_ref(*it)).collect();
    let all: BTreeSet<*const Format> = ALL.iter().map(|it| std::ptr::from_ref(*it)).collect();
    assert_eq!(used, all);
}

/// The schema contains each format at its path, as a rule or as a pattern.
#[test]
fn every_format_is_in_the_schema() {
    let mut schema = schema();
    for (path, format) in FORMATS.iter() {
        let (path, rule) = match path.strip_suffix("{key}") {
            Some(map) => (map, format.rule_for_keys()),
            None => (path.as_str(), format.rule()),
        };
        let field = at(&mut schema, path);
        let rules = field.x_kubernetes_validations.iter().flatten();
        let has_rule = rules.into_iter().any(|it| it.rule == rule.rule);
        assert!(has_rule || field.pattern == format.pattern(), "{path}");
    }
}

fn schema() -> JSONSchemaProps {
    let mut versions = crd::definition().spec.versions.into_iter();
    let schema = versions.next().and_then(|version| version.schema);
    let schema = schema.and_then(|schema| schema.open_api_v3_schema);
    schema.expect("the custom resource should have a schema")
}

#[rstest]
#[case(&SUBDOMAIN, &["a", "9", "a.b-c.d", "a--b"], &["", "A", "a_b", "-a", "a-", ".a", "a.", "a..b", "a b", "a\n", "ä", "*.a"])]
#[case(&LABEL, &["a", "a-b"], &["", "a.b", "A", "-a"])]
#[case(&LABEL_KEY, &["a", "A_b.c", "d.e/F"], &["", "/a", "a/", "D/a", "a/b/c", "a b", "_a"])]
#[case(&LABEL_VALUE, &["", "a", "A_b.c"], &["_a", "a/b", "a "])]
#[case(&CONFIG_KEY, &["ca.crt", ".a", "a..b", "-", "A_"], &["", ".", "..", "..a", "a/b", "a b"])]
#[case(&REGISTRY_HOST, &["r", "r.x:1", "r:65535", "10.0.0.1:5000", "[fd00::1]", "[::1]:5000"], &["", "R", "r:", "r:0", "r:080", "r:65536", "https://r", "fd00::1", "[r]", "[10.0.0.1]", "[fd00::1"])]
#[case(&MOUNT_PATH, &["/a", "/a/b.c", "/...", "/.a", "/a..", "/certs/clients", "/certs/server", "/a b"], &["", "a", "/", "/a/", "//a", "/a//b", "/.", "/a/..", "/a/./b", "/a:b", "/certs", "/certs/client", "/certs/client/a"])]
#[case(&HOST_PATH, &["/", "/a/", "/a//b", "/..a"], &["", "a", "/..", "/a/../b"])]
#[case(&ITEM_PATH, &["a", "a/b", ".a", "a..b"], &["", "/a", "..", "../a", "..a", "a/..", "a/../b"])]
#[case(&IMAGE_GLOB, &["*", "a:b", " "], &["", "a@sha256:00"])]
#[case(&MEDIUM, &["", "Memory", "HugePages", "HugePages-2Mi"], &["memory", "Disk", "HugePages-"])]
fn a_format_accepts_only_valid_strings(
    #[case] format: &Format,
    #[case] valid: &[&str],
    #[case] invalid: &[&str],
) {
    for text in valid {
        assert_eq!(format.check(text), Ok(()), "{text:?}");
    }
    for text in invalid {
        assert!(format.check(text).is_err(), "{text:?}");
    }
}

#[rstest]
#[case(&SUBDOMAIN, 253)]
#[case(&HOSTNAME, 253)]
#[case(&LABEL, 63)]
#[case(&LABEL_VALUE, 63)]
#[case(&REGISTRY_HOST, 253)]
#[case(&IMAGE_GLOB, 512)]
fn a_string_can_have_the_maximum_length_of_its_format(
    #[case] format: &Format,
    #[case] longest: usize,
) {
    assert_eq!(format.check(&"a".repeat(longest)), Ok(()));
    assert!(format.check(&"a".repeat(longest + 1)).is_err());
}

/// Returns whether H6 permits an address. Does not permit IPv6 addresses that end in IPv4 notation.
fn is_usable(text: &str) -> bool {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return !address.is_loopback() && !address.is_unspecified();
    }
    let address = text.parse::<Ipv6Addr>();
    !text.contains('.') && address.is_ok_and(|address| address.segments().first() != Some(&0))
}

proptest! {
    #[test]
    fn h6_addresses_are_those_that_the_standard_library_parses(text in "[0-9a-f]{0,4}(:{1,2}[0-9a-fA-F]{1,4}){0,8}:{0,2}|[0-9:.]{0,20}|(1?[0-9]{1,2}[.]){3}[0-9]{1,3}") {
        prop_assert_eq!(ADDRESS.check(&text).is_ok(), is_usable(&text), "{}", text);
    }

    #[test]
    fn h6_every_address_is_accepted_in_its_usual_notation(bits in any::<u128>(), zeros in any::<u128>()) {
        // Generates addresses with many zeros, because `::` replaces zeros.
        let text = Ipv6Addr::from_bits(bits & zeros & (zeros << 8)).to_string();
        prop_assert_eq!(ADDRESS.check(&text).is_ok(), is_usable(&text), "{}", text);
    }
}

#[rstest]
#[case::loopback(&["127.0.0.1", "127.255.0.9", "::1", "0:0:0:0:0:0:0:1", "::0001"], "a loopback address")]
#[case::unspecified(&["0.0.0.0", "::", "0::0", "0:0:0:0:0:0:0:0"], "the unspecified address")]
#[case::mapped(&["::ffff:10.0.0.1", "::ffff:a00:1", "0:0:0:0:0:ffff:a00:1"], "begins with zeros")]
#[case::none(&["10.0.0", "10.0.0.01", "10.0.0.256", "fe80::1%eth0", "10.0.0.1:80", "[fd00::1]", "64:ff9b::10.0.0.1", ""], "not an IP address")]
fn h6_the_message_is_about_the_invalid_address(#[case] addresses: &[&str], #[case] words: &str) {
    for address in addresses {
        let problem = ADDRESS.check(address).expect_err(address);
        assert!(problem.contains(words), "{address}: {problem}");
    }
}

#[rstest]
#[case(&["1", "1Mi", "1.5Gi", ".5k", "5.", "+1M", "1e3", "2E-6", "1E", "1Ei", "0.0001n", "010"], true, true)]
#[case(&["0", "0.0", ".0", "+0", "0Mi", "0e3", "00k"], true, false)]
#[case(&["", "-1", "-0", "Mi", "1MB", "1 Mi", "1K", "1ki", "1..5", ".", "1e", "1e1.5", "1e1000", "+-1", "1Mi\n"], false, false)]
fn d9_a_size_limit_is_a_quantity_greater_than_zero(
    #[case] quantities: &[&str],
    #[case] is_quantity: bool,
    #[case] is_limit: bool,
) {
    for quantity in quantities {
        let accepted = [&QUANTITY, &SIZE_LIMIT].map(|format| format.check(quantity).is_ok());
        assert_eq!(accepted, [is_quantity, is_limit], "{quantity:?}");
    }
}
