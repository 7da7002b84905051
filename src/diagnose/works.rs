//! Whether a job pod that is created now is repaired: by a dry run, which takes every step of the
//! real way.

use super::facts::{Facts, Unread};
use super::installation::{NamespaceMode, ServiceName, installations, labels_of};
use super::namespaces::opted_in;
use super::policy_set::{Stored, policy_set};
use super::probe::{Answer, Kind, Probed};
use super::refusal::{Refusal, classify};
use super::report::Check;
use super::words::{count, list};
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Mode, PolicySet};
use crate::core::verdict::{Outcome, Scope, judge};
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "dry-run";
/// The refusals of one namespace that are shown, each with its meaning.
const MOST_REFUSALS: usize = 3;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut by_namespace: BTreeMap<&str, Vec<&Probed>> = BTreeMap::new();
    for probed in &facts.probes {
        by_namespace
            .entry(&probed.namespace)
            .or_default()
            .push(probed);
    }
    let stored: Vec<Stored> = facts.policies.iter().flatten().map(Stored::read).collect();
    let expected = Expected {
        // Without the policies nothing is expected.
        policies: facts.policies.is_ok().then(|| policy_set(&stored)),
        facts,
    };
    let mut checks = Vec::new();
    let mut unsent: Vec<(&str, &Unread)> = Vec::new();
    for (namespace, probes) in &by_namespace {
        let first_unsent = probes.iter().find_map(|probed| match &probed.answer {
            Answer::Unread(unread) => Some(unread),
            _ => None,
        });
        match first_unsent {
            Some(unread) => unsent.push((*namespace, unread)),
            None => checks.extend(expected.in_namespace(namespace, probes)),
        }
    }
    checks.extend(not_sent(&unsent));
    checks.extend(not_tried(facts, by_namespace.len()));
    checks
}

/// Where many namespaces have opted in, not all are tried.
fn not_tried(facts: &Facts, tried: usize) -> Option<Check> {
    let namespaces = facts.namespaces.as_deref().unwrap_or_default();
    let all = opted_in(facts.configurations.as_deref().ok(), namespaces).len();
    (tried > 0 && tried < all).then(|| {
        Check::good(NAME, format!("{tried} of {all} namespaces were tried"))
            .advice("To try another one: drydock doctor -n NAMESPACE")
    })
}

fn not_sent(unsent: &[(&str, &Unread)]) -> Option<Check> {
    let (_, unread) = unsent.first()?;
    let mut check = unread.check(NAME, "whether a job pod is repaired now");
    if unsent.len() > 1 {
        let names = list(unsent.iter().map(|(namespace, _)| namespace));
        check.text = format!("you may not create pods in {names}, not even as a dry run");
    }
    Some(check)
}

struct Expected<'a> {
    policies: Option<PolicySet>,
    facts: &'a Facts,
}

