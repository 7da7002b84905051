//! Reads addresses from an Ingress, Service or Gateway object. Pure: it has no I/O.
//!
//! An Ingress or Service has its addresses in `status.loadBalancer`, a Gateway in
//! `status.addresses`. If the policy asks for the cluster IP, a Service has them in
//! `spec.clusterIPs`. The hostnames of an Ingress are in `spec.rules`. A load balancer that has
//! only a hostname has no address for drydock, which makes no DNS queries.

use crate::core::crd::format;
use crate::core::policy::{AddressSourceKind, ResolvedAddresses, fixed_address};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use std::collections::HashSet;
use std::net::IpAddr;

/// The observed state of an address source.
///
/// A problem is a predicate, such as "has no address yet".
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum SourceObservation {
    /// The source has addresses.
    Resolved(ResolvedAddresses),
    /// The source has no address. Contains the hostnames of its Ingress rules, and the problem.
    NoAddress(Vec<String>, String),
    /// The source does not exist.
    Missing,
    /// The source cannot be watched. Contains the problem.
    Unreadable(String),
}

/// Returns the API resource of a kind of address source.
pub(super) fn resource(kind: AddressSourceKind) -> ApiResource {
    let (group, version, kind, plural) = match kind {
        AddressSourceKind::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
        AddressSourceKind::Service | AddressSourceKind::ServiceClusterIp => {
            ("", "v1", "Service", "services")
        }
        AddressSourceKind::Gateway => ("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Reads the addresses from an object of `kind`. `object` contains its `spec` and `status`.
pub(super) fn read(kind: AddressSourceKind, object: &Value) -> SourceObservation {
    let (pointer, fields, none): (_, &[&str], _) = match kind {
        AddressSourceKind::Ingress | AddressSourceKind::Service => (
            "/status/loadBalancer/ingress",
            &["ip", "hostname"],
            "has no address yet",
        ),
        AddressSourceKind::Gateway => ("/status/addresses", &["value"], "has no address yet"),
        AddressSourceKind::ServiceClusterIp => (
            "/spec/clusterIPs",
            &[],
            "has no cluster IP, because it is headless",
        ),
    };
    let hostnames = match kind {
        AddressSourceKind::Ingress => hosts_of_rules(object),
        _ => Vec::new(),
    };
    let (mut addresses, mut problem) = (Vec::new(), None);
    for entry in list(object, pointer) {
        let fields = fields.iter().find_map(|field| text(entry, field));
        match parse_address(fields.or_else(|| entry.as_str()).unwrap_or_default()) {
            Ok(ip) => addresses.extend(ip),
            Err(other) => problem = problem.or(Some(other)),
        }
    }
    match addresses.is_empty() {
        true => SourceObservation::NoAddress(hostnames, problem.unwrap_or_else(|| none.to_owned())),
        false => SourceObservation::Resolved(ResolvedAddresses {
            addresses,
            hostnames,
        }),
    }
}

/// Parses an address. Returns `None` if the text is empty or is the `None` of a headless Service.
/// The error is the problem with the address.
fn parse_address(text: &str) -> Result<Option<IpAddr>, String> {
    match fixed_address(text) {
        _ if matches!(text, "" | "None") => Ok(None),
        Ok(ip) => Ok(Some(ip)),
        Err(_) if text.parse::<IpAddr>().is_err() => Err(format!(
            "has only the hostname {text}, which drydock does not resolve; set ip instead of from"
        )),
        Err(problem) => Err(format!("has the address {text}, {problem}")),
    }
}

/// Returns the hosts of the Ingress rules without duplicates, and without wildcards, which
/// `/etc/hosts` does not support.
fn hosts_of_rules(ingress: &Value) -> Vec<String> {
    let mut taken = HashSet::new();
    let hosts = list(ingress, "/spec/rules").filter_map(|rule| text(rule, "host"));
    hosts
        .filter(|host| taken.insert(*host) && format::HOSTNAME.check(host).is_ok())
        .map(ToOwned::to_owned)
        .collect()
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
