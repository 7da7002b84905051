//! Checks whether the policies are in force, select a namespace, and refer to objects that exist.

use super::finding::jobs as finding;
use super::pod_security::forbids_privileged;
use super::policy_set::{StoredPolicy, claims_of, fixed_hostnames};
use super::report::{Check, Level};
use super::text::{count, list, plural};
use super::view::{OptedInNamespace, View};
use crate::core::policy::{Mode, Policy};

/// The maximum number of details of a check.
const MAX_DETAILS: usize = 5;

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    if let Err(error) = &view.facts.policies {
        return vec![error.check("which policies exist")];
    }
    if view.stored.is_empty() {
        return vec![finding::no_policy()];
    }
    let policies = view.stored.iter();
    policies.flat_map(|one| policy_checks(view, one)).collect()
}

fn policy_checks(view: &View<'_>, stored: &StoredPolicy) -> Vec<Check> {
    let mut checks = status(stored);
    if let Ok(policy) = &stored.policy {
        let selected: Vec<&OptedInNamespace<'_>> = view.selected_by(policy).collect();
        checks.extend(selects_nothing(view, policy, &selected));
        checks.extend(config_maps(view, policy, &selected));
        checks.extend(claims(view, policy, &selected));
        checks.extend(host_paths(policy, &selected));
        checks.extend(resolves_elsewhere(view, policy));
    }
    if checks.iter().all(|check| check.level == Level::Good) {
        checks.insert(0, in_force(stored));
    }
    let about = format!("jobpodpolicy/{}", stored.name);
    checks
        .into_iter()
        .map(|check| check.about(&about))
        .collect()
}

fn selects_nothing(
    view: &View<'_>,
    policy: &Policy,
    selected: &[&OptedInNamespace<'_>],
) -> Option<Check> {
    let has_selector = policy.namespace_selector.keys().next().is_some();
    let knows_namespaces = view.facts.selected.is_empty() && !view.opted_in.is_empty();
    (has_selector && knows_namespaces && selected.is_empty())
        .then(|| finding::policy_selects_nothing(&policy.name))
}

fn config_maps(view: &View<'_>, policy: &Policy, selected: &[&OptedInNamespace<'_>]) -> Vec<Check> {
    let mut missing = Vec::new();
    let mut read_error = None;
    for authority in policy.dind.iter().flat_map(|dind| &dind.registry_cas) {
        for namespace in selected {
            let key = (namespace.name.to_owned(), authority.config_map.clone());
            let config_map = format!(
                "ConfigMap {} in namespace {}",
                authority.config_map, namespace.name
            );
            match view.facts.config_map_keys.get(&key) {
                Some(Ok(None)) => {
                    let text = format!("there is no {config_map} (CA of {})", authority.host);
                    missing.push((text, namespace.name));
                }
                Some(Ok(Some(keys))) if !keys.contains(&authority.key) => {
                    let text = format!("{config_map} has no key {}", authority.key);
                    missing.push((text, namespace.name));
                }
                Some(Err(error)) => read_error = read_error.or(Some(error)),
                _ => {}
            }
        }
    }
    let unknown = "whether the ConfigMaps with registry CAs exist";
    let mut checks: Vec<Check> = read_error
        .map(|error| error.check(unknown))
        .into_iter()
        .collect();
    checks.extend(match missing.as_slice() {
        [] => None,
        [(text, namespace)] => Some(finding::registry_ca_missing(&policy.name, text, namespace)),
        [(_, namespace), ..] => {
            let text = format!(
                "{} ConfigMaps in dind.registryCAs do not exist or do not have the key",
                missing.len()
            );
            let check = finding::registry_ca_missing(&policy.name, text, namespace);
            let details = missing.iter().take(MAX_DETAILS);
            Some(check.details(details.map(|(text, _)| text.clone())))
        }
    });
    checks
}

fn claims(view: &View<'_>, policy: &Policy, selected: &[&OptedInNamespace<'_>]) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut read_error = None;
    for claim in claims_of(policy) {
        for namespace in selected {
            let key = (namespace.name.to_owned(), claim.to_owned());
            match view.facts.claims.get(&key) {
                Some(Ok(false)) => {
                    checks.push(finding::claim_missing(&policy.name, claim, namespace.name));
                }
                Some(Err(error)) => read_error = read_error.or(Some(error)),
                _ => {}
            }
        }
    }
    let unknown = "whether the PersistentVolumeClaims in dind.volumes exist";
    checks.extend(read_error.map(|error| error.check(unknown)));
    checks
}

