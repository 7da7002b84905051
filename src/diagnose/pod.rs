//! One pod that exists: whether drydock saw it, what it did, what it would do now, and why not.

use super::facts::{AskedPod, Facts};
use super::installation::{NamespaceMode, installations, labels_of};
use super::namespaces::opted_in;
use super::policy_set::{Stored, policy_set};
use super::report::Check;
use super::words::lasting;
use crate::core::job_pod::recognise;
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Mode, PolicySet};
use crate::core::quote::quote;
use crate::core::rules::Audience;
use crate::core::verdict::{Outcome, Scope, SkipReason, Verdict, judge};
use crate::names::{ENFORCE, OPT_IN_LABEL};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::Value;

/// Sentences of one check; a pod has some ten changes.
const MOST_DETAILS: usize = 20;

pub(super) fn checks(facts: &Facts, asked: &AskedPod) -> Vec<Check> {
    let AskedPod {
        namespace, name, ..
    } = asked;
    let object = match &asked.object {
        Ok(Some(object)) => object,
        Ok(None) => {
            return vec![
                Check::error(
                    "pod",
                    format!("there is no pod {name} in namespace {namespace}"),
                    "The runner deletes a job's pod when the job ends.",
                )
                .next(format!("kubectl -n {namespace} get pods"))
                .about(format!("pod/{name}")),
            ];
        }
        Err(unread) => return vec![unread.check("pod", "what became of the pod")],
    };
    let stored: Vec<Stored> = facts.policies.iter().flatten().map(Stored::read).collect();
    let policies = policy_set(&stored);
    let text = object.to_string();
    let context = Context {
        facts,
        asked,
        object,
    };
    let checks = match Pod::from_json(&text) {
        Ok(pod) => context.checks(pod, &policies),
        Err(error) => vec![
            Check::error(
                "pod",
                format!("pod {name} is larger than drydock reads"),
                "drydock answers such a review with an error, and the failurePolicy decides.",
            )
            .details([error.to_string()])
            .next("drydock rules F6"),
        ],
    };
    let about = |check: Check| check.about(format!("pod/{name}"));
    checks.into_iter().map(about).collect()
}

struct Context<'a> {
    facts: &'a Facts,
    asked: &'a AskedPod,
    object: &'a Value,
}

