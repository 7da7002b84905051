//! The policies: in force, selecting something, and finding what they mount in the namespaces that
//! they select.

use super::facts::Facts;
use super::namespaces::{OptedIn, opted_in};
use super::pod_security::refuses_privileged;
use super::policy_set::{Stored, fixed_hostnames, selected_by};
use super::report::Check;
use super::words::{count, list, plural};
use crate::core::policy::{Mode, Policy};
use std::collections::BTreeSet;

/// Lines that list single objects.
const MOST_DETAILS: usize = 5;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let objects = match &facts.policies {
        Ok(objects) => objects,
        Err(unread) => return vec![unread.check("policies", "what job pods should get")],
    };
    let stored: Vec<Stored> = objects.iter().map(Stored::read).collect();
    if stored.is_empty() {
        return vec![
            Check::error(
                "policies",
                "there is no JobPodPolicy",
                "Every job pod is created as it comes.",
            )
            .next("drydock print policy > policy.yaml")
            .next("kubectl apply -f policy.yaml"),
        ];
    }
    let namespaces = facts.namespaces.as_deref().unwrap_or_default();
    let opted_in = opted_in(facts.configurations.as_deref().ok(), namespaces);
    let context = Context { facts, opted_in };
    stored.iter().flat_map(|one| context.policy(one)).collect()
}

struct Context<'a> {
    facts: &'a Facts,
    opted_in: Vec<OptedIn<'a>>,
}

