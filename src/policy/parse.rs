//! `JobPodPolicy` → [`Policy`]: what the schema cannot say. Every error is collected, none is the last.

mod dind;

use super::selector::Selector;
use super::{Address, HostAlias, Policy, Source, SourceKind, names};
use crate::crd::{self, ServiceAddress};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One thing that is wrong in a policy: its field and, as the rest of a sentence, what is wrong with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldError {
    /// As in `spec.hostAliases[1].ip`.
    pub field: String,
    /// As in `is "10.0.0", not an IP address`.
    pub problem: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

/// The errors of one policy, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Errors(pub(super) Vec<FieldError>);

impl Errors {
    pub(super) fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(FieldError {
            field: field.into(),
            problem: problem.into(),
        });
    }

    /// Takes in the outcome of a check of a field's value.
    pub(super) fn check(&mut self, field: &str, value: &str, outcome: names::Check) {
        if let Err(problem) = outcome {
            self.add(field, format!("is \"{value}\", {problem}"));
        }
    }
}

/// Parses a policy. What comes back is to be used only if `errors` stayed empty.
pub(super) fn policy(resource: &crd::JobPodPolicy, errors: &mut Errors) -> Policy {
    let name = resource.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        errors.add("metadata.name", "is missing");
    } else {
        errors.check("metadata.name", &name, names::subdomain(&name));
    }
    let label = match resource.metadata.generation {
        Some(generation) => format!("{name}@{generation}"),
        None => name.clone(),
    };
    let spec = &resource.spec;
    Policy {
        name,
        label,
        priority: spec.priority,
        mode: spec.mode,
        pod_selector: Selector::parse(spec.pod_selector.as_ref(), "spec.podSelector", errors),
        namespace_selector: Selector::parse(
            spec.namespace_selector.as_ref(),
            "spec.namespaceSelector",
            errors,
        ),
        host_aliases: host_aliases(&spec.host_aliases, errors),
        dind: spec.dind.as_ref().map(|spec| dind::dind(spec, errors)),
    }
}

fn host_aliases(aliases: &[crd::HostAlias], errors: &mut Errors) -> Vec<HostAlias> {
    let mut parsed = Vec::new();
    // hostname and family → the address and the entry that gave it
    let mut fixed: BTreeMap<(&str, bool), (IpAddr, usize)> = BTreeMap::new();
    for (index, alias) in aliases.iter().enumerate() {
        let path = format!("spec.hostAliases[{index}]");
        let address = address(alias, &path, errors);
        for (number, hostname) in alias.hostnames.iter().enumerate() {
            let path = format!("{path}.hostnames[{number}]");
            errors.check(&path, hostname, names::subdomain(hostname));
            let Some(Address::Fixed(ip)) = address else {
                continue;
            };
            match fixed.get(&(hostname.as_str(), ip.is_ipv4())) {
                Some((other, entry)) if *other != ip => {
                    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
                    errors.add(path, format!("is \"{hostname}\", which has the {family} address {other} in spec.hostAliases[{entry}] already; give a hostname one address per family"));
                }
                Some(_) => {}
                None => {
                    fixed.insert((hostname, ip.is_ipv4()), (ip, index));
                }
            }
        }
        let from_rules =
            matches!(&address, Some(Address::Live(source)) if source.kind == SourceKind::Ingress);
        if alias.hostnames.is_empty() && !from_rules && address.is_some() {
            errors.add(
                format!("{path}.hostnames"),
                "is empty; list the hostnames that resolve to this address",
            );
        }
        if let Some(address) = address {
            parsed.push(HostAlias {
                address,
                hostnames: alias.hostnames.clone(),
            });
        }
    }
    parsed
}

fn address(alias: &crd::HostAlias, path: &str, errors: &mut Errors) -> Option<Address> {
    match (&alias.ip, &alias.from) {
        (Some(ip), None) => match fixed_address(ip) {
            Ok(ip) => Some(Address::Fixed(ip)),
            Err(problem) => {
                errors.add(format!("{path}.ip"), format!("is \"{ip}\", {problem}"));
                None
            }
        },
        (None, Some(from)) => source(from, &format!("{path}.from"), errors).map(Address::Live),
        (Some(_), Some(_)) => {
            errors.add(path, "has both ip and from; keep one of them");
            None
        }
        (None, None) => {
            errors.add(
                path,
                "has neither ip nor from; give it a fixed address or the object that has one",
            );
            None
        }
    }
}

/// Reads an address that a hostname may resolve to.
///
/// # Errors
/// Where it is no address, or one that a pod's other entries for loopback names would clash with.
pub fn fixed_address(text: &str) -> Result<IpAddr, &'static str> {
    let ip: IpAddr = text.parse().map_err(
        |_| "not an IP address; write it as in 10.0.0.232 or fd00::232, without port or zone",
    )?;
    let canonical = ip.to_canonical();
    if canonical.is_loopback() {
        return Err("a loopback address; those are the names of the job's own services");
    }
    if matches!(
        canonical,
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    ) {
        return Err("the unspecified address; write the one that the hostname resolves to");
    }
    Ok(ip)
}

fn source(from: &crd::AddressSource, path: &str, errors: &mut Errors) -> Option<Source> {
    let of = |kind, reference: &crd::ObjectReference| Source {
        kind,
        namespace: reference.namespace.clone(),
        name: reference.name.clone(),
    };
    let of_service = |reference: &crd::ServiceReference| Source {
        kind: match reference.address {
            ServiceAddress::LoadBalancer => SourceKind::Service,
            ServiceAddress::ClusterIP => SourceKind::ServiceClusterIp,
        },
        namespace: reference.namespace.clone(),
        name: reference.name.clone(),
    };
    let given = [
        from.ingress.as_ref().map(|it| of(SourceKind::Ingress, it)),
        from.service.as_ref().map(of_service),
        from.gateway.as_ref().map(|it| of(SourceKind::Gateway, it)),
    ];
    let mut given: Vec<Source> = given.into_iter().flatten().collect();
    let (Some(source), true) = (given.pop(), given.is_empty()) else {
        errors.add(
            path,
            "must have exactly one of ingress, service and gateway",
        );
        return None;
    };
    let path = format!("{path}.{}", source.kind.name());
    errors.check(
        &format!("{path}.namespace"),
        &source.namespace,
        names::label(&source.namespace),
    );
    errors.check(
        &format!("{path}.name"),
        &source.name,
        names::subdomain(&source.name),
    );
    Some(source)
}

#[cfg(test)]
mod tests;
