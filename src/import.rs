//! `drydock import`: the configuration of runners becomes policies and a report.
//!
//! A file is parsed once, into nodes with positions. The nodes become one list of runners; these
//! become policies and one list of findings.
//!
//! ```text
//! bytes ─► text ─► yaml, toml (templates masked) ─► nodes
//! nodes ─► discovery ─► validate (schema) ─► runners
//! runners ─► aliases, volumes, scheduling, patches ─► compose ─► policy (YAML)
//!                                                            └─► findings ─► report, diff
//! ```
//!
//! An import renders no template, asks no cluster, and never reads a Secret. Of a file it prints
//! only what `safe_text` permits. `messages` has the text of every finding.

mod aliases;
mod certificates;
mod chart;
mod compose;
mod diff;
mod discovery;
mod docker;
mod finding;
mod messages;
mod node;
mod patches;
mod policy;
mod registries;
mod report;
mod runner;
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

use discovery::{Reading, Source};
use finding::{Finding, Group, Setting};
use node::Span;
use runner::{Outside, Runner};
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
    /// Whether the content comes from a pipe: then there is no file to change.
    pub is_stdin: bool,
}

/// The result of an import.
#[derive(Debug)]
pub struct Outcome {
    /// Policies as a YAML stream. Empty if there is nothing to import or a file cannot be read.
    pub policies: String,
    /// The migration report.
    pub report: Report,
    /// Whether every file was read.
    pub is_complete: bool,
}

/// Imports files. If one file cannot be read, there are no policies at all, so that nobody applies
/// half of them.
#[must_use]
pub fn import(inputs: &[Input<'_>]) -> Outcome {
    let mut reading = Reading::default();
    inputs.iter().for_each(|input| reading.read(input));
    let mut findings = std::mem::take(&mut reading.findings);
    let runners = runners(&reading, &mut findings);
    charts(&reading, &runners, &mut findings);
    let mut diffs = diff::Diffs::of(&reading.files);
    let documents = compose::compose(&runners, &mut diffs, &mut findings);
    let mut policies = policy::render(&documents);
    // A policy that `drydock check` refuses is a bug, and is not written.
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
        let asks = runners
            .iter()
            .any(|runner| !runner.collected.settings.is_empty());
        report.summary = match asks {
            true => "nothing to import: no policy can select the pods of these runners",
            false => "nothing to import: no runner has a setting that a policy can replace",
        };
    } else {
        report.diff = diffs.render();
        report.next = commands(&runners);
    }
    if is_complete {
        files(&reading, &mut findings);
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
        let nodes = validated.node.items_at("runners");
        if !validated.refused.is_empty() {
            findings.extend(validated.refused);
            findings.push(messages::refused().at(Span::file(source.file)));
            continue;
        }
        match nodes {
            [] => findings.push(messages::no_runner().at(Span::file(source.file))),
            [_, second, ..] if source.is_template => {
                findings.push(messages::two_runners().at(second.span));
            }
            _ => {}
        }
        findings.extend(validated.ignored);
        let meant = Validated::of(config, true).node;
        let mut managers = reading.managers.iter();
        let manager = managers.find(|manager| manager.mounts(source));
        let outside = Outside { source, manager };
        let file = reading.files.get(source.file);
        let is_stdin = file.is_some_and(|file| file.is_stdin);
        for (number, node) in nodes.iter().enumerate() {
            let meant = meant.items_at("runners").get(number);
            if let Some(mut runner) = runner::read(&outside, node, meant, findings) {
                runner.source = index;
                runner.is_generated |= is_stdin || !source.lasts();
                runners.push(runner);
            }
        }
    }
    runners
}

/// Reports values of charts and fields of manager pods that jobs do not have.
fn charts(reading: &Reading, runners: &[Runner], findings: &mut Vec<Finding>) {
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

/// Adds findings about whole files, and marks findings that depend on a condition of a template.
fn files(reading: &Reading, findings: &mut Vec<Finding>) {
    for finding in findings.iter_mut() {
        let is_within = |span: Span| reading.conditional.iter().any(|lines| lines.has(span));
        if finding.places.iter().any(|place| is_within(place.span)) {
            let what = std::mem::take(&mut finding.what);
            finding.what = what.and(&" (only if a condition of the template holds)");
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
        let lines = credentials(reading.sources.iter().filter(of_file));
        if !lines.is_empty() {
            findings.push(messages::credentials(Message::list(lines)).at(whole));
        }
    }
}

/// Returns the lines with a credential.
fn credentials<'s>(sources: impl Iterator<Item = &'s Source>) -> BTreeSet<usize> {
    const KEYS: &str = "token bearer_token runnertoken runnerregistrationtoken accesskey secretkey sentry_dsn accountkey";
    let mut lines = BTreeSet::new();
    for node in sources.flat_map(|source| source.config.iter().chain(&source.values)) {
        node.each_entry(&mut |entry| {
            let is_key = KEYS
                .split(' ')
                .any(|key| entry.key.eq_ignore_ascii_case(key));
            if is_key && entry.node.as_text().is_some_and(|text| !text.is_empty()) {
                lines.insert(entry.node.span.line);
            }
        });
    }
    lines
}

/// The commands that put the policies in force, in order.
fn commands(runners: &[Runner]) -> Vec<Message> {
    let mut commands = vec![
        message!("drydock check imported.yaml        # stdout, saved to this file"),
        message!("kubectl apply -f imported.yaml"),
    ];
    let namespaces = runners.iter().filter_map(|it| it.namespace.as_ref());
    let namespaces: BTreeSet<&SafeText> = namespaces.collect();
    let namespaces = namespaces.into_iter().map(|name| (name.clone(), ""));
    let is_unknown = |it: &Runner| it.namespace.is_none() && !it.is_namespace_per_job;
    let mut others = runners.iter();
    let others = others.any(|it| is_unknown(it) || it.has_other_namespaces);
    let others = others.then(|| (SafeText::own("NAMESPACE"), "        # each other namespace of job pods: KUBERNETES_NAMESPACE of the manager, the release's, or default"));
    for (name, why) in namespaces.chain(others) {
        commands.extend([
            message!("kubectl label namespace {} drydock.dev/job-pods=audit{}", name, why),
            message!("kubectl label namespace {} drydock.dev/job-pods=enforce --overwrite        # when the audit shows what you expect", name),
            message!("drydock doctor -n {}", name),
        ]);
    }
    if runners.iter().any(|it| it.is_namespace_per_job) {
        commands.push(message!("# a namespace of one job has no label: components/namespace-per-job selects it by a name prefix (docs/install.md)"));
    }
    commands
}
