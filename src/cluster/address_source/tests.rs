//! Tests of live addresses (rule H7).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use super::{SourceObservation, read};
use crate::core::policy::{AddressSourceKind, ResolvedAddresses};
use rstest::rstest;
use serde_json::json;

fn live(addresses: &[&str], hostnames: &[&str]) -> SourceObservation {
    SourceObservation::Resolved(ResolvedAddresses {
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        hostnames: hostnames.iter().map(ToString::to_string).collect(),
    })
}

fn without(problem: &str) -> SourceObservation {
    SourceObservation::NoAddress(Vec::new(), problem.to_owned())
}

#[rstest]
#[case::of_its_load_balancer(AddressSourceKind::Ingress, json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.232"}]}}}), live(&["10.0.0.232"], &[]))]
#[case::in_its_own_order(AddressSourceKind::Service, json!({"status": {"loadBalancer": {"ingress": [{"ip": "fd00::2"}, {"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}]}}}), live(&["fd00::2", "10.0.0.2", "10.0.0.1"], &[]))]
#[case::not_the_cluster_address(AddressSourceKind::Service, json!({"spec": {"clusterIPs": ["10.96.0.1"]}, "status": {"loadBalancer": {}}}), without("has no address yet"))]
#[case::the_cluster_address_where_asked(AddressSourceKind::ServiceClusterIp, json!({"spec": {"clusterIPs": ["10.96.0.1", "fd00::1"]}, "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}]}}}), live(&["10.96.0.1", "fd00::1"], &[]))]
#[case::headless(AddressSourceKind::ServiceClusterIp, json!({"spec": {"clusterIPs": ["None"]}}), without("has no cluster IP, because it is headless"))]
#[case::of_a_gateway(AddressSourceKind::Gateway, json!({"status": {"addresses": [{"type": "IPAddress", "value": "10.0.0.9"}]}}), live(&["10.0.0.9"], &[]))]
#[case::a_gateway_by_name(AddressSourceKind::Gateway, json!({"status": {"addresses": [{"type": "Hostname", "value": "lb.example.com"}]}}), without("has only the hostname lb.example.com, which drydock does not resolve; set ip instead of from"))]
#[case::a_load_balancer_by_name(AddressSourceKind::Ingress, json!({"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}}), without("has only the hostname lb.example.com, which drydock does not resolve; set ip instead of from"))]
#[case::a_name_beside_an_address(AddressSourceKind::Ingress, json!({"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}, {"ip": "10.0.0.2"}]}}}), live(&["10.0.0.2"], &[]))]
#[case::a_loopback_address(AddressSourceKind::Ingress, json!({"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}}), without("has the address 127.0.0.1, a loopback address, which the runner uses for services of the job"))]
#[case::nothing_yet(AddressSourceKind::Gateway, json!({}), without("has no address yet"))]
#[case::no_list(AddressSourceKind::Ingress, json!({"status": {"loadBalancer": {"ingress": "10.0.0.1"}}}), without("has no address yet"))]
fn h7_a_source_has_the_addresses_that_its_object_shows(
    #[case] kind: AddressSourceKind,
    #[case] object: serde_json::Value,
    #[case] expected: SourceObservation,
) {
    assert_eq!(read(kind, &object), expected);
}

#[test]
fn h7_the_hostnames_of_an_ingress_are_the_hosts_of_its_rules_without_wildcards() {
    let ingress = json!({
        "spec": {"rules": [{"host": "b.lab.com"}, {"host": "*.lab.com"}, {}, {"host": "a.lab.com"}, {"host": "b.lab.com"}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    });
    let expected = live(&["10.0.0.1"], &["b.lab.com", "a.lab.com"]);
    assert_eq!(read(AddressSourceKind::Ingress, &ingress), expected);
    let mut pending = ingress;
    pending["status"] = json!({"loadBalancer": {}});
    let hostnames = vec!["b.lab.com".to_owned(), "a.lab.com".to_owned()];
    let expected = SourceObservation::NoAddress(hostnames, "has no address yet".to_owned());
    assert_eq!(read(AddressSourceKind::Ingress, &pending), expected);
}
