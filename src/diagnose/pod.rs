//! Explains the pod given with `--pod`: what drydock changed, what drydock would change if the pod
//! were created now, and why drydock did not make these changes.

use super::facts::InspectedPod;
use super::finding::jobs as finding;
use super::installation::NamespaceMode;
use super::policy_set::policy_set;
use super::report::Check;
use super::text::duration;
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

/// The maximum number of details of a check. A typical job pod needs about ten changes.
const MAX_DETAILS: usize = 20;

pub(super) fn checks(view: &View<'_>, inspected: &InspectedPod) -> Vec<Check> {
    let InspectedPod {
        namespace, name, ..
    } = inspected;
    let checks = match &inspected.object {
        Ok(Some(object)) => {
            let text = object.to_string();
            let context = Context {
                view,
                inspected,
                object,
            };
            match Pod::from_json(&text) {
                Ok(pod) => context.checks(pod, &policy_set(&view.stored)),
                Err(error) => vec![finding::pod_too_large(name).details([error.to_string()])],
            }
        }
        Ok(None) => vec![finding::no_pod(name, namespace)],
        Err(error) => vec![error.check("what drydock changed in the pod")],
    };
    let about = format!("pod/{name}");
    checks
        .into_iter()
        .map(|check| check.about(&about))
        .collect()
}

struct Context<'a> {
    view: &'a View<'a>,
    inspected: &'a InspectedPod,
    object: &'a Value,
}

