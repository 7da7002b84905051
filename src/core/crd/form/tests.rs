//! What the forms take, against what reads the same texts elsewhere. That CEL and this crate read the expressions alike, the real API
//! server shows: `tests/cluster/policies.rs`.

use super::*;
use crate::core::crd;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use proptest::prelude::*;
use rstest::rstest;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

#[test]
fn every_form_compiles_and_fits_into_a_string_of_cel() {
    for form in ALL {
        let _ = form.check("");
        for fault in form.faults {
            assert!(!fault.pattern.contains(['\'', '\n']), "{}", fault.pattern);
            assert!(!fault.words.is_empty());
        }
    }
}

#[test]
fn every_form_is_in_the_schema_and_found_again() {
    fn walk(schema: &JSONSchemaProps, found: &mut BTreeSet<*const Form>) {
        let rules = schema.x_kubernetes_validations.iter().flatten();
        let by_rule = rules.filter_map(|rule| crd::form_of(rule).map(|(form, _)| form));
        let by_pattern = schema.pattern.as_deref().map(|pattern| {
            crd::form_of_pattern(pattern).expect("only forms write patterns into the schema")
        });
        found.extend(by_rule.chain(by_pattern).map(std::ptr::from_ref));
        schema
            .properties
            .iter()
            .flatten()
            .for_each(|(_, inner)| walk(inner, found));
        if let Some(JSONSchemaPropsOrArray::Schema(inner)) = &schema.items {
            walk(inner, found);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(inner)) = &schema.additional_properties {
            walk(inner, found);
        }
    }
    let mut found = BTreeSet::new();
    for version in crd::definition().spec.versions {
        let schema = version.schema.and_then(|schema| schema.open_api_v3_schema);
        walk(&schema.expect("it has a schema"), &mut found);
    }
    assert_eq!(found, ALL.iter().copied().map(std::ptr::from_ref).collect());
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
fn a_form_takes_what_is_right_and_nothing_else(
    #[case] form: &Form,
    #[case] right: &[&str],
    #[case] wrong: &[&str],
) {
    for text in right {
        assert_eq!(form.check(text), Ok(()), "{text:?}");
    }
    for text in wrong {
        assert!(form.check(text).is_err(), "{text:?}");
    }
}

#[rstest]
#[case(&SUBDOMAIN, 253)]
#[case(&LABEL, 63)]
#[case(&LABEL_VALUE, 63)]
#[case(&REGISTRY_HOST, 253)]
#[case(&IMAGE_GLOB, 512)]
fn a_text_may_be_as_long_as_the_form_says(#[case] form: &Form, #[case] longest: usize) {
    assert_eq!(form.check(&"a".repeat(longest)), Ok(()));
    assert!(form.check(&"a".repeat(longest + 1)).is_err());
}

/// H6, but for what is written in two notations at once.
fn is_usable(text: &str) -> bool {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return !address.is_loopback() && !address.is_unspecified();
    }
    let address = text.parse::<Ipv6Addr>();
    !text.contains('.') && address.is_ok_and(|address| address.segments().first() != Some(&0))
}

proptest! {
    #[test]
    fn h6_an_address_is_one_that_the_standard_library_reads(text in "[0-9a-f]{0,4}(:{1,2}[0-9a-fA-F]{1,4}){0,8}:{0,2}|[0-9:.]{0,20}|(1?[0-9]{1,2}[.]){3}[0-9]{1,3}") {
        prop_assert_eq!(ADDRESS.check(&text).is_ok(), is_usable(&text), "{}", text);
    }

    #[test]
    fn h6_every_address_is_taken_as_it_is_commonly_written(bits in any::<u128>(), zeros in any::<u128>()) {
        // Runs of zeros are what the short form is about.
        let text = Ipv6Addr::from_bits(bits & zeros & (zeros << 8)).to_string();
        prop_assert_eq!(ADDRESS.check(&text).is_ok(), is_usable(&text), "{}", text);
    }
}

#[rstest]
#[case::loopback(&["127.0.0.1", "127.255.0.9", "::1", "0:0:0:0:0:0:0:1", "::0001"], "a loopback address")]
#[case::unspecified(&["0.0.0.0", "::", "0::0", "0:0:0:0:0:0:0:0"], "the unspecified address")]
#[case::mapped(&["::ffff:10.0.0.1", "::ffff:a00:1", "0:0:0:0:0:ffff:a00:1"], "begins with zeros")]
#[case::none(&["10.0.0", "10.0.0.01", "10.0.0.256", "fe80::1%eth0", "10.0.0.1:80", "[fd00::1]", "64:ff9b::10.0.0.1", ""], "not an IP address")]
fn h6_what_is_wrong_with_an_address_is_named(#[case] addresses: &[&str], #[case] words: &str) {
    for address in addresses {
        let problem = ADDRESS.check(address).expect_err(address);
        assert!(problem.contains(words), "{address}: {problem}");
    }
}

#[rstest]
#[case(&["1", "1Mi", "1.5Gi", ".5k", "5.", "+1M", "1e3", "2E-6", "1E", "1Ei", "0.0001n", "010"], true, true)]
#[case(&["0", "0.0", ".0", "+0", "0Mi", "0e3", "00k"], true, false)]
#[case(&["", "-1", "-0", "Mi", "1MB", "1 Mi", "1K", "1ki", "1..5", ".", "1e", "1e1.5", "1e1000", "+-1", "1Mi\n"], false, false)]
fn d9_a_quantity_is_a_size_limit_where_it_is_more_than_nothing(
    #[case] quantities: &[&str],
    #[case] is_quantity: bool,
    #[case] is_limit: bool,
) {
    for quantity in quantities {
        let forms = [&QUANTITY, &SIZE_LIMIT].map(|form| form.check(quantity).is_ok());
        assert_eq!(forms, [is_quantity, is_limit], "{quantity:?}");
    }
}
