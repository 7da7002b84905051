//! `drydock import`: converts the configuration of runners to policies and a migration report.
//!
//! Each file is parsed once, to configuration values with positions. The values are converted to
//! runners, and the runners to policies and findings.
//!
//! ```text
//! bytes ─► text ─► yaml, toml (templates masked) ─► config values
//! config values ─► discovery ─► validate (schema) ─► runners
//! runners ─► aliases, volumes, scheduling, patches ─► compose ─► policy (YAML)
//!                                                            └─► findings ─► report, diff
//! ```
//!
//! The import does not render templates, does not use the network, and never reads a Secret. It
//! prints only text of a file that `safe_text` permits. `messages` has the text of every finding.

mod aliases;
mod certificates;
mod chart;
mod compose;
mod config_value;
mod diff;
mod discovery;
mod finding;
mod messages;
mod patches;
mod policy;
mod registries;
mod report;
mod runner;
mod runner_config;
mod runner_manager;
mod safe_text;
mod scheduling;
mod schema;
mod template;
mod text;
mod toml;
mod validate;
mod volumes;
mod yaml;

pub use report::{Report, ReportFormat};

use config_value::Span;
use discovery::{Reading, Source};
use finding::{Finding, Group, Setting};
use runner::{Runner, RunnerContext};
use safe_text::{Kind, Message, SafeText, message};
use std::collections::BTreeSet;
use text::Encoding;
use validate::Validated;

/// A file to import.
#[derive(Clone, Copy, Debug)]
pub struct Input<'i> {
    /// The file name for the report.
    pub name: &'i str,
    /// The content of the file.
    pub bytes: &'i [u8],
    /// Whether the content was read from stdin. If true, the report has no diff of this file.
    pub is_stdin: bool,
}

/// The result of an import.
#[derive(Debug)]
pub struct Outcome {
    /// The policies as a YAML stream. Empty if there is nothing to import, or if a file cannot be
    /// read.
    pub policies: String,
    /// What was taken over, what was not, and the next steps.
    pub report: Report,
    /// Whether every file was read.
    pub is_complete: bool,
}

