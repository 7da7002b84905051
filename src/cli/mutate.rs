//! `drydock mutate`: the effect of policies on pods, offline, with the engine of the webhook.

mod printer;

use super::Exit;
use super::explain::explain;
use super::input::{self, SourceAddress};
use crate::core::admission::{self, Context};
use crate::core::crd::{self, format};
use crate::core::document::{self, type_name};
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Mode, Policy, PolicySet};
use crate::core::quote::quote;
use crate::core::verdict::{self, AuditReason, Outcome, Scope, SkipReason, Verdict};
use anyhow::{Context as _, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use printer::{Printer, title};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Show the effect of policies on pods, offline, with the engine of the webhook.
///
/// Reads Pods, Lists of them and AdmissionReviews (v1), in YAML or JSON. Other kinds are unchanged.
#[derive(Args, Debug)]
pub(super) struct Mutate {
    /// File with Pods, Lists or AdmissionReviews; - is stdin. Can be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// File with JobPodPolicy objects; - is stdin. Can be repeated [default: the built-in sample
    /// policy]
    #[arg(short, long = "policy", value_name = "FILE")]
    policies: Vec<PathBuf>,

    /// Output format: the changed objects, the JSON Patch, a unified diff, or an explanation in
    /// sentences
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    /// Mode of the namespace, which its label drydock.dev/job-pods has in a cluster
    #[arg(long, default_value = "enforce", value_parser = mode_parser())]
    mode: Mode,

    /// Labels of the namespace, for policies with a namespaceSelector
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = labels)]
    namespace_labels: Option<BTreeMap<String, String>>,

    /// Address of a live source (from:), as in ingress/cicd/gitlab-registry=10.0.0.232; of an
    /// Ingress whose rules name the hostnames, these too. Can be repeated
    #[arg(
        long = "address",
        value_name = "KIND/NAMESPACE/NAME=ADDRESS[,HOSTNAME…]"
    )]
    addresses: Vec<SourceAddress>,

    /// Exit 1 if a pod is changed, or would be without audit
    #[arg(long)]
    exit_code: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    #[default]
    Yaml,
    Json,
    Patch,
    Diff,
    Explain,
}

/// Parses the value of the namespace label `drydock.dev/job-pods`.
fn mode_parser() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(["enforce", "audit"]).map(|value| match value.as_str() {
        "audit" => Mode::Audit,
        _ => Mode::Enforce,
    })
}

fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pair = |pair: &str| {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("\"{pair}\" is not KEY=VALUE"))?;
        let (key, value) = (key.trim(), value.trim());
        format::LABEL_KEY
            .check(key)
            .map_err(|problem| format!("\"{key}\" is {problem}"))?;
        format::LABEL_VALUE
            .check(value)
            .map_err(|problem| format!("\"{value}\" is {problem}"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(pair)
        .collect()
}

impl Mutate {
    pub(super) fn run(self, out: &mut impl Write, stderr: &mut impl Write) -> anyhow::Result<Exit> {
        let mut inputs = input::read_all(self.policies.iter().chain(&self.files))?;
        let pods = inputs.split_off(self.policies.len());
        let policies = self.policy_set(inputs, stderr)?;
        let printer = Printer {
            out,
            output: self.output,
            documents: 0,
        };
        let mut run = Run {
            policies: &policies,
            options: &self,
            printer,
            stderr,
            exit: Exit::Success,
            patches: Vec::new(),
        };
        for input in pods {
            match input.text {
                Ok(text) => run.file(&input.name, &text)?,
                Err(error) => run.error(&format!("{error:#}"))?,
            }
        }
        run.name_patches()?;
        Ok(run.exit)
    }

    /// Reads the policies. All errors of all files are printed before the command fails.
    fn policy_set(
        &self,
        inputs: Vec<input::Input>,
        stderr: &mut impl Write,
    ) -> anyhow::Result<Policies> {
        let mut texts = Vec::new();
        let mut errors = 0;
        for input in inputs {
            match input.text {
                Ok(text) => texts.push((input.name, text)),
                Err(error) => {
                    errors += 1;
                    writeln!(stderr, "error: {error:#}")?;
                }
            }
        }
        if self.policies.is_empty() {
            texts.push(input::sample_policy());
        }
        let read = input::policies(&texts);
        errors += read.errors.len();
        for error in &read.errors {
            writeln!(stderr, "error: {error}")?;
        }
        match errors {
            0 => {}
            1 => bail!("the policies have an error; nothing was done"),
            errors => bail!("the policies have {errors} errors; nothing was done"),
        }
        if self.policies.is_empty() {
            let note = "note: the sample policy is used, with its own addresses; \
                        give yours by --policy, or see it by `drydock print policy`";
            writeln!(stderr, "{note}")?;
        }
        let live = input::live_addresses(&self.addresses);
        let audit = read
            .policies
            .iter()
            .filter(|policy| policy.mode == Mode::Audit);
        let enforced = audit.cloned().map(|policy| Policy {
            mode: Mode::Enforce,
            ..policy
        });
        let policies = Policies {
            audit: PolicySet::new(enforced.collect(), &live),
            all: PolicySet::new(read.policies, &live),
        };
        for note in input::address_notes(&policies.all, &live) {
            writeln!(stderr, "note: {note}")?;
        }
        Ok(policies)
    }
}

struct Policies {
    all: PolicySet,
    /// Those in Audit mode, as if they were in Enforce mode.
    audit: PolicySet,
}

/// One run over the inputs. It handles every object that can be read; the worst exit code counts.
struct Run<'r, O, E> {
    policies: &'r Policies,
    options: &'r Mutate,
    printer: Printer<'r, O>,
    stderr: &'r mut E,
    exit: Exit,
    /// The object of each patch.
    patches: Vec<String>,
}

