//! `drydock import`: the configuration of runners → policies, and a report of what is in them, what
//! is not, and why.
//!
//! One reading of a file into located values, one list of runners, one list of findings, and their
//! renderings:
//!
//! ```text
//! bytes ─► text ─► yaml, toml (template masks) ─► located values
//! located values ─► finder ─► understand (schema) ─► runners
//! runners ─► aliases, volumes, scheduling, patches ─► compose ─► policy (YAML)
//!                                                            └─► findings ─► report, diff
//! ```
//!
//! It renders no template, looks nothing up in a cluster, and never reads a Secret. Nothing of a
//! file is printed but what `printable` lets through; what is said of it is in `messages`.

mod aliases;
mod certificates;
mod chart;
mod compose;
mod diff;
mod discovery;
mod docker;
mod finding;
mod located;
mod messages;
mod patches;
mod policy;
mod printable;
mod registries;
mod report;
mod runner;
mod runner_manager;
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
use finding::{Finding, Group, Want};
use located::{Node, Span};
use printable::{Kind, Printable, Sentence, say};
use runner::Runner;
use std::collections::BTreeSet;
use text::Encoding;
use validate::Understood;

/// A file to import.
#[derive(Clone, Copy, Debug)]
pub struct Input<'i> {
    /// What the report calls it.
    pub name: &'i str,
    /// Its content.
    pub bytes: &'i [u8],
    /// Whether it came by a pipe, so that there is no file to change.
    pub is_stdin: bool,
}

/// What comes of an import.
#[derive(Debug)]
pub struct Outcome {
    /// Policies as a YAML stream; empty where there is nothing to import, or a file could not be
    /// read.
    pub policies: String,
    /// What to say about it.
    pub report: Report,
    /// Whether every file was read.
    pub is_complete: bool,
}

/// Imports files. Where one cannot be read there are no policies at all, so that nobody applies
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
    // Whatever a file holds, `drydock check` takes what comes out.
    let checked = (!policies.is_empty()).then(|| crate::core::policy::read("", &policies));
    for error in checked.into_iter().flat_map(|checked| checked.errors) {
        let field = error.problem.split(' ').next().unwrap_or_default();
        let field = Printable::or_hidden(Kind::Key, field);
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
        let asks = runners.iter().any(|runner| !runner.read.wants.is_empty());
        report.summary = match asks {
            true => "nothing to import: no policy can select the pods of these runners",
            false => "nothing to import: no runner here asks for what a policy can do",
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
        let understood = Understood::of(config, false);
        let nodes = understood.node.items_at("runners");
        if !understood.refused.is_empty() {
            findings.extend(understood.refused);
            findings.push(messages::refused().at(Span::file(source.file)));
            continue;
        }
        match nodes.get(1) {
            Some(second) if source.is_template => {
                findings.push(messages::two_runners().at(second.span));
            }
            _ if nodes.is_empty() => {
                findings.push(messages::no_runner().at(Span::file(source.file)));
            }
            _ => {}
        }
        let has_slips = !understood.ignored.is_empty();
        let meant = has_slips.then(|| Understood::of(config, true).node);
        let meant = meant.as_ref().map(|meant| meant.items_at("runners"));
        findings.extend(understood.ignored);
        let manager = reading
            .managers
            .iter()
            .find(|manager| manager.mounts(source));
        let variable = |name: &str| manager.and_then(|manager| manager.variable(name));
        let values = source.values.as_ref();
        let stable = values
            .and_then(chart::stable_name)
            .or_else(|| variable("RUNNER_NAME"));
        for (number, node) in nodes.iter().enumerate() {
            let meant = meant.and_then(|meant| meant.get(number));
            let Some(mut runner) = runner::read(source, node, meant, stable, findings) else {
                continue;
            };
            runner.source = index;
            let is_stdin = reading
                .files
                .get(source.file)
                .is_some_and(|file| file.is_stdin);
            runner.is_generated |= is_stdin || !source.lasts();
            // The file decides, then the manager's variable, then the release.
            let namespace = node.find(&["kubernetes", "namespace"]);
            // A template that decides it is most often the release's.
            runner.has_other_namespaces |= namespace.is_some_and(Node::is_unknown);
            if namespace.is_none_or(Node::is_unknown) {
                let name = variable("KUBERNETES_NAMESPACE");
                let name = name.and_then(|name| Printable::new(Kind::Object, name));
                let release = source.namespace.clone().filter(|_| source.is_template);
                runner.namespace = name.or(release);
            }
            runners.push(runner);
        }
    }
    runners
}

/// Says what values of charts and pods of managers have that is not for jobs.
fn charts(reading: &Reading, runners: &[Runner], findings: &mut Vec<Finding>) {
    let wants = |is_it: &dyn Fn(&Runner) -> bool| -> Vec<&Want> {
        let runners = runners.iter().filter(|runner| is_it(runner));
        runners.flat_map(|runner| &runner.read.wants).collect()
    };
    for (index, source) in reading.sources.iter().enumerate() {
        chart::read(source, &wants(&|runner| runner.source == index), findings);
    }
    for manager in &reading.managers {
        if let Some(aliases) = manager.spec.at("hostAliases") {
            chart::manager_aliases(aliases, aliases.into(), &wants(&|_| true), findings);
        }
    }
}

/// Adds what concerns whole files, and what depends on a condition of a template.
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
            Encoding::Marked => findings.push(messages::byte_order_mark().at(whole)),
            Encoding::Utf16 => findings.push(messages::utf16().at(whole)),
        }
        let of_file = |source: &&Source| source.file == index;
        let lines = credentials(reading.sources.iter().filter(of_file));
        if !lines.is_empty() {
            findings.push(messages::credentials(Sentence::list(lines)).at(whole));
        }
    }
}

/// Lines that have a credential.
fn credentials<'s>(sources: impl Iterator<Item = &'s Source>) -> BTreeSet<u32> {
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

/// Check, apply and label, in this order.
fn commands(runners: &[Runner]) -> Vec<Sentence> {
    let mut commands = vec![
        say!("drydock check imported.yaml        # the policies on stdout, saved"),
        say!("kubectl apply -f imported.yaml"),
    ];
    let names: BTreeSet<&Printable> = runners
        .iter()
        .filter_map(|it| it.namespace.as_ref())
        .collect();
    let is_unknown = |it: &Runner| it.namespace.is_none() && !it.is_namespace_per_job;
    let has_others = runners
        .iter()
        .any(|it| is_unknown(it) || it.has_other_namespaces);
    let other = has_others.then(|| say!("NAMESPACE"));
    let names = names.into_iter().map(|name| say!("{}", name)).chain(other);
    for name in names {
        let why = match name.as_str() {
            "NAMESPACE" => {
                "        # every other namespace that has job pods: KUBERNETES_NAMESPACE, the release's, or default"
            }
            _ => "",
        };
        commands.push(say!(
            "kubectl label namespace {} drydock.dev/job-pods=audit{}",
            name,
            why
        ));
        commands.push(say!("kubectl label namespace {} drydock.dev/job-pods=enforce --overwrite        # once audit says what you expect", name));
    }
    if runners.iter().any(|it| it.is_namespace_per_job) {
        commands.push(say!("# namespaces that the runner makes for each job have no labels: components/namespace-per-job selects them by a name prefix (docs/install.md)"));
    }
    commands
}