impl Context<'_> {
    fn policy(&self, stored: &Stored) -> Vec<Check> {
        let mut checks = status(stored);
        if let Ok(policy) = &stored.policy {
            let selected: Vec<&OptedIn<'_>> = selected_by(policy, &self.opted_in).collect();
            checks.extend(self.selects_nothing(policy, &selected));
            checks.extend(self.config_maps(policy, &selected));
            checks.extend(self.claims(policy, &selected));
            checks.extend(self.host_paths(policy, &selected));
            checks.extend(self.resolves_elsewhere(policy));
        }
        if checks
            .iter()
            .all(|check| check.level == super::report::Level::Good)
        {
            checks.insert(0, good(stored));
        }
        let object = format!("jobpodpolicy/{}", stored.name);
        let about = |check: Check| match check.object {
            None => check.about(&object),
            Some(_) => check,
        };
        checks.into_iter().map(about).collect()
    }

    fn selects_nothing(&self, policy: &Policy, selected: &[&OptedIn<'_>]) -> Option<Check> {
        let is_narrowed = policy.namespace_selector.keys().next().is_some();
        let is_known = self.facts.selected.is_empty() && !self.opted_in.is_empty();
        (is_narrowed && is_known && selected.is_empty()).then(|| {
            Check::warning(
                "policy-selects",
                format!(
                    "{}: its namespaceSelector selects no namespace that opted in",
                    policy.name
                ),
                "It is in force for no job.",
            )
            .next(format!(
                "kubectl get jobpodpolicy {} -o jsonpath={{.spec.namespaceSelector}}",
                policy.name
            ))
            .next("kubectl get namespaces --show-labels")
        })
    }

    fn config_maps(&self, policy: &Policy, selected: &[&OptedIn<'_>]) -> Vec<Check> {
        const NAME: &str = "registry-ca";
        let mut missing = Vec::new();
        let mut checks = Vec::new();
        let authorities = policy.dind.iter().flat_map(|dind| &dind.registry_cas);
        for authority in authorities {
            for namespace in selected {
                let key = (namespace.name.to_owned(), authority.config_map.clone());
                let place = format!("{} in namespace {}", authority.config_map, namespace.name);
                match self.facts.config_maps.get(&key) {
                    Some(Ok(None)) => {
                        missing.push(format!("ConfigMap {place}, for {}", authority.host));
                    }
                    Some(Ok(Some(keys))) if !keys.contains(&authority.key) => {
                        missing.push(format!("key {} of ConfigMap {place}", authority.key));
                    }
                    Some(Err(unread)) if checks.is_empty() => {
                        checks.push(
                            unread.check(NAME, "whether dind finds the registries' authorities"),
                        );
                    }
                    _ => {}
                }
            }
        }
        if let Some(first) = missing.first() {
            let text = match missing.len() {
                1 => format!("{}: there is no {first}", policy.name),
                number => format!(
                    "{}: {number} ConfigMaps or keys of registryCAs are not there",
                    policy.name
                ),
            };
            let details = missing
                .iter()
                .filter(|_| missing.len() > 1)
                .take(MOST_DETAILS);
            checks.push(
                Check::warning(NAME, text, "The job starts, and its dind does not trust that registry: \"x509: certificate signed by unknown authority\".")
                    .details(details.cloned())
                    .next("kubectl -n NAMESPACE create configmap NAME --from-file=ca.crt"),
            );
        }
        checks
    }

    fn claims(&self, policy: &Policy, selected: &[&OptedIn<'_>]) -> Vec<Check> {
        const NAME: &str = "volume-claim";
        let mut checks = Vec::new();
        for claim in claims_of(policy) {
            for namespace in selected {
                let key = (namespace.name.to_owned(), claim.to_owned());
                match self.facts.claims.get(&key) {
                    Some(Ok(false)) => checks.push(
                        Check::error(
                            NAME,
                            format!(
                                "{}: there is no PersistentVolumeClaim {claim} in namespace {}",
                                policy.name, namespace.name
                            ),
                            "Jobs with dind stay Pending there, until the runner gives up.",
                        )
                        .next(format!(
                            "kubectl -n {} get persistentvolumeclaims",
                            namespace.name
                        )),
                    ),
                    Some(Err(unread)) if checks.is_empty() => {
                        checks.push(
                            unread.check(NAME, "whether the claims of dind.volumes are there"),
                        );
                    }
                    _ => {}
                }
            }
        }
        checks
    }

    fn host_paths(&self, policy: &Policy, selected: &[&OptedIn<'_>]) -> Option<Check> {
        let dind = policy.dind.as_ref()?;
        let volumes: Vec<&str> = dind
            .volumes
            .iter()
            .filter(|volume| volume.source.is_host_path())
            .map(|volume| volume.name.as_str())
            .collect();
        let refusing: Vec<&str> = selected
            .iter()
            .filter(|namespace| refuses_privileged(namespace.object))
            .map(|namespace| namespace.name)
            .collect();
        let first = refusing.first()?;
        (!volumes.is_empty()).then(|| {
            Check::warning(
                "pod-security",
                format!("{}: Pod Security of {} refuses privileged pods and hostPath", policy.name, list(&refusing)),
                format!(
                    "Jobs with dind cannot run there, with or without drydock, and {} ({}) {} never mounted. Other jobs are repaired.",
                    plural(volumes.len(), "this volume", "these volumes"),
                    list(&volumes),
                    plural(volumes.len(), "is", "are"),
                ),
            )
            .next(format!("kubectl get namespace {first} --show-labels"))
        })
    }

    fn resolves_elsewhere(&self, policy: &Policy) -> Option<Check> {
        let differing: Vec<String> = fixed_hostnames(policy)
            .into_iter()
            .filter_map(|(hostname, wanted)| {
                let here = self.facts.resolved.get(&hostname)?;
                let is_same =
                    here.is_empty() || here.iter().any(|address| wanted.contains(address));
                (!is_same)
                    .then(|| format!("{hostname}: {} here, {} in jobs", list(here), list(&wanted)))
            })
            .collect();
        (!differing.is_empty()).then(|| {
            let number = count(differing.len(), "hostname");
            Check::warning(
                "hostname-elsewhere",
                format!("{}: {number} {} elsewhere from here", policy.name, plural(differing.len(), "resolves", "resolve")),
                "Right where jobs are to take another way than this computer. Otherwise the policy's address is out of date, and jobs do not reach the server.",
            )
            .details(differing.into_iter().take(MOST_DETAILS))
            .next(format!("kubectl edit jobpodpolicy {}", policy.name))
        })
    }
}

/// Returns the names of the PersistentVolumeClaims that a policy mounts.
pub(super) fn claims_of(policy: &Policy) -> BTreeSet<&str> {
    let volumes = policy.dind.iter().flat_map(|dind| &dind.volumes);
    let claims = volumes.filter(|volume| volume.source.field == "persistentVolumeClaim");
    claims
        .filter_map(|volume| volume.source.identity.as_deref())
        .collect()
}

/// What the replicas say in the status.
fn status(stored: &Stored) -> Vec<Check> {
    let name = &stored.name;
    let describe = format!("kubectl describe jobpodpolicy {name}");
    let mut checks = Vec::new();
    if stored.status.observed_generation.is_none() {
        checks.push(
            Check::warning(
                "policy-read",
                format!("{name}: no replica of drydock has read it"),
                "It is not in force, or drydock may not write its status.",
            )
            .next(&describe),
        );
    } else if stored.status.observed_generation < stored.generation {
        checks.push(
            Check::warning(
                "policy-read",
                format!("{name}: the last change is not read yet"),
                "Until a replica reads it, jobs get what the policy said before.",
            )
            .next(&describe),
        );
    }
    let accepted = stored.condition("Accepted");
    if let (Err(errors), None | Some((true, _))) = (&stored.policy, accepted) {
        checks.push(
            Check::error(
                "policy-accepted",
                format!("{name}: this version of drydock cannot read it"),
                "With this version it is not in force.",
            )
            .details(errors.iter().map(ToString::to_string).take(MOST_DETAILS))
            .next(format!(
                "kubectl get jobpodpolicy {name} -o yaml | drydock check -"
            )),
        );
    }
    for (type_, holds, check, text, meaning) in CONDITIONS {
        let Some((is_true, message)) = stored.condition(type_) else {
            continue;
        };
        if is_true == holds {
            continue;
        }
        let text = format!("{name}: {text}");
        let found = match type_ {
            "Accepted" | "AddressesResolved" => Check::error(check, text, meaning),
            _ => Check::warning(check, text, meaning),
        };
        checks.push(
            found
                .details(message.lines().map(str::to_owned))
                .next(&describe),
        );
    }
    checks
}

/// Type, the value that is good, the check's name, what is wrong otherwise, and what it means.
const CONDITIONS: [(&str, bool, &str, &str, &str); 4] = [
    (
        "Accepted",
        true,
        "policy-accepted",
        "it is not in force as it is written",
        "Jobs get its last good version, or nothing of it.",
    ),
    (
        "AddressesResolved",
        true,
        "policy-addresses",
        "an object under hostAliases[].from has no address",
        "Jobs get its last known address; where there never was one, its hostnames are left alone.",
    ),
    (
        "HostnamesTaken",
        true,
        "policy-hostnames",
        "hostnames of an Ingress are not taken",
        "Jobs resolve these hostnames as without drydock.",
    ),
    (
        "Conflicting",
        false,
        "policy-conflict",
        "a policy of higher rank wins over it",
        "Where both match, jobs get the other policy's.",
    ),
];

fn good(stored: &Stored) -> Check {
    let Ok(policy) = &stored.policy else {
        return Check::good(
            "policy",
            format!("{}: its last good version is in force", stored.name),
        );
    };
    let hostnames: usize = policy
        .host_aliases
        .iter()
        .map(|alias| alias.hostnames.len())
        .sum();
    let mut parts = Vec::new();
    if hostnames > 0 {
        parts.push(count(hostnames, "hostname"));
    }
    if let Some(dind) = &policy.dind {
        parts.push(match dind.volumes.len() + dind.registry_cas.len() {
            0 => "dind".to_owned(),
            number => format!("dind with {}", count(number, "volume")),
        });
    }
    let asks = match parts.is_empty() {
        true => "asks for nothing".to_owned(),
        false => list(parts),
    };
    let mode = match policy.mode {
        Mode::Enforce => "in force",
        Mode::Audit => "in audit",
    };
    Check::good("policy", format!("{}: {mode}, {asks}", stored.name))
}
