//! Parses a `JobPodPolicy` into a [`Policy`]. Checks the rules that the schema cannot express, and
//! reports all errors.

mod dind;

use super::schema::format_error;
use super::selector::{Requirement, Selector};
use super::{
    Address, AddressSource, AddressSourceKind, HostAlias, HostnameSuffixes, Policy,
    RecordedHostnames,
};
use crate::core::crd::format::{self, Format};
use crate::core::crd::{self, ServiceAddress};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// An error in a field of a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldError {
    /// The path of the field, as in `spec.hostAliases[1].ip`.
    pub field: String,
    /// The problem, as in `is "10.0.0", not an IP address`.
    pub problem: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

/// The errors of a policy, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Errors(pub(super) Vec<FieldError>);

impl Errors {
    pub(super) fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(FieldError {
            field: field.into(),
            problem: problem.into(),
        });
    }

    /// Adds an error if there is a problem.
    pub(super) fn extend(&mut self, field: &str, problem: Option<impl Into<String>>) {
        if let Some(problem) = problem {
            self.add(field, problem);
        }
    }

    pub(super) fn check(&mut self, field: &str, text: &str, format: &Format) {
        self.extend(field, format_error(text, format));
    }
}

/// Parses a policy. `recorded` contains the hostnames in the status of a stored policy. The result
/// is valid only if `errors` stays empty.
pub(super) fn policy(
    resource: &crd::JobPodPolicy,
    recorded: Option<&RecordedHostnames>,
    errors: &mut Errors,
) -> Policy {
    let name = resource.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        errors.add("metadata.name", "is missing");
    } else {
        errors.check("metadata.name", &name, &format::SUBDOMAIN);
    }
    let versioned_name = match resource.metadata.generation {
        Some(generation) => format!("{name}@{generation}"),
        None => name.clone(),
    };
    let spec = &resource.spec;
    let mut selector = |selector: &Option<LabelSelector>, path| match selector {
        Some(given) => self::selector(given, path, errors),
        None => Selector::default(),
    };
    Policy {
        name,
        versioned_name,
        priority: spec.priority,
        mode: spec.mode,
        pod_selector: selector(&spec.pod_selector, "spec.podSelector"),
        namespace_selector: selector(&spec.namespace_selector, "spec.namespaceSelector"),
        host_aliases: host_aliases(&spec.host_aliases, recorded, errors),
        dind: spec.dind.as_ref().map(|spec| dind::dind(spec, errors)),
    }
}

pub(super) fn selector(selector: &LabelSelector, path: &str, errors: &mut Errors) -> Selector {
    let labels = selector.match_labels.iter().flatten();
    let mut requirements: Vec<Requirement> = labels
        .map(|(key, value)| Requirement::of(key, Some(vec![value.clone()]), true))
        .collect();
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let operator = expression.operator.as_str();
        let values = expression.values.clone();
        let values = values.filter(|values| !values.is_empty());
        let problem = match (operator, &values) {
            ("In" | "NotIn", None) => {
                format!("must have at least one value if operator is {operator}")
            }
            ("Exists" | "DoesNotExist", Some(_)) => {
                format!("must be empty if operator is {operator}")
            }
            // The schema allows only these four operators.
            _ => {
                let must_match = matches!(operator, "In" | "Exists");
                requirements.push(Requirement::of(&expression.key, values, must_match));
                continue;
            }
        };
        errors.add(format!("{path}.matchExpressions[{index}].values"), problem);
    }
    Selector { requirements }
}