impl Context<'_> {
    fn checks<'p>(&self, pod: Pod<'p>, policies: &'p PolicySet) -> Vec<Check> {
        match recognise(&pod) {
            Ok(recognised) => {
                let mut checks = vec![Check::good(
                    "pod-recognised",
                    format!("it is a job pod: it has {}", recognised.description()),
                )];
                let (mode, check) = self.mode();
                checks.push(check);
                checks.push(self.did());
                match &self.facts.policies {
                    Ok(_) => checks.extend(self.would(pod, policies, mode)),
                    Err(unread) => {
                        checks.push(unread.check("pod-now", "what drydock would change now"));
                    }
                }
                checks.extend(self.events());
                checks
            }
            Err(reason) => vec![
                Check::warning(
                    "pod-recognised",
                    "it is no job pod",
                    format!("drydock leaves it alone: {}.", reason.sentence()),
                )
                .next("drydock rules P2"),
            ],
        }
    }

    /// Whether the API server shows pods of its namespace to drydock.
    fn mode(&self) -> (Option<NamespaceMode>, Check) {
        const NAME: &str = "pod-namespace";
        let name = &self.asked.namespace;
        let namespaces = match &self.facts.namespaces {
            Ok(namespaces) => namespaces,
            Err(unread) => {
                let unknown = format!("whether namespace {name} has opted in");
                return (None, unread.check(NAME, &unknown));
            }
        };
        let opted_in = opted_in(self.facts.configurations.as_deref().ok(), namespaces);
        match opted_in.iter().find(|one| one.name == name) {
            Some(one) => {
                let text = format!("namespace {name} has opted in: {}", one.mode.name());
                (Some(one.mode), Check::good(NAME, text))
            }
            None => (
                None,
                Check::error(
                    NAME,
                    format!("namespace {name} has not opted in"),
                    "The API server does not call drydock for its job pods; they run as they come.",
                )
                .next(format!("drydock doctor -n {name}"))
                .next(format!(
                    "kubectl label namespace {name} {OPT_IN_LABEL}={ENFORCE} --overwrite"
                )),
            ),
        }
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.object
            .pointer("/metadata/annotations")?
            .get(key)?
            .as_str()
    }

    /// What its annotations say: only a changed pod has them.
    fn did(&self) -> Check {
        const NAME: &str = "pod-changed";
        match (
            self.annotation("drydock.dev/changes"),
            self.annotation("drydock.dev/policies"),
        ) {
            (Some(changes), policies) => {
                let by = policies.map(|policies| format!(", by {}", quote(policies)));
                let text = format!(
                    "drydock changed it when it was created{}",
                    by.unwrap_or_default()
                );
                Check::good(NAME, text).details([format!("{}", quote(changes))])
            }
            (None, _) => Check::good(NAME, "drydock did not change it when it was created"),
        }
    }

    fn would<'p>(
        &self,
        pod: Pod<'p>,
        policies: &'p PolicySet,
        mode: Option<NamespaceMode>,
    ) -> Vec<Check> {
        const NAME: &str = "pod-now";
        let name = &self.asked.namespace;
        let mut namespaces = self.facts.namespaces.iter().flatten();
        let object = namespaces.find(|one| one.metadata.name.as_ref() == Some(name));
        let labels = object.map(labels_of);
        let scope = Scope {
            namespace: Namespace {
                name,
                labels: labels.as_ref(),
            },
            mode: match mode {
                Some(NamespaceMode::Audit) => Mode::Audit,
                _ => Mode::Enforce,
            },
            own_namespace: "",
        };
        let verdict = match judge(pod, policies, scope) {
            Ok(verdict) => verdict,
            Err(error) => {
                let meaning =
                    "drydock answers such a review with an error, and the failurePolicy decides.";
                return vec![
                    Check::error(NAME, "its changes are more than drydock writes", meaning)
                        .details([error.to_string()])
                        .next("drydock rules F6"),
                ];
            }
        };
        let mut checks = vec![self.now(&verdict, mode)];
        let notes: Vec<String> = verdict
            .findings(Audience::Team)
            .map(|(note, _)| format!("{note} ({})", note.rule()))
            .collect();
        if !notes.is_empty() {
            checks.push(
                Check::good("pod-notes", "what drydock says about it")
                    .details(notes.into_iter().take(MOST_DETAILS)),
            );
        }
        checks
    }

    fn now(&self, verdict: &Verdict<'_>, mode: Option<NamespaceMode>) -> Check {
        const NAME: &str = "pod-now";
        let plans = [&verdict.enforced, &verdict.audited];
        let changes: Vec<String> = plans
            .iter()
            .flat_map(|plan| &plan.changes)
            .map(|change| format!("{}: {change} ({})", change.name(), change.rule()))
            .take(MOST_DETAILS)
            .collect();
        let explain = format!(
            "kubectl -n {} get pod {} -o yaml | drydock mutate -f - -o explain",
            self.asked.namespace, self.asked.name
        );
        match verdict.outcome {
            Outcome::Skipped(SkipReason::NoPolicy) => Check::error(
                NAME,
                "no policy matches it",
                "Its labels or those of its namespace are not what the selectors of the policies ask for.",
            )
            .next("kubectl get jobpodpolicies -o yaml"),
            Outcome::Skipped(_) => Check::warning(
                NAME,
                format!("drydock leaves it alone: {}", verdict.outcome.reason()),
                "It runs as it came.",
            )
            .next("drydock rules P3"),
            Outcome::Unchanged => Check::good(NAME, "it is as the policies want it"),
            Outcome::Audited(_) => {
                Check::good(NAME, "in audit nothing is changed; in enforce drydock would").details(changes)
            }
            Outcome::Denied => Check::warning(
                NAME,
                "a policy would refuse it now (onConflict: Deny)",
                "It was created before that policy, or without drydock.",
            )
            .details(verdict.enforced.denial.iter().map(ToString::to_string))
            .next(explain),
            Outcome::Mutated => self.not_as_wanted(changes, mode).next(explain),
        }
    }

    /// It was created without drydock, before the policy, or by another version.
    fn not_as_wanted(&self, changes: Vec<String>, mode: Option<NamespaceMode>) -> Check {
        let why = self.earlier_than().unwrap_or_else(|| match mode {
            None => "Its namespace has not opted in.".to_owned(),
            Some(_) if self.annotation("drydock.dev/changes").is_some() => {
                "The policies have changed since, or something changed the pod after drydock.".to_owned()
            }
            Some(_) => "The API server did not call drydock for it, or the call failed and the failurePolicy is Ignore.".to_owned(),
        });
        Check::error(
            "pod-now",
            "it is not as the policies want it; created now, drydock would have",
            format!("The job runs without it. {why}"),
        )
        .details(changes)
    }

    /// What is younger than the pod.
    fn earlier_than(&self) -> Option<String> {
        let created = self.object.pointer("/metadata/creationTimestamp")?.clone();
        let created: Time = serde_json::from_value(created).ok()?;
        let span = |later: &Time| lasting(later.0.as_second() - created.0.as_second());
        let configurations = self.facts.configurations.as_deref().unwrap_or_default();
        for installation in installations(configurations) {
            let registered = installation.object.metadata.creation_timestamp.as_ref()?;
            if registered.0 > created.0 {
                return Some(format!(
                    "drydock was registered {} after it was created.",
                    span(registered)
                ));
            }
        }
        let mut namespaces = self.facts.namespaces.iter().flatten();
        let namespace = namespaces
            .find(|one| one.metadata.name.as_ref() == Some(&self.asked.namespace))
            .and_then(|one| labelled(&one.metadata));
        if let Some(labelled) = namespace.filter(|labelled| labelled.0 > created.0) {
            return Some(format!(
                "Its namespace opted in {} after it was created.",
                span(&labelled)
            ));
        }
        for policy in self.facts.policies.iter().flatten() {
            let metadata = policy.get("metadata")?;
            let made: Time =
                serde_json::from_value(metadata.get("creationTimestamp")?.clone()).ok()?;
            if made.0 > created.0 {
                let name = metadata
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                return Some(format!(
                    "Policy {name} was made {} after it was created.",
                    span(&made)
                ));
            }
        }
        None
    }

    fn events(&self) -> Option<Check> {
        let events = match &self.asked.events {
            Ok(events) => events,
            Err(unread) => return Some(unread.check("pod-events", "what drydock told its author")),
        };
        let own = events.iter().filter(|event| {
            let source = event
                .source
                .as_ref()
                .and_then(|source| source.component.as_deref());
            source == Some("drydock") || event.reporting_component.as_deref() == Some("drydock")
        });
        let messages: Vec<String> = own.filter_map(|event| event.message.clone()).collect();
        (!messages.is_empty()).then(|| {
            Check::good("pod-events", "the author of the job was told, by Events")
                .details(messages.into_iter().take(MOST_DETAILS))
        })
    }
}

/// When the opt-in label was last written, as `managedFields` has it.
fn labelled(metadata: &ObjectMeta) -> Option<Time> {
    let key = format!("f:{OPT_IN_LABEL}");
    let fields = metadata.managed_fields.iter().flatten();
    let times = fields.filter_map(|entry| {
        let labels = entry
            .fields_v1
            .as_ref()?
            .0
            .get("f:metadata")?
            .get("f:labels")?;
        labels.get(&key)?;
        entry.time.clone()
    });
    times.max()
}