impl<O: Write, E: Write> Run<'_, O, E> {
    fn error(&mut self, message: &str) -> anyhow::Result<()> {
        self.exit = Exit::Error;
        self.say(&format!("error: {message}"))
    }

    fn note(&mut self, message: &str) -> anyhow::Result<()> {
        self.say(&format!("note: {message}"))
    }

    fn say(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.stderr, "{line}").context("stderr")
    }

    /// Says which patch is of which object if there are several: a patch does not name it.
    fn name_patches(&mut self) -> anyhow::Result<()> {
        if self.patches.len() > 1 {
            self.printer.out.flush()?;
            for (index, object) in std::mem::take(&mut self.patches).iter().enumerate() {
                self.say(&format!("patch {}: {object}", index + 1))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let documents = document::split(text);
        if documents.is_empty() {
            self.error(&format!("{name}: the file has no object"))?;
        }
        for document in documents {
            let place = format!("{name}: document {}", document.number);
            match document.content {
                Ok(object) => self.object(&object, &place, None)?,
                Err(error) => self.error(&format!("{place}: {error}"))?,
            }
        }
        Ok(())
    }

    /// Handles an object. `default_kind` is the kind of an object without one.
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
                // The API server omits the kind of the items of a PodList.
                "PodList" => return self.list(object, place, Some("Pod")),
                "AdmissionReview" => return self.review(object, place),
                kind => return self.other(kind, object, place),
            },
            Some(other) => format!("{}, not a string", type_name(other)),
        };
        let advice = "give a Pod, a List or an AdmissionReview";
        self.error(&format!("{place}: kind is {problem}; {advice}"))
    }

    fn list(&mut self, list: &Value, place: &str, item_kind: Option<&str>) -> anyhow::Result<()> {
        let items = match list.get("items") {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Array(items)) => items,
            Some(other) => {
                let found = type_name(other);
                return self.error(&format!("{place}: items is {found}, not a list"));
            }
        };
        for (index, item) in items.iter().enumerate() {
            let place = format!("{place}, items[{index}]");
            if item.is_object() {
                self.object(item, &place, item_kind)?;
            } else {
                let found = type_name(item);
                self.error(&format!("{place}: it is {found}, not an object"))?;
            }
        }
        Ok(())
    }

    /// Passes an object of another kind on.
    fn other(&mut self, kind: &str, object: &Value, place: &str) -> anyhow::Result<()> {
        if let Some(advice) = advice(kind) {
            let kind = quote(kind);
            self.note(&format!("{place}: {kind} is passed on unchanged; {advice}"))?;
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
                return self.error(&format!("{place}: {}", without_position(&error)));
            }
        };
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let title = title(&namespace, pod.name());
        let verdict = verdict::judge(pod, &self.policies.all, self.scope(&namespace))?;
        self.count(verdict.outcome);
        if let (Outcome::Denied, Some(denial)) = (verdict.outcome, &verdict.enforced.denial) {
            self.refused(&title, &denial.with_rule())?;
        }
        let patch = verdict.patch.as_deref().unwrap_or("[]");
        match self.options.output {
            Output::Explain => self.explain(&title, &verdict),
            Output::Diff => self.diff(&title, &namespace, object),
            // It would be created by `drydock mutate … | kubectl apply -f -`.
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
        let answer = match admission::review(object.to_string().as_bytes(), context) {
            Ok(answer) => answer,
            Err(error) => return self.error(&format!("{place}: {error}")),
        };
        let response: Value =
            serde_json::from_slice(&answer.body).context("the answer is not JSON")?;
        let record = &answer.record;
        let title = title(&record.namespace, &record.pod);
        self.count(record.outcome);
        if record.outcome == Outcome::Denied {
            let message = response.pointer("/response/status/message");
            self.refused(&title, message.and_then(Value::as_str).unwrap_or_default())?;
        }
        let patch = answer.patch.as_deref().unwrap_or("[]");
        let pod = object.pointer("/request/object").unwrap_or(&Value::Null);
        let creates_pod = record.outcome != Outcome::Skipped(SkipReason::NotPodCreation);
        match self.options.output {
            Output::Yaml | Output::Json | Output::Patch => {
                self.print(&title, place, object, &response, patch)
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

    fn count(&mut self, outcome: Outcome) {
        let is_changed = matches!(
            outcome,
            Outcome::Mutated | Outcome::Audited(AuditReason::WouldMutate)
        );
        if is_changed && self.options.exit_code {
            self.exit = self.exit.max(Exit::Findings);
        }
    }

    /// Prints the changes of a pod and, in a diff of its own, those that policies in Audit mode would
    /// make to the result. In a namespace in audit, all of them are not made.
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

    /// Returns a pod as some policies make it, in a namespace in enforce.
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
            self.say(&format!("{title} would be refused: {}", denial.with_rule()))?;
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

    fn refused(&mut self, title: &str, why: &str) -> anyhow::Result<()> {
        self.exit = self.exit.max(Exit::Findings);
        writeln!(self.stderr, "{title} refused: {why}").context("stderr")
    }

    fn explain(&mut self, title: &str, verdict: &Verdict<'_>) -> anyhow::Result<()> {
        let text = explain(title, verdict, self.options.mode);
        self.printer.document("\n", &text)
    }
}

/// Returns what to do about an object that is not changed although its author may expect it.
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
        return Some("give policies by --policy".to_owned());
    }
    let mut read = READ.iter();
    let meant = read.find(|read| read.eq_ignore_ascii_case(kind))?;
    Some(format!("the kind is written {meant}"))
}

/// Removes the position from an error: it counts in the JSON that the object was converted to.
fn without_position(error: &str) -> &str {
    match error.rsplit_once(" at line ") {
        Some((rest, position)) if position.contains(" column ") => rest,
        _ => error,
    }
}

/// Applies a patch as the API server will.
pub(super) fn patched(object: &Value, patch: &str) -> anyhow::Result<Value> {
    let patch: json_patch::Patch =
        serde_json::from_str(patch).context("the patch is not RFC 6902")?;
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).context("the patch does not apply")?;
    Ok(object)
}