fn host_aliases(
    aliases: &[crd::HostAlias],
    recorded: Option<&RecordedHostnames>,
    errors: &mut Errors,
) -> Vec<HostAlias> {
    let count: usize = aliases.iter().map(|alias| alias.hostnames.len()).sum();
    if count > crd::MAX_HOSTNAMES {
        let max = crd::MAX_HOSTNAMES;
        let problem =
            format!("has more than {max} hostnames in total; move some of them to a second policy");
        errors.add("spec.hostAliases", problem);
    }
    let mut parsed = Vec::new();
    // The fixed address of each hostname and family, as written, and the index of its entry. Two
    // notations of an address count as two addresses, because the CEL rule compares strings.
    let mut fixed: BTreeMap<(&str, bool), (&str, usize)> = BTreeMap::new();
    for (index, alias) in aliases.iter().enumerate() {
        let path = format!("spec.hostAliases[{index}]");
        let Some(address) = address(alias, &path, errors) else {
            continue;
        };
        let mut suffixes = HostnameSuffixes::Domains(Vec::new());
        match &address {
            Address::Live(source) if source.kind == AddressSourceKind::Ingress => {
                suffixes = self::suffixes(alias, source, recorded, &path, errors);
            }
            _ if alias.hostnames.is_empty() => errors.add(
                format!("{path}.hostnames"),
                "is empty; list the hostnames that resolve to this address",
            ),
            _ => {}
        }
        if let (Address::Fixed(ip), Some(text)) = (&address, &alias.ip) {
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            for (number, hostname) in alias.hostnames.iter().enumerate() {
                let key = (hostname.as_str(), ip.is_ipv4());
                let (other, first) = *fixed.entry(key).or_insert((text, index));
                if other != text {
                    errors.add(format!("{path}.hostnames[{number}]"), format!("is \"{hostname}\", which already has the {family} address {other} in spec.hostAliases[{first}]; a hostname can have one IPv4 and one IPv6 address"));
                }
            }
        }
        parsed.push(HostAlias {
            address,
            hostnames: alias.hostnames.clone(),
            suffixes,
        });
    }
    parsed
}

fn suffixes(
    alias: &crd::HostAlias,
    source: &AddressSource,
    recorded: Option<&RecordedHostnames>,
    path: &str,
    errors: &mut Errors,
) -> HostnameSuffixes {
    let ingress = alias.from.as_ref().and_then(|from| from.ingress.as_ref());
    let suffixes: &[String] = ingress.map_or(&[], |ingress| &ingress.hostname_suffixes);
    let problem = match (alias.hostnames.is_empty(), suffixes.is_empty(), recorded) {
        (true, true, Some(recorded)) => {
            let hostnames = recorded.get(source).cloned();
            return HostnameSuffixes::Recorded(hostnames.unwrap_or_default());
        }
        (true, true, None) => Some(
            "is empty, and the entry has no hostnames; list the domains of the hostnames to use from the Ingress, as in [mylab.com], or list the hostnames",
        ),
        (false, false, _) => Some("must not be set together with hostnames; remove one of them"),
        _ => None,
    };
    errors.extend(&format!("{path}.from.ingress.hostnameSuffixes"), problem);
    HostnameSuffixes::Domains(suffixes.to_vec())
}

fn address(alias: &crd::HostAlias, path: &str, errors: &mut Errors) -> Option<Address> {
    let problem = match (&alias.ip, &alias.from) {
        (Some(ip), None) => match fixed_address(ip) {
            Ok(ip) => return Some(Address::Fixed(ip)),
            Err(problem) => {
                errors.add(format!("{path}.ip"), format!("is \"{ip}\", {problem}"));
                return None;
            }
        },
        (None, Some(from)) => {
            let source = source(from);
            if source.is_none() {
                let problem = "must have exactly one of ingress, service and gateway";
                errors.add(format!("{path}.from"), problem);
            }
            return source.map(Address::Live);
        }
        (Some(_), Some(_)) => "has both ip and from; remove one of them",
        (None, None) => {
            "has neither ip nor from; set ip to an address, or from to an object with an address"
        }
    };
    errors.add(path, problem);
    None
}

/// Parses an address that is valid in `spec.hostAliases[].ip`.
///
/// # Errors
/// Returns the message of [`format::ADDRESS`], which follows `is "…",`.
pub fn fixed_address(text: &str) -> Result<IpAddr, &'static str> {
    format::ADDRESS.check(text)?;
    text.parse().map_err(|_| "not an IP address")
}

fn source(from: &crd::AddressSource) -> Option<AddressSource> {
    let (kind, namespace, name) = match (&from.ingress, &from.service, &from.gateway) {
        (Some(it), None, None) => (AddressSourceKind::Ingress, &it.namespace, &it.name),
        (None, Some(it), None) => {
            let kind = match it.address {
                ServiceAddress::LoadBalancer => AddressSourceKind::Service,
                ServiceAddress::ClusterIP => AddressSourceKind::ServiceClusterIp,
            };
            (kind, &it.namespace, &it.name)
        }
        (None, None, Some(it)) => (AddressSourceKind::Gateway, &it.namespace, &it.name),
        _ => return None,
    };
    Some(AddressSource {
        kind,
        namespace: namespace.clone(),
        name: name.clone(),
    })
}

#[cfg(test)]
mod tests;