/// Imports files. If one of them cannot be read, the outcome has no policies, so that an incomplete
/// set of policies cannot be applied.
#[must_use]
pub fn import(inputs: &[Input<'_>]) -> Outcome {
    let mut reading = Reading::default();
    inputs.iter().for_each(|input| reading.read(input));
    let mut findings = std::mem::take(&mut reading.findings);
    let runners = runners(&reading, &mut findings);
    report_manager_settings(&reading, &runners, &mut findings);
    let mut diffs = diff::Diffs::of(&reading.files);
    let documents = compose::compose(&runners, &mut diffs, &mut findings);
    let mut policies = policy::render(&documents);
    // A policy that `drydock check` refuses is a bug in drydock. It must not be written.
    let checked = (!policies.is_empty()).then(|| crate::core::policy::read("", &policies));
    for error in checked.into_iter().flat_map(|checked| checked.errors) {
        let field = error.problem.split(' ').next().unwrap_or_default();
        let field = SafeText::or_hidden(Kind::Key, field);
        findings.push(messages::refused_policy(field).at(Span::file(0)));
    }
    let mut report = Report {
        files: reading.files.iter().map(|file| file.name.clone()).collect(),
        ..Report::default()
    };
    let is_complete = findings.iter().all(|finding| finding.group != Group::Error);
    if !is_complete {
        policies.clear();
        findings.retain(|finding| finding.group == Group::Error);
    } else if policies.is_empty() {
        let has_settings = runners
            .iter()
            .any(|runner| !runner.collected.settings.is_empty());
        report.summary = match has_settings {
            true => "nothing to import: no policy can select the pods of these runners",
            false => "nothing to import: no runner has a setting that a policy can replace",
        };
    } else {
        report.diff = diffs.render();
        report.next = next_commands(&runners);
    }
    if is_complete {
        report_file_properties(&reading, &mut findings);
        findings.sort();
        findings.dedup();
    }
    report.findings = findings;
    Outcome {
        policies,
        report,
        is_complete,
    }
}

/// Reads the runners of all sources.
fn runners(reading: &Reading, findings: &mut Vec<Finding>) -> Vec<Runner> {
    let mut runners = Vec::new();
    for (index, source) in reading.sources.iter().enumerate() {
        let Some(config) = &source.config else {
            continue;
        };
        let validated = Validated::of(config, false);
        let tables = validated.config.items_at("runners");
        if !validated.refused.is_empty() {
            findings.extend(validated.refused);
            findings.push(messages::refused().at(Span::file(source.file)));
            continue;
        }
        match tables {
            [] => findings.push(messages::no_runner().at(Span::file(source.file))),
            [_, second, ..] if source.is_template => {
                findings.push(messages::two_runners().at(second.span));
            }
            _ => {}
        }
        findings.extend(validated.ignored);
        let corrected = Validated::of(config, true).config;
        let mut managers = reading.managers.iter();
        let manager = managers.find(|manager| manager.mounts(source));
        let context = RunnerContext { source, manager };
        let file = reading.files.get(source.file);
        let is_stdin = file.is_some_and(|file| file.is_stdin);
        for (number, table) in tables.iter().enumerate() {
            let corrected = corrected.items_at("runners").get(number);
            if let Some(mut runner) = runner::read(&context, table, corrected, findings) {
                runner.source = index;
                runner.is_generated |= is_stdin || source.is_generated();
                runners.push(runner);
            }
        }
    }
    runners
}

/// Reports chart values and fields of manager pods that do not apply to job pods.
fn report_manager_settings(reading: &Reading, runners: &[Runner], findings: &mut Vec<Finding>) {
    for (index, source) in reading.sources.iter().enumerate() {
        let own = runners.iter().filter(|runner| runner.source == index);
        let settings: Vec<&Setting> = own.flat_map(|runner| &runner.collected.settings).collect();
        chart::read(source, &settings, findings);
    }
    let settings: Vec<&Setting> = runners
        .iter()
        .flat_map(|runner| &runner.collected.settings)
        .collect();
    for manager in &reading.managers {
        if let Some(aliases) = manager.spec.at("hostAliases") {
            chart::manager_aliases(aliases, aliases.into(), &settings, findings);
        }
    }
}

/// Reports properties of whole files, and marks findings that depend on a condition of a template.
fn report_file_properties(reading: &Reading, findings: &mut Vec<Finding>) {
    for finding in findings.iter_mut() {
        let is_within = |span: Span| {
            reading
                .conditional
                .iter()
                .any(|lines| lines.has_lines_of(span))
        };
        if finding.places.iter().any(|place| is_within(place.span)) {
            finding.what = message!(
                "{} (only if a condition of the template is true)",
                finding.what
            );
        }
    }
    for (index, file) in reading.files.iter().enumerate() {
        let whole = Span::file(index);
        let skipped = reading.skipped.iter().filter(|span| span.file == index);
        if let Some(span) = skipped.copied().reduce(Span::with) {
            findings.push(messages::template().at(span));
        }
        match file.encoding {
            Encoding::Utf8 => {}
            Encoding::Utf8Bom => findings.push(messages::byte_order_mark().at(whole)),
            Encoding::Utf16 => findings.push(messages::utf16().at(whole)),
        }
        let of_file = |source: &&Source| source.file == index;
        let lines = credential_lines(reading.sources.iter().filter(of_file));
        if !lines.is_empty() {
            findings.push(messages::credentials(Message::list(lines)).at(whole));
        }
    }
}

/// Returns the lines that contain a credential.
fn credential_lines<'s>(sources: impl Iterator<Item = &'s Source>) -> BTreeSet<usize> {
    const KEYS: &str = "token bearer_token runnertoken runnerregistrationtoken accesskey secretkey sentry_dsn accountkey";
    let mut lines = BTreeSet::new();
    for value in sources.flat_map(|source| source.config.iter().chain(&source.values)) {
        value.each_entry(&mut |entry| {
            let is_key = KEYS
                .split(' ')
                .any(|key| entry.key.eq_ignore_ascii_case(key));
            if is_key && entry.value.as_text().is_some_and(|text| !text.is_empty()) {
                lines.insert(entry.value.span.line);
            }
        });
    }
    lines
}

/// Returns the commands that put the policies in force, in order.
fn next_commands(runners: &[Runner]) -> Vec<Message> {
    let mut commands = vec![
        message!("drydock check imported.yaml        # the saved stdout of drydock import"),
        message!("kubectl apply -f imported.yaml"),
    ];
    let namespaces = runners.iter().filter_map(|it| it.namespace.as_ref());
    let namespaces: BTreeSet<&SafeText> = namespaces.collect();
    let namespaces = namespaces.into_iter().map(|name| (name.clone(), ""));
    let is_unknown = |it: &Runner| it.namespace.is_none() && !it.is_namespace_per_job;
    let mut others = runners.iter();
    let others = others.any(|it| is_unknown(it) || it.has_other_namespaces);
    let others = others.then(|| (SafeText::trusted("NAMESPACE"), "        # every job namespace that is not above: KUBERNETES_NAMESPACE of the manager, else the namespace of the release, else default"));
    for (name, why) in namespaces.chain(others) {
        commands.extend([
            message!("kubectl label namespace {} drydock.dev/job-pods=audit{}", name, why),
            message!("kubectl label namespace {} drydock.dev/job-pods=enforce --overwrite        # when audit mode reports the changes that you expect", name),
            message!("drydock doctor -n {}", name),
        ]);
    }
    if runners.iter().any(|it| it.is_namespace_per_job) {
        commands.push(message!("# namespaces that the runner creates for a job have no label: components/namespace-per-job selects them by name prefix (docs/install.md)"));
    }
    commands
}