impl Expected<'_> {
    fn in_namespace(&self, name: &str, probes: &[&Probed]) -> Vec<Check> {
        let mode = self.mode(name);
        let (sent, without): (Vec<&&Probed>, Vec<&&Probed>) =
            probes.iter().partition(|probed| probed.kind != Kind::Other);
        // Where no pod at all is let in, that is the finding.
        let refusals = refusals(if without.iter().any(|one| one.is_refused()) {
            &without
        } else {
            &sent
        });
        if !refusals.is_empty() {
            return refusals
                .iter()
                .take(MOST_REFUSALS)
                .map(|(words, kinds)| self.refused(name, words, kinds))
                .collect();
        }
        let wanted: Vec<&&&Probed> = sent
            .iter()
            .filter(|probed| mode == NamespaceMode::Enforce && self.is_changed(name, probed.kind))
            .collect();
        let missed: Vec<Kind> = wanted
            .iter()
            .filter(|probed| !probed.is_repaired())
            .map(|probed| probed.kind)
            .collect();
        let took = match (average(&sent), average(&without)) {
            (Some(with), Some(without)) => {
                format!(
                    ", {} ms ({} without drydock)",
                    with.as_millis(),
                    without.as_millis()
                )
            }
            _ => String::new(),
        };
        let check = if !missed.is_empty() {
            self.not_repaired(name, &missed, wanted.len())
        } else if mode == NamespaceMode::Audit {
            Check::good(
                NAME,
                format!("{name}: job pods pass as they are, in audit{took}"),
            )
        } else if wanted.is_empty() && !sent.iter().any(|probed| probed.is_repaired()) {
            Check::good(
                NAME,
                format!("{name}: job pods pass; no policy asks for a change{took}"),
            )
        } else {
            let kinds = count(sent.len(), "kind");
            Check::good(
                NAME,
                format!("{name}: {kinds} of job pods are repaired{took}"),
            )
        };
        vec![check.about(format!("namespace/{name}"))]
    }

    fn service(&self) -> Option<ServiceName> {
        let configurations = self.facts.configurations.as_deref().ok()?;
        installations(configurations).first()?.service()
    }

    fn mode(&self, name: &str) -> NamespaceMode {
        let namespaces = self.facts.namespaces.as_deref().unwrap_or_default();
        let opted_in = opted_in(self.facts.configurations.as_deref().ok(), namespaces);
        let mut found = opted_in.iter().filter(|one| one.name == name);
        found.next().map_or(NamespaceMode::Enforce, |one| one.mode)
    }

    /// Whether the policies, as they are read here, change such a pod.
    fn is_changed(&self, name: &str, kind: Kind) -> bool {
        let Some(policies) = &self.policies else {
            return false;
        };
        let text = kind.pod().to_string();
        let Ok(pod) = Pod::from_json(&text) else {
            return false;
        };
        let mut namespaces = self.facts.namespaces.iter().flatten();
        let object = namespaces.find(|one| one.metadata.name.as_deref() == Some(name));
        let labels = object.map(labels_of);
        let scope = Scope {
            namespace: Namespace {
                name,
                labels: labels.as_ref(),
            },
            mode: Mode::Enforce,
            own_namespace: "",
        };
        judge(pod, policies, scope).is_ok_and(|verdict| verdict.outcome == Outcome::Mutated)
    }

    fn not_repaired(&self, name: &str, missed: &[Kind], wanted: usize) -> Check {
        let kinds = missed
            .iter()
            .map(|kind| format!("not repaired: {}", kind.title()));
        let next = self.service().map_or_else(
            || "kubectl get mutatingwebhookconfigurations".to_owned(),
            |service| {
                format!(
                    "kubectl -n {} logs deployment/{} --since=5m",
                    service.namespace, service.name
                )
            },
        );
        let text = if missed.len() == wanted {
            format!("{name}: job pods come back as they were sent")
        } else {
            format!(
                "{name}: {} of {wanted} kinds of job pods come back as they were sent",
                missed.len()
            )
        };
        Check::error(
            NAME,
            text,
            "The API server did not call drydock for them, or drydock has not read the policies. Jobs run as if drydock were not there.",
        )
        .details(kinds)
        .next(next)
        .next("kubectl get jobpodpolicies")
    }

    fn refused(&self, name: &str, words: &str, kinds: &[Kind]) -> Check {
        let Refusal {
            level,
            what,
            meaning,
            next,
        } = classify(words, name, self.service().as_ref());
        let which = if kinds.len() >= Kind::GENERATIONS.len() {
            "a job pod".to_owned()
        } else {
            list(kinds.iter().map(|kind| kind.title()))
        };
        let mut check = Check::error(NAME, format!("{name}: {which} is refused: {what}"), meaning)
            .details([words.to_owned()])
            .about(format!("namespace/{name}"));
        check.level = level;
        check.next = next;
        check
    }
}

impl Probed {
    fn is_refused(&self) -> bool {
        matches!(self.answer, Answer::Refused(_))
    }
}

/// The texts of refusals, each with the kinds of pods that were refused so.
fn refusals<'a>(probes: &[&&'a Probed]) -> Vec<(&'a str, Vec<Kind>)> {
    let mut found: Vec<(&str, Vec<Kind>)> = Vec::new();
    for probed in probes {
        let Answer::Refused(words) = &probed.answer else {
            continue;
        };
        // The pod's name, which differs from kind to kind, is no difference.
        match found
            .iter_mut()
            .find(|(known, _)| same_but_for_names(known, words))
        {
            Some((_, kinds)) => kinds.push(probed.kind),
            None => found.push((words, vec![probed.kind])),
        }
    }
    found
}

fn same_but_for_names(one: &str, other: &str) -> bool {
    let rest = |text: &str| {
        let words = text.split(' ');
        let kept = words.filter(|word| !word.contains("runner-drydock"));
        kept.collect::<Vec<_>>().join(" ")
    };
    rest(one) == rest(other)
}

fn average(probes: &[&&Probed]) -> Option<Duration> {
    let number = u32::try_from(probes.len())
        .ok()
        .filter(|number| *number > 0)?;
    let sum: Duration = probes.iter().map(|probed| probed.took).sum();
    Some(sum / number)
}
