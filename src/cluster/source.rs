//! What an Ingress, Service or Gateway says about its addresses. Pure.
//!
//! Only `status.loadBalancer`, `status.addresses` and, where a policy asks for it, `spec.clusterIPs` are read, and the hosts of
//! an Ingress' rules. A load balancer that has only a hostname has no address here: nothing is ever looked up in DNS.

use crate::core::crd::form;
use crate::core::policy::{Live, SourceKind, fixed_address};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use std::collections::HashSet;
use std::net::IpAddr;

/// What was seen of a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    /// It has addresses.
    Resolved(Live),
    /// It is there, and has none. Holds the hostnames of its rules, and what there is instead of an address.
    WithoutAddress(Vec<String>, String),
    /// It is not there.
    Gone,
    /// It cannot be watched, and why.
    Unreadable(String),
}

/// Returns the resource that a kind of source is watched by.
#[must_use]
pub fn resource(kind: SourceKind) -> ApiResource {
    let (group, version, kind, plural) = match kind {
        SourceKind::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
        SourceKind::Service | SourceKind::ServiceClusterIp => ("", "v1", "Service", "services"),
        SourceKind::Gateway => ("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Reads an object of a kind: `object` is the part beside `metadata`, so `spec` and `status`.
#[must_use]
pub fn read(kind: SourceKind, object: &Value) -> Seen {
    let entries: Vec<Entry<'_>> = match kind {
        SourceKind::Ingress | SourceKind::Service => list(object, "/status/loadBalancer/ingress")
            .map(Entry::of_load_balancer)
            .collect(),
        SourceKind::ServiceClusterIp => list(object, "/spec/clusterIPs")
            .map(|ip| Entry::of(ip.as_str()))
            .collect(),
        SourceKind::Gateway => list(object, "/status/addresses")
            .map(|address| Entry::of(text(address, "value")))
            .collect(),
    };
    let addresses: Vec<IpAddr> = entries.iter().filter_map(|entry| entry.usable()).collect();
    let hostnames = match kind {
        SourceKind::Ingress => hosts_of_rules(object),
        _ => Vec::new(),
    };
    if addresses.is_empty() {
        let problem = entries.iter().find_map(Entry::problem);
        let none = match kind {
            SourceKind::ServiceClusterIp => "has no cluster address (it is headless)",
            _ => "has no address yet",
        };
        return Seen::WithoutAddress(hostnames, problem.unwrap_or_else(|| none.to_owned()));
    }
    Seen::Resolved(Live {
        addresses,
        hostnames,
    })
}

/// An address as an object has it.
enum Entry<'a> {
    Address(IpAddr),
    /// A load balancer's DNS name.
    Hostname(&'a str),
    /// An address that no hostname may resolve to, and why.
    Unusable(&'a str, &'static str),
    Nothing,
}

impl<'a> Entry<'a> {
    fn of(text: Option<&'a str>) -> Self {
        match text {
            None | Some("" | "None") => Self::Nothing,
            Some(text) => match fixed_address(text) {
                Ok(ip) => Self::Address(ip),
                Err(_) if text.parse::<IpAddr>().is_err() => Self::Hostname(text),
                Err(problem) => Self::Unusable(text, problem),
            },
        }
    }

    fn of_load_balancer(entry: &'a Value) -> Self {
        Self::of(text(entry, "ip").or_else(|| text(entry, "hostname")))
    }

    fn usable(&self) -> Option<IpAddr> {
        match self {
            Self::Address(ip) => Some(*ip),
            _ => None,
        }
    }

    fn problem(&self) -> Option<String> {
        match self {
            Self::Hostname(name) => Some(format!(
                "has only the hostname {name}, which is not looked up; give its address as ip"
            )),
            Self::Unusable(text, problem) => Some(format!("has the address {text}, {problem}")),
            Self::Address(_) | Self::Nothing => None,
        }
    }
}

/// Hosts of the rules, each once. A wildcard is no hostname that /etc/hosts could hold.
fn hosts_of_rules(ingress: &Value) -> Vec<String> {
    let mut known = HashSet::new();
    list(ingress, "/spec/rules")
        .filter_map(|rule| text(rule, "host"))
        .filter(|host| known.insert(*host) && form::SUBDOMAIN.check(host).is_ok())
        .map(ToOwned::to_owned)
        .collect()
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
