//! `drydock mutate`: what would become of pods, offline, with the engine of the webhook.

use super::Exit;
use super::explain;
use super::input::{self, SourceAddress};
use crate::core::admission::{self, Context, NamespaceLabels};
use crate::core::document::{self, type_name};
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Address, Mode, PolicySet, Source, form};
use crate::core::shown::shown;
use crate::core::verdict::{self, Outcome, Place, Verdict};
use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Characters of the longest name that an object can have.
const LONGEST_NAME: usize = 253;

/// Show what would become of pods, offline, with the same engine as the webhook.
///
/// Takes Pods, Lists of them and AdmissionReviews (v1), in YAML or JSON. Other kinds pass through unchanged.
#[derive(Args, Debug)]
pub(super) struct Mutate {
    /// File with pods, lists or AdmissionReviews; - is stdin. Repeats
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// File with JobPodPolicy objects; - is stdin. Repeats. Without it, the built-in sample policy
    #[arg(short, long = "policy", value_name = "FILE")]
    policies: Vec<PathBuf>,

    /// What to print: the objects as they would be stored, the JSON Patch, a unified diff, or the reasons in sentences
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    /// What the namespace opted in to with its label drydock.dev/job-pods, which is not known offline
    #[arg(long, value_enum, default_value_t)]
    mode: NamespaceMode,

    /// The namespace's labels, for policies with a namespaceSelector
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = labels)]
    namespace_labels: Option<BTreeMap<String, String>>,

    /// The address that a live source (from:) has now, as in ingress/cicd/gitlab-registry=10.0.0.232. Repeats
    #[arg(long = "address", value_name = "KIND/NAMESPACE/NAME=ADDRESS")]
    addresses: Vec<SourceAddress>,
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

/// The value of a namespace's label `drydock.dev/job-pods`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum NamespaceMode {
    #[default]
    Enforce,
    Audit,
}

impl From<NamespaceMode> for Mode {
    fn from(mode: NamespaceMode) -> Self {
        match mode {
            NamespaceMode::Enforce => Self::Enforce,
            NamespaceMode::Audit => Self::Audit,
        }
    }
}

fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pair = |pair: &str| {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("\"{pair}\" is not KEY=VALUE"))?;
        let (key, value) = (key.trim(), value.trim());
        form::LABEL_KEY
            .check(key)
            .map_err(|problem| format!("\"{key}\" is {problem}"))?;
        form::LABEL_VALUE
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
    pub(super) fn run(self, out: &mut impl Write, talk: &mut impl Write) -> anyhow::Result<Exit> {
        let mut inputs = input::read_all(self.policies.iter().chain(&self.files))?;
        let pods = inputs.split_off(self.policies.len());
        let set = self.policy_set(inputs, talk)?;
        let mut run = Run {
            set: &set,
            options: &self,
            out,
            talk,
            exit: Exit::Good,
            documents: 0,
        };
        for input in pods {
            match input.text {
                Ok(text) => run.file(&input.name, &text)?,
                Err(error) => run.complain(&format!("{error:#}"))?,
            }
        }
        Ok(run.exit)
    }

    /// Every error of every policy file is told before anything is refused.
    fn policy_set(
        &self,
        inputs: Vec<input::Input>,
        talk: &mut impl Write,
    ) -> anyhow::Result<PolicySet> {
        let mut texts = Vec::new();
        let mut unreadable = 0;
        for input in inputs {
            match input.text {
                Ok(text) => texts.push((input.name, text)),
                Err(error) => {
                    unreadable += 1;
                    writeln!(talk, "{error:#}")?;
                }
            }
        }
        if self.policies.is_empty() {
            texts.push(input::sample_policy());
        }
        let read = input::policies(&texts);
        for error in &read.errors {
            writeln!(talk, "{error}")?;
        }
        match read.errors.len() + unreadable {
            0 => {
                let live = input::live_addresses(&self.addresses);
                let set = PolicySet::new(read.policies, &live);
                for source in live.keys().filter(|source| !is_asked_for(&set, source)) {
                    writeln!(
                        talk,
                        "--address {source}: no policy has an address from it, so it changes nothing"
                    )?;
                }
                Ok(set)
            }
            1 => Err(anyhow!("the policies have an error; nothing was done")),
            errors => Err(anyhow!(
                "the policies have {errors} errors; nothing was done"
            )),
        }
    }
}