impl Context<'_> {
    fn checks<'p>(&self, pod: Pod<'p>, policies: &'p PolicySet) -> Vec<Check> {
        let recognised = match recognise(&pod) {
            Ok(recognised) => format!("the pod is a job pod: it has {}", recognised.description()),
            Err(reason) => return vec![finding::pod_not_of_a_job(reason.sentence())],
        };
        let mode = self
            .view
            .opted_in(&self.inspected.namespace)
            .map(|one| one.mode);
        let mut checks = vec![
            Check::good("pod-recognised", recognised),
            self.namespace(mode),
        ];
        checks.push(self.changed());
        match &self.view.facts.policies {
            Ok(_) => checks.extend(self.would_change(pod, policies, mode)),
            Err(error) => {
                checks.push(error.check("what drydock would change if the pod were created now"))
            }
        }
        checks.extend(self.events());
        checks
    }

    /// Checks whether the namespace of the pod has opted in.
    fn namespace(&self, mode: Option<NamespaceMode>) -> Check {
        let name = &self.inspected.namespace;
        match (&self.view.facts.namespaces, mode) {
            (Err(error), _) => error.check(&format!("whether namespace {name} has opted in")),
            (_, None) => finding::pod_not_opted_in(name, OPT_IN_LABEL, self.view.enforce_value()),
            (_, Some(mode)) => {
                let text = format!("namespace {name} has opted in: {} mode", mode.name());
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

    /// Reports what drydock changed when the pod was created, from the annotations that drydock
    /// added.
    fn changed(&self) -> Check {
        const NAME: &str = "pod-changed";
        match (
            self.annotation("drydock.dev/changes"),
            self.annotation("drydock.dev/policies"),
        ) {
            (Some(changes), policies) => {
                let by = policies.map(|policies| format!(" (policies: {})", quote(policies)));
                let text = format!(
                    "drydock changed the pod when it was created{}",
                    by.unwrap_or_default()
                );
                Check::info(NAME, text).details([quote(&changes.replace(',', ", ")).to_string()])
            }
            (None, _) => Check::info(NAME, "drydock did not change the pod when it was created"),
        }
    }

    fn would_change<'p>(
        &self,
        pod: Pod<'p>,
        policies: &'p PolicySet,
        mode: Option<NamespaceMode>,
    ) -> Vec<Check> {
        let name = &self.inspected.namespace;
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
                let check = finding::pod_too_large(&self.inspected.name);
                return vec![check.details([error.to_string()])];
            }
        };
        let mut checks = vec![self.now(&verdict, mode)];
        let notes = verdict.findings(Audience::Team);
        let mut notes = notes
            .map(|(note, _)| format!("{note} ({})", note.rule()))
            .peekable();
        if notes.peek().is_some() {
            let check = Check::info("pod-notes", "drydock reports these findings about the pod:");
            checks.push(check.details(notes.take(MAX_DETAILS)));
        }
        checks
    }

    fn now(&self, verdict: &Verdict<'_>, mode: Option<NamespaceMode>) -> Check {
        const NAME: &str = "pod-now";
        let plans = [&verdict.enforced, &verdict.audited];
        let changes = plans.iter().flat_map(|plan| &plan.changes);
        let changes = changes
            .map(|change| format!("{}: {change} ({})", change.name(), change.rule()))
            .take(MAX_DETAILS);
        let explain = format!(
            "kubectl -n {} get pod {} -o yaml | drydock mutate -f - -p <(kubectl get jpp -o yaml) -o explain",
            self.inspected.namespace, self.inspected.name
        );
        match verdict.outcome {
            Outcome::Skipped(SkipReason::NoPolicy) => finding::pod_without_policy(),
            Outcome::Skipped(_) => {
                let reason = verdict.outcome.reason();
                Check::info(
                    NAME,
                    format!("drydock does not change the pod (reason: {reason})"),
                )
            }
            Outcome::Unchanged => Check::good(
                NAME,
                "if the pod were created now, drydock would not change it",
            ),
            Outcome::Audited(_) => {
                let text = "drydock only audits the pod; in enforce mode, drydock would make these changes:";
                Check::info(NAME, text).details(changes)
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

    /// Returns why drydock did not make the changes that the policies require, as a sentence.
    fn why_not(&self, mode: Option<NamespaceMode>) -> String {
        let is_changed = self.annotation("drydock.dev/changes").is_some();
        self.too_early().unwrap_or_else(|| match mode {
            None => "The namespace of the pod has not opted in.".to_owned(),
            Some(_) if is_changed => {
                "The policies were changed after the pod was created, or another program changed the pod after drydock.".to_owned()
            }
            Some(_) => "The API server did not call drydock for the pod, or the call failed and the failurePolicy is Ignore.".to_owned(),
        })
    }

    /// Returns a sentence if the webhook, the opt-in label or a policy is newer than the pod.
    fn too_early(&self) -> Option<String> {
        let created = self.object.pointer("/metadata/creationTimestamp")?.clone();
        let created: Time = serde_json::from_value(created).ok()?;
        let span = |later: &Time| duration(later.0.as_second() - created.0.as_second());
        for installation in &self.view.installations {
            let registered = installation
                .configuration
                .metadata
                .creation_timestamp
                .as_ref()?;
            if registered.0 > created.0 {
                return Some(format!(
                    "The webhook was registered {} after the pod was created.",
                    span(registered)
                ));
            }
        }
        let namespace = self.view.namespace(&self.inspected.namespace);
        let labelled = namespace.and_then(|one| labelled_at(&one.metadata));
        if let Some(labelled) = labelled.filter(|labelled| labelled.0 > created.0) {
            return Some(format!(
                "The namespace opted in {} after the pod was created.",
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
                    "Policy {name} was created {} after the pod.",
                    span(&made)
                ));
            }
        }
        None
    }

    fn events(&self) -> Option<Check> {
        let events = match &self.inspected.events {
            Ok(events) => events,
            Err(error) => return Some(error.check("which Events drydock wrote about the pod")),
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
            Check::info(
                "pod-events",
                "drydock wrote Events for the author of the job:",
            )
            .details(messages.into_iter().take(MAX_DETAILS))
        })
    }
}

/// Returns the time at which the opt-in label was last written, from `managedFields`.
fn labelled_at(metadata: &ObjectMeta) -> Option<Time> {
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
