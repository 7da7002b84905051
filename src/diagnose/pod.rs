//! One pod that exists: whether drydock saw it, what it did, what it would do now, and why not.

use super::facts::AskedPod;
use super::finding::jobs as finding;
use super::installation::NamespaceMode;
use super::policy_set::policy_set;
use super::report::Check;
use super::text::lasting;
use super::view::View;
use crate::core::job_pod::recognise;
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Mode, PolicySet};
use crate::core::quote::quote;
use crate::core::rules::Audience;
use crate::core::verdict::{Outcome, Scope, SkipReason, Verdict, judge};
use crate::names::OPT_IN_LABEL;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::Value;

/// Sentences of one check; a pod has some ten changes.
const MOST_DETAILS: usize = 20;

pub(super) fn checks(view: &View<'_>, asked: &AskedPod) -> Vec<Check> {
    let AskedPod {
        namespace, name, ..
    } = asked;
    let checks = match &asked.object {
        Ok(Some(object)) => {
            let text = object.to_string();
            let context = Context {
                view,
                asked,
                object,
            };
            match Pod::from_json(&text) {
                Ok(pod) => context.checks(pod, &policy_set(&view.stored)),
                Err(error) => vec![finding::pod_too_large(name).details([error.to_string()])],
            }
        }
        Ok(None) => vec![finding::no_pod(name, namespace)],
        Err(unread) => vec![unread.check("what became of the pod")],
    };
    let about = format!("pod/{name}");
    checks
        .into_iter()
        .map(|check| check.about(&about))
        .collect()
}

struct Context<'a> {
    view: &'a View<'a>,
    asked: &'a AskedPod,
    object: &'a Value,
}

impl Context<'_> {
    fn checks<'p>(&self, pod: Pod<'p>, policies: &'p PolicySet) -> Vec<Check> {
        let recognised = match recognise(&pod) {
            Ok(recognised) => format!("it is a job pod: it has {}", recognised.description()),
            Err(reason) => return vec![finding::pod_not_of_a_job(reason.sentence())],
        };
        let mode = self
            .view
            .opted_in(&self.asked.namespace)
            .map(|one| one.mode);
        let mut checks = vec![
            Check::good("pod-recognised", recognised),
            self.namespace(mode),
        ];
        checks.push(self.did());
        match &self.view.facts.policies {
            Ok(_) => checks.extend(self.would(pod, policies, mode)),
            Err(unread) => checks.push(unread.check("what drydock would change now")),
        }
        checks.extend(self.events());
        checks
    }

    /// Whether the API server shows pods of its namespace to drydock.
    fn namespace(&self, mode: Option<NamespaceMode>) -> Check {
        let name = &self.asked.namespace;
        match (&self.view.facts.namespaces, mode) {
            (Err(unread), _) => unread.check(&format!("whether namespace {name} has opted in")),
            (_, None) => finding::pod_not_opted_in(name, OPT_IN_LABEL, self.view.enforce()),
            (_, Some(mode)) => {
                let text = format!("namespace {name} has opted in: {}", mode.name());
                Check::good("pod-namespace", text)
            }
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
        let name = &self.asked.namespace;
        let labels = self.view.labels_of(name);
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
                let check = finding::pod_too_large(&self.asked.name);
                return vec![check.details([error.to_string()])];
            }
        };
        let mut checks = vec![self.now(&verdict, mode)];
        let notes = verdict.findings(Audience::Team);
        let mut notes = notes
            .map(|(note, _)| format!("{note} ({})", note.rule()))
            .peekable();
        if notes.peek().is_some() {
            let check = Check::good("pod-notes", "what drydock says about it");
            checks.push(check.details(notes.take(MOST_DETAILS)));
        }
        checks
    }

    fn now(&self, verdict: &Verdict<'_>, mode: Option<NamespaceMode>) -> Check {
        const NAME: &str = "pod-now";
        let plans = [&verdict.enforced, &verdict.audited];
        let changes = plans.iter().flat_map(|plan| &plan.changes);
        let changes = changes
            .map(|change| format!("{}: {change} ({})", change.name(), change.rule()))
            .take(MOST_DETAILS);
        let explain = format!(
            "kubectl -n {} get pod {} -o yaml | drydock mutate -f - -p <(kubectl get jpp -o yaml) -o explain",
            self.asked.namespace, self.asked.name
        );
        match verdict.outcome {
            Outcome::Skipped(SkipReason::NoPolicy) => finding::pod_without_policy(),
            Outcome::Skipped(_) => {
                let reason = verdict.outcome.reason();
                Check::good(NAME, format!("drydock leaves it alone: {reason}"))
            }
            Outcome::Unchanged => Check::good(NAME, "it is as the policies want it"),
            Outcome::Audited(_) => {
                let text = "in audit nothing is changed; in enforce drydock would";
                Check::good(NAME, text).details(changes)
            }
            Outcome::Denied => {
                let why = verdict.enforced.denial.iter().map(ToString::to_string);
                finding::pod_denied(explain).details(why)
            }
            Outcome::Mutated => {
                finding::pod_not_repaired(self.why_not(mode), explain).details(changes)
            }
        }
    }

    /// It was created without drydock, before the policy, or by another version.
    fn why_not(&self, mode: Option<NamespaceMode>) -> String {
        let is_changed = self.annotation("drydock.dev/changes").is_some();
        self.earlier_than().unwrap_or_else(|| match mode {
            None => "Its namespace has not opted in.".to_owned(),
            Some(_) if is_changed => {
                "The policies have changed since, or something changed the pod after drydock.".to_owned()
            }
            Some(_) => "The API server did not call drydock for it, or the call failed and the failurePolicy is Ignore.".to_owned(),
        })
    }

    /// What is younger than the pod.
    fn earlier_than(&self) -> Option<String> {
        let created = self.object.pointer("/metadata/creationTimestamp")?.clone();
        let created: Time = serde_json::from_value(created).ok()?;
        let span = |later: &Time| lasting(later.0.as_second() - created.0.as_second());
        for installation in &self.view.installations {
            let registered = installation.object.metadata.creation_timestamp.as_ref()?;
            if registered.0 > created.0 {
                return Some(format!(
                    "drydock was registered {} after it was created.",
                    span(registered)
                ));
            }
        }
        let namespace = self.view.namespace(&self.asked.namespace);
        let labelled = namespace.and_then(|one| labelled(&one.metadata));
        if let Some(labelled) = labelled.filter(|labelled| labelled.0 > created.0) {
            return Some(format!(
                "Its namespace opted in {} after it was created.",
                span(&labelled)
            ));
        }
        for policy in self.view.facts.policies.iter().flatten() {
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
            Err(unread) => return Some(unread.check("what drydock told its author")),
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
