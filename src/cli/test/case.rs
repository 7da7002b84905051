//! Reads test files and runs their cases.

use crate::cli::input::{self, SourceAddress};
use crate::core::document;
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Mode, PolicySet};
use crate::core::rules::Audience;
use crate::core::verdict::{self, Scope, Verdict, judge};
use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The content of a test file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct TestFile {
    /// The directory of the file. Paths in the file are relative to it.
    #[serde(skip)]
    directory: PathBuf,
    /// The policy files of cases without the field `policies`.
    #[serde(default)]
    policies: Vec<PathBuf>,
    pub(super) cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Case {
    pub(super) name: String,
    pod: FileOrObject,
    policies: Option<Vec<PathBuf>>,
    /// The mode of the namespace.
    #[serde(default)]
    mode: CaseMode,
    namespace_labels: Option<BTreeMap<String, String>>,
    /// Values of the flag `--address` of `drydock mutate`.
    #[serde(default)]
    addresses: Vec<String>,
    expect: Expectation,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FileOrObject {
    File(PathBuf),
    Object(Value),
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CaseMode {
    #[default]
    Enforce,
    Audit,
}

/// The expected result. A case passes if all fields that are set match.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expectation {
    /// `true` if the pod must not be changed.
    unchanged: Option<bool>,
    /// The names of all changes, in any order.
    changes: Option<Vec<String>>,
    /// The changed pod. drydock's annotations are compared only if this pod has some of them.
    pod: Option<FileOrObject>,
    /// A text that the message of the refusal must contain.
    refused: Option<String>,
    /// The reason why the pod is skipped, such as `not-a-job-pod`.
    skipped: Option<String>,
    /// Texts that the messages must contain, each in at least one message.
    #[serde(default)]
    messages_contain: Vec<String>,
    /// Texts that no message may contain.
    #[serde(default)]
    messages_do_not_contain: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct CaseResult {
    /// The differences from the expected result; empty if the case passes.
    pub(super) differences: Vec<String>,
    /// A command that explains the verdict on the pod.
    pub(super) explain_command: Option<String>,
}

impl CaseResult {
    pub(super) fn is_passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl TestFile {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let object = only_document(&text).with_context(|| path.display().to_string())?;
        let mut file: Self = serde_path_to_error::deserialize(object)
            .map_err(|error| anyhow!("{}: {}: {}", path.display(), error.path(), error.inner()))?;
        file.directory = path.parent().unwrap_or(Path::new("")).to_owned();
        if file.cases.is_empty() {
            bail!(
                "{}: cases is empty; add a case with the fields name, pod and expect",
                path.display()
            );
        }
        for case in &file.cases {
            case.check()
                .with_context(|| format!("{}: case \"{}\"", path.display(), case.name))?;
        }
        Ok(file)
    }

    /// Runs one case.
    ///
    /// # Errors
    /// Returns an error if a file of the case cannot be used.
    pub(super) fn run(&self, case: &Case) -> anyhow::Result<CaseResult> {
        let policies = self.policy_set(case)?;
        let before = self.object(&case.pod)?;
        let wanted = match &case.expect.pod {
            Some(pod) => Some(self.object(pod)?),
            None => None,
        };
        let text = before.to_string();
        let pod = Pod::from_json(&text).context("the pod cannot be parsed")?;
        let name = pod.metadata.namespace.clone().unwrap_or_default();
        let scope = Scope {
            namespace: Namespace {
                name: &name,
                labels: case.namespace_labels.as_ref(),
            },
            mode: match case.mode {
                CaseMode::Enforce => Mode::Enforce,
                CaseMode::Audit => Mode::Audit,
            },
            own_namespace: "",
        };
        let verdict = judge(pod, &policies, scope)?;
        let after = match &verdict.patch {
            Some(patch) => crate::cli::mutate::patched(&before, patch)?,
            None => before,
        };
        let differences = case.expect.differences(&verdict, &after, wanted.as_ref());
        let explain_command = (!differences.is_empty())
            .then(|| self.explain_command(case))
            .flatten();
        Ok(CaseResult {
            differences,
            explain_command,
        })
    }

    fn policy_paths(&self, case: &Case) -> Vec<PathBuf> {
        let paths = case.policies.as_ref().unwrap_or(&self.policies);
        paths.iter().map(|path| self.directory.join(path)).collect()
    }

    fn policy_set(&self, case: &Case) -> anyhow::Result<PolicySet> {
        let paths = self.policy_paths(case);
        if paths.is_empty() {
            bail!(
                "there are no policies; list policy files in the field policies of the case or of the test file"
            );
        }
        let mut texts = Vec::new();
        for path in paths {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("policy {} cannot be read", path.display()))?;
            texts.push((path.display().to_string(), text));
        }
        let read = input::policies(&texts);
        if let Some(error) = read.errors.first() {
            bail!("{error}");
        }
        let addresses = case
            .addresses
            .iter()
            .map(|text| text.parse::<SourceAddress>());
        let addresses: Vec<SourceAddress> = addresses
            .collect::<Result<_, _>>()
            .map_err(|problem| anyhow!("addresses: {problem}"))?;
        Ok(PolicySet::new(
            read.policies,
            &input::live_addresses(&addresses),
        ))
    }

    fn object(&self, given: &FileOrObject) -> anyhow::Result<Value> {
        match given {
            FileOrObject::Object(object) => Ok(object.clone()),
            FileOrObject::File(path) => {
                let path = self.directory.join(path);
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("pod {} cannot be read", path.display()))?;
                only_document(&text).with_context(|| path.display().to_string())
            }
        }
    }

    /// Returns a command that explains the verdict on the pod, if the pod is a file.
    fn explain_command(&self, case: &Case) -> Option<String> {
        let FileOrObject::File(pod) = &case.pod else {
            return None;
        };
        let mut command = format!("drydock mutate -f {}", self.directory.join(pod).display());
        for policy in self.policy_paths(case) {
            command.push_str(&format!(" -p {}", policy.display()));
        }
        if matches!(case.mode, CaseMode::Audit) {
            command.push_str(" --mode audit");
        }
        Some(format!("{command} -o explain"))
    }
}

fn only_document(text: &str) -> anyhow::Result<Value> {
    let mut documents = document::split(text).into_iter();
    match (documents.next(), documents.next()) {
        (Some(one), None) => one.content.map_err(|error| anyhow!("{error}")),
        (None, _) => bail!("the file contains no object"),
        (Some(_), Some(_)) => {
            bail!("the file contains several documents; use one file for each document")
        }
    }
}

impl Case {
    /// Returns an error if `expect` is invalid. An empty `expect` is invalid, because the case
    /// would always pass.
    fn check(&self) -> anyhow::Result<()> {
        let Expectation {
            unchanged,
            changes,
            pod,
            refused,
            skipped,
            messages_contain,
            messages_do_not_contain,
        } = &self.expect;
        let is_empty = unchanged.is_none()
            && changes.is_none()
            && pod.is_none()
            && refused.is_none()
            && skipped.is_none()
            && messages_contain.is_empty()
            && messages_do_not_contain.is_empty();
        if is_empty {
            bail!(
                "expect is empty; set at least one of these fields: unchanged, changes, pod, refused, skipped, messagesContain or messagesDoNotContain"
            );
        }
        if unchanged == &Some(false) {
            bail!("expect.unchanged is false; list the changes in expect.changes instead");
        }
        let known = crate::core::rules::change::NAMES;
        if let Some(name) = changes
            .iter()
            .flatten()
            .find(|name| !known.contains(&name.as_str()))
        {
            bail!(
                "expect.changes: unknown change \"{name}\"; use one of these names: {}",
                known.join(", ")
            );
        }
        Ok(())
    }
}

impl Expectation {
    fn differences(
        &self,
        verdict: &Verdict<'_>,
        after: &Value,
        wanted: Option<&Value>,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let outcome = (verdict.outcome.name(), verdict.outcome.reason());
        let shown = match outcome {
            (name, "") => name.to_owned(),
            (name, reason) => format!("{name} ({reason})"),
        };
        let changes = change_names(verdict);
        if self.unchanged == Some(true) && verdict.patch.is_some() {
            found.push(format!(
                "expected no changes, found changes: {}",
                changes.join(", ")
            ));
        }
        if let Some(expected) = &self.changes {
            let mut expected = expected.clone();
            expected.sort();
            expected.dedup();
            if expected != changes {
                found.push(format!("expected changes: {}", list(&expected)));
                found.push(match changes.as_slice() {
                    [] => format!("found no changes: {shown}"),
                    changes => format!("found changes:    {}", list(changes)),
                });
            }
        }
        let denial = verdict.enforced.denial.as_ref().map(ToString::to_string);
        if let Some(expected) = &self.refused {
            match denial.filter(|_| verdict.outcome == verdict::Outcome::Denied) {
                Some(text) if text.contains(expected) => {}
                Some(text) => found.push(format!(
                    "expected a refusal with \"{expected}\", found \"{text}\""
                )),
                None => found.push(format!("expected a refusal, found {shown}")),
            }
        }
        if let Some(expected) = &self.skipped
            && outcome != ("skipped", expected)
        {
            found.push(format!("expected skipped ({expected}), found {shown}"));
        }
        if let Some(wanted) = wanted {
            found.extend(difference(wanted, after));
        }
        let messages: Vec<String> = verdict
            .findings(Audience::Explain)
            .map(|(finding, _)| finding.to_string())
            .collect();
        let is_in_a_message = |text: &String| messages.iter().any(|message| message.contains(text));
        let expected = self.messages_contain.iter();
        for text in expected.filter(|text| !is_in_a_message(text)) {
            found.push(format!("expected a message that contains \"{text}\""));
            found.extend(
                messages
                    .iter()
                    .map(|message| format!("found the message: {message}")),
            );
        }
        let unwanted = self.messages_do_not_contain.iter();
        for text in unwanted.filter(|text| is_in_a_message(text)) {
            found.push(format!("expected no message that contains \"{text}\""));
        }
        found
    }
}

/// Returns the names of the changes that are made or, in audit mode, would be made.
fn change_names(verdict: &Verdict<'_>) -> Vec<String> {
    let plans = [&verdict.enforced, &verdict.audited];
    let changes = plans.iter().flat_map(|plan| &plan.changes);
    let mut names: Vec<String> = changes.map(|change| change.name().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

/// Returns a unified diff of two pods as YAML with sorted keys, or `None` if the pods are equal.
fn difference(wanted: &Value, found: &Value) -> Option<String> {
    let mut found = found.clone();
    let has_own =
        |pod: &Value| annotations(pod).is_some_and(|map| map.keys().any(|key| is_own(key)));
    if !has_own(wanted)
        && let Some(map) = found
            .pointer_mut("/metadata/annotations")
            .and_then(Value::as_object_mut)
    {
        map.retain(|key, _| !is_own(key));
        if map.is_empty()
            && let Some(metadata) = found
                .pointer_mut("/metadata")
                .and_then(Value::as_object_mut)
        {
            metadata.shift_remove("annotations");
        }
    }
    let text = |value: &Value| serde_saphyr::to_string(&sorted(value)).unwrap_or_default();
    let (wanted, found) = (text(wanted), text(&found));
    (wanted != found).then(|| {
        let diff = diffy::DiffOptions::new()
            .set_context_len(2)
            .set_original_filename("expected")
            .set_modified_filename("found")
            .create_patch(&wanted, &found)
            .to_string();
        format!("the pod differs:\n{}", diff.trim_end())
    })
}

fn annotations(pod: &Value) -> Option<&serde_json::Map<String, Value>> {
    pod.pointer("/metadata/annotations")?.as_object()
}

fn is_own(annotation: &str) -> bool {
    annotation.starts_with("drydock.dev/")
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let pairs: BTreeMap<String, Value> = map
                .iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            pairs.into_iter().collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