fn host_paths(policy: &Policy, selected: &[&OptedInNamespace<'_>]) -> Option<Check> {
    let volumes = policy.dind.as_ref()?.volumes.iter();
    let volumes = volumes.filter(|volume| volume.source.is_host_path());
    let mut volumes = volumes.map(|volume| volume.name.as_str()).peekable();
    let namespaces = selected
        .iter()
        .filter(|namespace| forbids_privileged(namespace.object));
    let namespaces: Vec<&str> = namespaces.map(|namespace| namespace.name).collect();
    let first = namespaces.first()?;
    volumes.peek()?;
    Some(finding::pod_security(
        &policy.name,
        list(&namespaces),
        list(volumes),
        first,
    ))
}

fn resolves_elsewhere(view: &View<'_>, policy: &Policy) -> Option<Check> {
    let fixed = fixed_hostnames(policy).into_iter();
    let differing = fixed.filter_map(|(hostname, wanted)| {
        let here = view.facts.resolved.get(&hostname)?;
        let is_same = here.is_empty() || here.iter().any(|address| wanted.contains(address));
        (!is_same).then(|| {
            format!(
                "{hostname}: {} on this computer, {} in job pods",
                list(here),
                list(&wanted)
            )
        })
    });
    let differing: Vec<String> = differing.collect();
    let number = differing.len();
    let verb = plural(number, "resolves", "resolve");
    let hostnames = format!("{} {verb}", count(number, "hostname"));
    (number > 0).then(|| {
        let check = finding::hostname_elsewhere(&policy.name, hostnames);
        check.details(differing.into_iter().take(MAX_DETAILS))
    })
}

/// Checks the status of a policy, which the replicas of drydock write.
fn status(stored: &StoredPolicy) -> Vec<Check> {
    let name = &stored.name;
    let mut checks = Vec::new();
    if stored.status.observed_generation.is_none() {
        checks.push(finding::policy_not_read(name));
    } else if stored.status.observed_generation < stored.generation {
        checks.push(finding::policy_behind(name));
    }
    let accepted = stored.condition("Accepted");
    if let (Err(errors), None | Some((true, _))) = (&stored.policy, accepted) {
        let errors = errors.iter().map(ToString::to_string);
        checks.push(finding::policy_unreadable(name).details(errors.take(MAX_DETAILS)));
    }
    // The type of each condition, and its status if the policy has no problems.
    for (type_, good) in [
        ("Accepted", true),
        ("AddressesResolved", true),
        ("HostnamesTaken", true),
        ("Conflicting", false),
    ] {
        let Some((is_true, message)) = stored.condition(type_) else {
            continue;
        };
        if is_true != good {
            let check = match type_ {
                "Accepted" => finding::policy_not_accepted(name),
                "AddressesResolved" => finding::policy_no_address(name),
                "HostnamesTaken" => finding::policy_hostnames(name),
                _ => finding::policy_conflict(name),
            };
            checks.push(check.details(message.lines().map(str::to_owned)));
        }
    }
    checks
}

fn in_force(stored: &StoredPolicy) -> Check {
    let name = &stored.name;
    let Ok(policy) = &stored.policy else {
        return Check::good(
            "policy",
            format!("{name}: the last valid version of the policy is in force"),
        );
    };
    let aliases = policy.host_aliases.iter();
    let hostnames: usize = aliases.map(|alias| alias.hostnames.len()).sum();
    let dind =
        policy
            .dind
            .as_ref()
            .map(|dind| match dind.volumes.len() + dind.registry_cas.len() {
                0 => "dind".to_owned(),
                number => format!("dind with {}", count(number, "volume")),
            });
    let parts = (hostnames > 0)
        .then(|| count(hostnames, "hostname"))
        .into_iter()
        .chain(dind);
    let content = match list(parts) {
        nothing if nothing.is_empty() => "no changes defined".to_owned(),
        parts => parts,
    };
    let mode = match policy.mode {
        Mode::Enforce => "in force",
        Mode::Audit => "in force (mode: Audit)",
    };
    Check::good("policy", format!("{name}: {mode}, {content}"))
}