fn is_asked_for(set: &PolicySet, source: &Source) -> bool {
    let mut aliases = set.policies().flat_map(|policy| &policy.host_aliases);
    aliases.any(|alias| matches!(&alias.address, Address::Live(live) if live == source))
}

/// One run over the inputs: every readable object is answered, the worst exit code is returned.
struct Run<'r, O, T> {
    set: &'r PolicySet,
    options: &'r Mutate,
    out: &'r mut O,
    talk: &'r mut T,
    exit: Exit,
    /// YAML documents printed so far.
    documents: usize,
}

impl<O: Write, T: Write> Run<'_, O, T> {
    fn complain(&mut self, what: &str) -> anyhow::Result<()> {
        self.exit = Exit::Error;
        writeln!(self.talk, "{what}").context("stderr")
    }

    fn file(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let documents = document::split(text);
        if documents.is_empty() {
            self.complain(&format!("{name}: the file holds no object"))?;
        }
        for document in documents {
            let place = format!("{name}: document {}", document.number);
            match document.content {
                Ok(object) => self.object(&object, &place)?,
                Err(error) => self.complain(&format!("{place}: {error}"))?,
            }
        }
        Ok(())
    }

    fn object(&mut self, object: &Value, place: &str) -> anyhow::Result<()> {
        let text = |field: &str| object.get(field).and_then(Value::as_str);
        match text("kind") {
            Some("Pod") => self.pod(object, place),
            Some("List") => self.list(object, place, None),
            // A PodList of the API server does not repeat the kind in each item.
            Some("PodList") => self.list(object, place, Some("Pod")),
            Some("AdmissionReview") => self.review(object, place),
            Some(_) => self.print(object, object, "[]"),
            None => {
                let problem = match object.get("kind") {
                    None | Some(Value::Null) => "missing".to_owned(),
                    Some(other) => format!("{}, not a string", type_name(other)),
                };
                self.complain(&format!(
                    "{place}: kind is {problem}; give a Pod, a List or an AdmissionReview"
                ))
            }
        }
    }

    fn list(&mut self, list: &Value, place: &str, item_kind: Option<&str>) -> anyhow::Result<()> {
        let items = match list.get("items") {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Array(items)) => items,
            Some(other) => {
                return self.complain(&format!(
                    "{place}: items is {}, not a list",
                    type_name(other)
                ));
            }
        };
        for (index, item) in items.iter().enumerate() {
            let place = format!("{place}, items[{index}]");
            if item_kind == Some("Pod") && item.get("kind").is_none() && item.is_object() {
                self.pod(item, &place)?;
            } else if item.is_object() {
                self.object(item, &place)?;
            } else {
                self.complain(&format!(
                    "{place}: it is {}, not an object",
                    type_name(item)
                ))?;
            }
        }
        Ok(())
    }

    fn pod(&mut self, object: &Value, place: &str) -> anyhow::Result<()> {
        let text = object.to_string();
        let pod = match Pod::from_json(&text) {
            Ok(pod) => pod,
            Err(error) => {
                return self.complain(&format!("{place}: {}", unplaced(&error.to_string())));
            }
        };
        let (namespace, name) = (
            pod.metadata.namespace.clone().unwrap_or_default(),
            pod.name().to_owned(),
        );
        let place = Place {
            namespace: Namespace {
                name: &namespace,
                labels: self.options.namespace_labels.as_ref(),
            },
            mode: self.options.mode.into(),
            own_namespace: "",
        };
        let verdict = verdict::judge(pod, self.set, place)?;
        if let (Outcome::Denied, Some(denial)) = (verdict.outcome, &verdict.enforced.denial) {
            self.refused(&namespace, &name, &denial.with_rule())?;
        }
        let patch = verdict.patch.as_deref().unwrap_or("[]");
        if matches!(self.options.output, Output::Explain) {
            return self.explain(&verdict, &namespace, &name);
        }
        let changed = patched(object, patch)?;
        self.print(object, &changed, patch)
    }

    fn review(&mut self, object: &Value, place: &str) -> anyhow::Result<()> {
        let body = object.to_string();
        let context = Context {
            policies: self.set,
            mode: self.options.mode.into(),
            namespace_labels: self
                .options
                .namespace_labels
                .as_ref()
                .map_or(NamespaceLabels::Unknown, NamespaceLabels::Known),
            own_namespace: "",
        };
        let answer = match admission::review(body.as_bytes(), context) {
            Ok(answer) => answer,
            Err(error) => return self.complain(&format!("{place}: {error}")),
        };
        let response: Value =
            serde_json::from_slice(&answer.body).context("the answer is not JSON")?;
        if answer.record.outcome == Outcome::Denied {
            let message = response.pointer("/response/status/message");
            let message = message.and_then(Value::as_str).unwrap_or_default();
            self.refused(&answer.record.namespace, &answer.record.pod, message)?;
        }
        let patch = answer.patch.as_deref().unwrap_or("[]");
        match self.options.output {
            Output::Yaml | Output::Json => self.print(object, &response, patch),
            Output::Patch => self.print(object, object, patch),
            Output::Diff | Output::Explain => {
                let pod = object.pointer("/request/object").unwrap_or(&Value::Null);
                self.reviewed_pod(pod, patch, &answer.record)
            }
        }
    }

    /// What a review does to its pod, for people.
    fn reviewed_pod(
        &mut self,
        object: &Value,
        patch: &str,
        record: &admission::Record,
    ) -> anyhow::Result<()> {
        if matches!(self.options.output, Output::Diff) {
            let changed = patched(object, patch)?;
            return self.print(object, &changed, patch);
        }
        let text = object.to_string();
        let place = Place {
            namespace: Namespace {
                name: &record.namespace,
                labels: self.options.namespace_labels.as_ref(),
            },
            mode: self.options.mode.into(),
            own_namespace: "",
        };
        let verdict = match record.outcome {
            Outcome::Skipped(reason @ verdict::SkipReason::NotPodCreation) => {
                Verdict::skipped(reason)
            }
            _ => verdict::judge(Pod::from_json(&text)?, self.set, place)?,
        };
        self.explain(&verdict, &record.namespace, &record.pod)
    }

    fn refused(&mut self, namespace: &str, name: &str, why: &str) -> anyhow::Result<()> {
        self.exit = self.exit.max(Exit::Findings);
        writeln!(self.talk, "{} refused: {why}", title(namespace, name)).context("stderr")
    }

    fn explain(
        &mut self,
        verdict: &Verdict<'_>,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<()> {
        if self.documents > 0 {
            writeln!(self.out)?;
        }
        self.documents += 1;
        explain::write(
            self.out,
            &title(namespace, name),
            verdict,
            self.options.mode.into(),
        )
    }

    fn print(&mut self, before: &Value, after: &Value, patch: &str) -> anyhow::Result<()> {
        match self.options.output {
            Output::Json => writeln!(self.out, "{after}")?,
            Output::Patch => writeln!(self.out, "{patch}")?,
            Output::Yaml => {
                if self.documents > 0 {
                    writeln!(self.out, "---")?;
                }
                self.documents += 1;
                write!(self.out, "{}", yaml(after)?)?;
            }
            Output::Diff => {
                let (before_text, after_text) = (yaml(before)?, yaml(after)?);
                let name = before
                    .pointer("/metadata/name")
                    .or(before.pointer("/metadata/generateName"))
                    .and_then(Value::as_str)
                    .unwrap_or("object");
                let name = shown(name).at_most(LONGEST_NAME).to_string();
                let diff = similar::TextDiff::from_lines(&before_text, &after_text);
                write!(
                    self.out,
                    "{}",
                    diff.unified_diff()
                        .context_radius(3)
                        .header(&name, &format!("{name} (repaired)"))
                )?;
            }
            Output::Explain => {
                let kind = before
                    .get("kind")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                writeln!(self.out, "{}: not a pod, passed on unchanged", shown(kind))?;
            }
        }
        Ok(())
    }
}

/// What messages call a pod.
fn title(namespace: &str, name: &str) -> String {
    let name = shown(name).at_most(LONGEST_NAME);
    if namespace.is_empty() {
        format!("pod {name}")
    } else {
        format!("pod {}/{name}", shown(namespace))
    }
}

/// Takes the position from the end of an error: it counts in the object as it was rendered for the engine, which nobody sees.
fn unplaced(error: &str) -> &str {
    match error.rsplit_once(" at line ") {
        Some((what, position)) if position.contains(" column ") => what,
        _ => error,
    }
}

fn yaml(value: &Value) -> anyhow::Result<String> {
    serde_saphyr::to_string(value).context("the object cannot be written as YAML")
}

/// Applies a patch as the API server will.
fn patched(object: &Value, patch: &str) -> anyhow::Result<Value> {
    let patch: json_patch::Patch =
        serde_json::from_str(patch).context("the patch is not RFC 6902")?;
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).context("the patch does not apply")?;
    Ok(object)
}
