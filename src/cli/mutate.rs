//! `drydock mutate`: applies policies to pods offline, with the code of the webhook.

mod printer;
mod run;

use super::Exit;
use super::input::{self, SourceAddress};
use crate::core::crd::format;
use crate::core::policy::{Mode, Policy, PolicySet};
use anyhow::{Context as _, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use printer::Printer;
use run::{Policies, Run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Apply policies to pods offline, as the webhook does, and print the result.
///
/// Reads Pods, Lists and AdmissionReviews (v1) in YAML or JSON. Objects of other kinds are printed
/// unchanged.
#[derive(Args, Debug)]
pub(super) struct Mutate {
    /// File with Pods, Lists or AdmissionReviews, or - for stdin. Can be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// File with JobPodPolicy objects, or - for stdin. Can be repeated [default: the built-in
    /// sample policy]
    #[arg(short, long = "policy", value_name = "FILE")]
    policies: Vec<PathBuf>,

    /// Output format: the changed objects, the JSON Patch, a unified diff, or an explanation in
    /// sentences
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    /// Mode of the namespace, as in its label drydock.dev/job-pods
    #[arg(long, default_value = "enforce", value_parser = mode_parser())]
    mode: Mode,

    /// Labels of the namespace, for policies with a namespaceSelector
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = labels)]
    namespace_labels: Option<BTreeMap<String, String>>,

    /// Address of an object that a policy names in a from: field, such as
    /// ingress/cicd/gitlab-registry=10.0.0.232. For an Ingress, add the hostnames of its rules. Can
    /// be repeated
    #[arg(
        long = "address",
        value_name = "KIND/NAMESPACE/NAME=ADDRESS[,HOSTNAME…]"
    )]
    addresses: Vec<SourceAddress>,

    /// Exit with code 1 if a pod is changed or, in audit mode, would be changed
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

/// Parses a value of the namespace label `drydock.dev/job-pods`.
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
            .ok_or_else(|| format!("\"{pair}\" is not of the form KEY=VALUE"))?;
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
    pub(super) fn run(self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
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
                Ok(text) => run.process_file(&input.name, &text)?,
                Err(error) => run.print_error(&format!("{error:#}"))?,
            }
        }
        run.name_patches()?;
        Ok(run.exit)
    }

    /// Parses the policies. If some are invalid, prints all errors and returns an error.
    fn policy_set(
        &self,
        inputs: Vec<input::Input>,
        stderr: &mut dyn Write,
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
            1 => bail!("the policies have an error; no pod was processed"),
            errors => bail!("the policies have {errors} errors; no pod was processed"),
        }
        if self.policies.is_empty() {
            let note = "note: the built-in sample policy and its addresses are used; `drydock print \
                        policy` prints this policy; use --policy for your own policies";
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

/// Applies a JSON Patch to an object, as the API server does.
pub(super) fn patched(object: &Value, patch: &str) -> anyhow::Result<Value> {
    let patch: json_patch::Patch =
        serde_json::from_str(patch).context("the patch is not a JSON Patch (RFC 6902)")?;
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).context("the patch cannot be applied to the object")?;
    Ok(object)
}
