//! Processes the input files of `drydock mutate`, object by object, and determines the exit code.

use super::printer::{Printer, pod_title};
use super::{Mutate, Output, patched};
use crate::cli::Exit;
use crate::cli::explain::explain;
use crate::cli::terminal;
use crate::core::admission::{self, Context};
use crate::core::crd;
use crate::core::document::{self, type_name};
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Mode, PolicySet};
use crate::core::quote::quote;
use crate::core::verdict::{self, AuditReason, Outcome, Scope, SkipReason, Verdict};
use anyhow::Context as _;
use serde_json::Value;
use std::io::Write;

pub(super) struct Policies {
    pub(super) all: PolicySet,
    /// The policies in Audit mode, changed to Enforce mode.
    pub(super) audit: PolicySet,
}

/// The state of one run. An object that cannot be read does not stop the run.
pub(super) struct Run<'r> {
    pub(super) policies: &'r Policies,
    pub(super) options: &'r Mutate,
    pub(super) printer: Printer<'r>,
    pub(super) stderr: &'r mut dyn Write,
    /// The most severe exit status so far.
    pub(super) exit: Exit,
    /// A description of the object of each printed patch.
    pub(super) patches: Vec<String>,
}

impl Run<'_> {
    pub(super) fn print_error(&mut self, message: &str) -> anyhow::Result<()> {
        self.exit = Exit::Error;
        self.print_message(&format!("error: {message}"))
    }

    fn print_note(&mut self, message: &str) -> anyhow::Result<()> {
        self.print_message(&format!("note: {message}"))
    }

    fn print_message(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.stderr, "{line}").context("stderr")
    }

    /// If several patches were printed, prints which object each patch changes.
    pub(super) fn name_patches(&mut self) -> anyhow::Result<()> {
        if self.patches.len() > 1 {
            self.printer.out.flush()?;
            for (index, object) in std::mem::take(&mut self.patches).iter().enumerate() {
                self.print_message(&format!("patch {}: {object}", index + 1))?;
            }
        }
        Ok(())
    }

    pub(super) fn process_file(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let documents = document::split(text);
        if documents.is_empty() {
            self.print_error(&format!("{name}: the file contains no object"))?;
        }
        for document in documents {
            let place = format!("{name}: document {}", document.number);
            match document.content {
                Ok(object) => self.object(&object, &place, None)?,
                Err(error) => self.print_error(&format!("{place}: {error}"))?,
            }
        }
        Ok(())
    }

    /// Processes an object. `default_kind` is the kind of an object without the field `kind`.
    fn object(
        &mut self,
        object: &Value,
        place: &str,
        default_kind: Option<&str>,
    ) -> anyhow::Result<()> {
        let problem = match object.get("kind") {
            None if default_kind == Some("Pod") => return self.pod(object, place),
            None | Some(Value::Null) => "missing".to_owned(),
            Some(Value::String(kind)) => match kind.as_str() {
                "Pod" => return self.pod(object, place),
                "List" => return self.list(object, place, None),
                // The API server omits `kind` in the items of a PodList.
                "PodList" => return self.list(object, place, Some("Pod")),
                "AdmissionReview" => return self.review(object, place),
                kind => return self.other(kind, object, place),
            },
            Some(other) => format!("{}, not a string", type_name(other)),
        };
        let advice = "use a Pod, a List or an AdmissionReview";
        self.print_error(&format!("{place}: kind is {problem}; {advice}"))
    }

    fn list(&mut self, list: &Value, place: &str, item_kind: Option<&str>) -> anyhow::Result<()> {
        let items = match list.get("items") {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Array(items)) => items,
            Some(other) => {
                let found = type_name(other);
                return self.print_error(&format!("{place}: items must be a list, not {found}"));
            }
        };
        for (index, item) in items.iter().enumerate() {
            let place = format!("{place}, items[{index}]");
            if item.is_object() {
                self.object(item, &place, item_kind)?;
            } else {
                let found = type_name(item);
                self.print_error(&format!("{place}: must be an object, not {found}"))?;
            }
        }
        Ok(())
    }

    /// Prints an object of another kind unchanged.
    fn other(&mut self, kind: &str, object: &Value, place: &str) -> anyhow::Result<()> {
        if let Some(advice) = advice(kind) {
            let kind = quote(kind);
            self.print_note(&format!("{place}: {kind} is unchanged; {advice}"))?;
        }
        let title = quote(kind).to_string();
        self.print(&title, place, object, object, "[]")
    }

    fn print(
        &mut self,
        title: &str,
        place: &str,
        before: &Value,
        after: &Value,
        patch: &str,
    ) -> anyhow::Result<()> {
        if matches!(self.options.output, Output::Patch) {
            self.patches.push(format!("{place}: {title}"));
        }
        self.printer.object(before, after, patch)
    }

    fn pod(&mut self, object: &Value, place: &str) -> anyhow::Result<()> {
        let text = object.to_string();
        let pod = match Pod::from_json(&text) {
            Ok(pod) => pod,
            Err(error) => {
                let error = error.to_string();
                return self.print_error(&format!("{place}: {}", without_position(&error)));
            }
        };
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let title = pod_title(&namespace, pod.name());
        let verdict = verdict::judge(pod, &self.policies.all, self.scope(&namespace))?;
        self.update_exit(verdict.outcome);
        if let (Outcome::Denied, Some(denial)) = (verdict.outcome, &verdict.enforced.denial) {
            self.print_refusal(&title, &denial.with_rule())?;
        }
        let patch = verdict.patch.as_deref().unwrap_or("[]");
        match self.options.output {
            Output::Explain => self.explain(&title, &verdict),
            Output::Diff => self.diff(&title, &namespace, object),
            // `drydock mutate … | kubectl apply -f -` must not create a refused pod.
            Output::Yaml if verdict.outcome == Outcome::Denied => Ok(()),
            _ => self.print(&title, place, object, &patched(object, patch)?, patch),
        }
    }

    fn review(&mut self, object: &Value, place: &str) -> anyhow::Result<()> {
        let labels = self.options.namespace_labels.as_ref();
        let context = Context {
            policies: &self.policies.all,
            mode: self.options.mode,
            namespace_labels: labels,
            own_namespace: "",
        };
        let response = match admission::review(object.to_string().as_bytes(), context) {
            Ok(response) => response,
            Err(error) => return self.print_error(&format!("{place}: {error}")),
        };
        let body: Value =
            serde_json::from_slice(&response.body).context("the response is not JSON")?;
        let record = &response.record;
        let title = pod_title(&record.namespace, &record.pod);
        self.update_exit(record.outcome);
        if record.outcome == Outcome::Denied {
            let message = body.pointer("/response/status/message");
            self.print_refusal(&title, message.and_then(Value::as_str).unwrap_or_default())?;
        }
        let patch = response.patch.as_deref().unwrap_or("[]");
        let pod = object.pointer("/request/object").unwrap_or(&Value::Null);
        let creates_pod = record.outcome != Outcome::Skipped(SkipReason::NotPodCreation);
        match self.options.output {
            Output::Yaml | Output::Json | Output::Patch => {
                self.print(&title, place, object, &body, patch)
            }
            Output::Diff if creates_pod => self.diff(&title, &record.namespace, pod),
            Output::Diff => Ok(()),
            Output::Explain => {
                let text = pod.to_string();
                let verdict = match record.outcome {
                    Outcome::Skipped(reason @ SkipReason::NotPodCreation) => {
                        Verdict::skipped(reason)
                    }
                    _ => {
                        let scope = self.scope(&record.namespace);
                        verdict::judge(Pod::from_json(&text)?, &self.policies.all, scope)?
                    }
                };
                self.explain(&title, &verdict)
            }
        }
    }

    fn update_exit(&mut self, outcome: Outcome) {
        let is_changed = matches!(
            outcome,
            Outcome::Mutated | Outcome::Audited(AuditReason::WouldMutate)
        );
        if is_changed && self.options.exit_code {
            self.exit = self.exit.max(Exit::Findings);
        }
    }

    /// Prints a diff of the changes of a pod. If policies are in Audit mode, also prints a diff of
    /// the changes that they would make to the changed pod.
    fn diff(&mut self, title: &str, namespace: &str, before: &Value) -> anyhow::Result<()> {
        let (done, not_done) = ("repaired", "audit: not done");
        let is_audit = self.options.mode == Mode::Audit;
        let suffix = if is_audit { not_done } else { done };
        let after = self.enforced(title, &self.policies.all, namespace, before, is_audit)?;
        self.printer.diff(before, &after, ("", suffix))?;
        let audited = self.enforced(title, &self.policies.audit, namespace, &after, true)?;
        let suffix_before = if *before == after { "" } else { suffix };
        self.printer
            .diff(&after, &audited, (suffix_before, not_done))
    }

    /// Returns the pod with the changes that `policies` make in a namespace in enforce mode.
    fn enforced(
        &mut self,
        title: &str,
        policies: &PolicySet,
        namespace: &str,
        pod: &Value,
        is_audit: bool,
    ) -> anyhow::Result<Value> {
        let text = pod.to_string();
        let scope = Scope {
            mode: Mode::Enforce,
            ..self.scope(namespace)
        };
        let verdict = verdict::judge(Pod::from_json(&text)?, policies, scope)?;
        if let (true, Some(denial)) = (is_audit, &verdict.enforced.denial) {
            self.print_message(&format!("{title} would be refused: {}", denial.with_rule()))?;
        }
        patched(pod, verdict.patch.as_deref().unwrap_or("[]"))
    }

    fn scope<'s>(&'s self, namespace: &'s str) -> Scope<'s> {
        Scope {
            namespace: Namespace {
                name: namespace,
                labels: self.options.namespace_labels.as_ref(),
            },
            mode: self.options.mode,
            own_namespace: "",
        }
    }

    fn print_refusal(&mut self, title: &str, why: &str) -> anyhow::Result<()> {
        self.exit = self.exit.max(Exit::Findings);
        writeln!(self.stderr, "{title} is refused: {why}").context("stderr")
    }

    fn explain(&mut self, title: &str, verdict: &Verdict<'_>) -> anyhow::Result<()> {
        let text = explain(title, verdict, self.options.mode);
        self.printer.document("\n", &terminal::fit(&text, 2))
    }
}

/// Returns advice about an object whose kind users may expect drydock to change or read.
fn advice(kind: &str) -> Option<String> {
    const OF_PODS: [&str; 8] = [
        "CronJob",
        "DaemonSet",
        "Deployment",
        "Job",
        "PodTemplate",
        "ReplicaSet",
        "ReplicationController",
        "StatefulSet",
    ];
    const READ: [&str; 4] = ["Pod", "List", "PodList", "AdmissionReview"];
    if OF_PODS.contains(&kind) {
        let advice = "drydock changes only pods that GitLab Runner creates";
        return Some(advice.to_owned());
    }
    if kind == crd::KIND {
        return Some("pass policies with --policy".to_owned());
    }
    let mut read = READ.iter();
    let intended = read.find(|read| read.eq_ignore_ascii_case(kind))?;
    Some(format!("write the kind as {intended}"))
}

/// Removes the line and column from a JSON error, because they are positions in JSON that drydock
/// created, and not positions in the file.
fn without_position(error: &str) -> &str {
    match error.rsplit_once(" at line ") {
        Some((rest, position)) if position.contains(" column ") => rest,
        _ => error,
    }
}
