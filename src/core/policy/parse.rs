//! `JobPodPolicy` → [`Policy`]: what the schema cannot say. Every error is collected, none is the last.

mod dind;
mod volumes;

use super::selector::Selector;
use super::{Address, HostAlias, HostnameSuffixes, Policy, Recorded, Source, SourceKind};
use crate::core::crd::form::{self, Form};
use crate::core::crd::{self, ServiceAddress};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

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

    /// Adds what is wrong with the form of a text.
    pub(super) fn check(&mut self, field: &str, text: &str, form: &Form) {
        if let Err(problem) = form.check(text) {
            // One error is one line, whatever the text holds.
            let shown: String = text.chars().flat_map(shown).collect();
            self.add(field, format!("is \"{shown}\", {problem}"));
        }
    }
}

/// Escapes a character that would break or hide what stands around it.
fn shown(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

/// Parses a policy; with `recorded` one that is stored. What comes back is to be used only if `errors` stayed empty.
pub(super) fn policy(
    resource: &crd::JobPodPolicy,
    recorded: Option<&Recorded>,
    errors: &mut Errors,
) -> Policy {
    let name = resource.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        errors.add("metadata.name", "is missing");
    } else {
        errors.check("metadata.name", &name, &form::SUBDOMAIN);
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
        host_aliases: host_aliases(&spec.host_aliases, recorded, errors),
        dind: spec.dind.as_ref().map(|spec| dind::dind(spec, errors)),
    }
}

fn host_aliases(
    aliases: &[crd::HostAlias],
    recorded: Option<&Recorded>,
    errors: &mut Errors,
) -> Vec<HostAlias> {
    let count: usize = aliases.iter().map(|alias| alias.hostnames.len()).sum();
    if count > crd::HOSTNAMES {
        errors.add(
            "spec.hostAliases",
            format!(
                "has more than {} hostnames in all; put the others into a second policy",
                crd::HOSTNAMES
            ),
        );
    }
    let mut parsed = Vec::new();
    let mut claims = Claims::default();
    for (index, alias) in aliases.iter().enumerate() {
        let path = format!("spec.hostAliases[{index}]");
        let address = address(alias, &path, errors);
        if let (Some(Address::Fixed(ip)), Some(text)) = (&address, &alias.ip) {
            claims.take(index, *ip, text, &alias.hostnames, errors);
        }
        let rules = match &address {
            Some(Address::Live(source)) if source.kind == SourceKind::Ingress => Some(source),
            _ => None,
        };
        let from_rules = rules.is_some();
        let suffixes = match rules {
            Some(source) => suffixes(alias, source, recorded, &path, errors),
            None => HostnameSuffixes::Domains(Vec::new()),
        };
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
                suffixes,
            });
        }
    }
    parsed
}

fn suffixes(
    alias: &crd::HostAlias,
    source: &Source,
    recorded: Option<&Recorded>,
    path: &str,
    errors: &mut Errors,
) -> HostnameSuffixes {
    let from = alias.from.as_ref();
    let ingress = from.and_then(|from| from.ingress.as_ref());
    let suffixes: &[String] = ingress.map_or(&[], |ingress| &ingress.hostname_suffixes);
    let problem = match (alias.hostnames.is_empty(), suffixes.is_empty(), recorded) {
        (true, true, Some(recorded)) => {
            let hostnames = recorded.get(source).cloned();
            return HostnameSuffixes::Recorded(hostnames.unwrap_or_default());
        }
        (true, true, None) => {
            "is empty, but the hostnames are left to the Ingress; name the domains that they must belong to, as in [mylab.com], or list the hostnames"
        }
        (false, false, _) => "is set, but only an entry without hostnames uses it",
        _ => return HostnameSuffixes::Domains(suffixes.to_vec()),
    };
    errors.add(format!("{path}.from.ingress.hostnameSuffixes"), problem);
    HostnameSuffixes::Domains(suffixes.to_vec())
}

/// Which hostname has which fixed address of a family, as it is written, and in which entry.
#[derive(Default)]
struct Claims<'a>(BTreeMap<(&'a str, bool), (&'a str, usize)>);

impl<'a> Claims<'a> {
    /// Two spellings of one address count as two: the rules of the schema cannot tell.
    fn take(
        &mut self,
        entry: usize,
        ip: IpAddr,
        text: &'a str,
        hostnames: &'a [String],
        errors: &mut Errors,
    ) {
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        for (number, hostname) in hostnames.iter().enumerate() {
            let (other, first) = *self
                .0
                .entry((hostname, ip.is_ipv4()))
                .or_insert((text, entry));
            if other != text {
                errors.add(format!("spec.hostAliases[{entry}].hostnames[{number}]"), format!("is \"{hostname}\", which has the {family} address {other} in spec.hostAliases[{first}] already; give a hostname one address per family"));
            }
        }
    }
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
/// Where it is no address, or one that a pod's other entries for loopback names would clash with; to follow `is "…",`.
pub fn fixed_address(text: &str) -> Result<IpAddr, &'static str> {
    form::ADDRESS.check(text)?;
    text.parse().map_err(|_| "not an IP address")
}

fn source(from: &crd::AddressSource, path: &str, errors: &mut Errors) -> Option<Source> {
    let of = |kind, reference: &crd::ObjectReference| Source {
        kind,
        namespace: reference.namespace.clone(),
        name: reference.name.clone(),
    };
    let of_ingress = |reference: &crd::IngressReference| Source {
        kind: SourceKind::Ingress,
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
        from.ingress.as_ref().map(of_ingress),
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
    Some(source)
}

#[cfg(test)]
mod tests;
