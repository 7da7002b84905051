//! Reads the addresses of an Ingress, Service or Gateway. Pure.
//!
//! It reads `status.loadBalancer`, `status.addresses`, `spec.clusterIPs` if a policy uses it, and
//! the hosts in the rules of an Ingress. A load balancer with only a hostname has no address,
//! because drydock makes no DNS queries.

use crate::core::crd::format;
use crate::core::policy::{AddressSourceKind, ResolvedAddresses, fixed_address};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use std::collections::HashSet;
use std::net::IpAddr;

/// The observed state of a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum SourceObservation {
    /// The source has addresses.
    Resolved(ResolvedAddresses),
    /// The source has no address. Has the hostnames of its rules, and the problem.
    NoAddress(Vec<String>, String),
    /// The source does not exist.
    Missing,
    /// The source cannot be watched. Has the problem.
    Unreadable(String),
}

/// Returns the resource of a kind of source.
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

/// Reads an object of a kind; `object` has its `spec` and `status`.
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
            "has no cluster address (it is headless)",
        ),
    };
    let hostnames = match kind {
        AddressSourceKind::Ingress => hosts_of_rules(object),
        _ => Vec::new(),
    };
    let (mut addresses, mut problem) = (Vec::new(), None);
    for entry in list(object, pointer) {
        let fields = fields.iter().find_map(|field| text(entry, field));
        match address(fields.or_else(|| entry.as_str()).unwrap_or_default()) {
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

/// Reads an address; `None` for an empty one. The error says why it cannot be used.
fn address(text: &str) -> Result<Option<IpAddr>, String> {
    match fixed_address(text) {
        _ if matches!(text, "" | "None") => Ok(None),
        Ok(ip) => Ok(Some(ip)),
        Err(_) if text.parse::<IpAddr>().is_err() => Err(format!(
            "has only the hostname {text}, which is not looked up; give its address as ip"
        )),
        Err(problem) => Err(format!("has the address {text}, {problem}")),
    }
}

/// Returns the hosts of the rules, each once, without wildcards: `/etc/hosts` has none.
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
