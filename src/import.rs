//! `drydock import`: the configuration of runners → policies, and a report of what is in them, what
//! is not, and why.
//!
//! One reading of a file into located values, one list of runners, one list of findings, and their
//! renderings:
//!
//! ```text
//! bytes ─► text ─► yaml, toml (template masks) ─► located values
//! located values ─► places ─► schema ─► runners
//! runners ─► chart, aliases, volumes, patches ─► policy ─► YAML
//!                                             └─► findings ─► report, diff
//! ```
//!
//! It renders no template, looks nothing up in a cluster, and never reads a Secret. Nothing of a
//! file is printed but what `printable` lets through.

mod aliases;
mod chart;
mod compose;
mod diff;
mod dind;
mod facts;
mod finder;
mod finding;
mod located;
mod manager;
mod patches;
mod places;
mod policy;
mod printable;
mod registries;
mod report;
mod runner;
mod scheduling;
mod schema;
mod summary;
mod taken;
mod template;
mod text;
mod toml;
mod understand;
mod volumes;
mod yaml;

pub use report::{Report, ReportFormat};

use compose::{Composed, compose};
use finding::{Finding, Group, Place, Want};
use located::Node;
use places::File;
use printable::{Kind, Printable, Sentence, say};
use runner::Runner;
use text::Fault;

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
    let mut report = Report {
        files: inputs
            .iter()
            .map(|input| Printable::file(input.name))
            .collect(),
        ..Report::default()
    };
    let mut files = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        match finder::read(index, input) {
            Ok(file) => files.push(file),
            Err(faults) => report
                .faults
                .extend(faults.into_iter().map(|fault| (index, fault))),
        }
    }
    let read = read(&files, &mut report);
    let Composed {
        documents,
        written,
        conflicts,
        in_conflict,
    } = compose(&read.runners);
    let policies = policy::render(&documents);
    if report.faults.is_empty() {
        // Whatever a file holds, `drydock check` takes what comes out.
        for error in crate::core::policy::read("the policies", &policies)
            .errors
            .iter()
            .filter(|_| !policies.is_empty())
        {
            let field = error.problem.split(' ').next().unwrap_or_default();
            let what = say!(
                "makes a policy that drydock check refuses, at {}",
                Printable::or_hidden(Kind::Key, field)
            );
            report.faults.push((
                0,
                Fault::file(
                    what,
                    say!("this is a bug of drydock; import its runners one by one"),
                ),
            ));
        }
    }
    if !report.faults.is_empty() {
        return Outcome {
            policies: String::new(),
            report,
            is_complete: false,
        };
    }
    report.findings.extend(conflicts);
    of_charts(&files, &read, &mut report.findings);
    let taken = taken::taken(&read.runners, &written, &in_conflict, &mut report.findings);
    let removed = taken::diffs(&files, &taken, &mut report);
    for (taken, is_removed) in taken.into_iter().zip(removed) {
        report.findings.push(taken.finding(is_removed));
    }
    summary::finish(&files, &read.runners, !policies.is_empty(), &mut report);
    Outcome {
        policies,
        report,
        is_complete: true,
    }
}

/// What was read of all files.
#[derive(Default)]
struct Read {
    runners: Vec<Runner>,
    /// Of each runner: the file and the number of its source.
    sources: Vec<(usize, usize)>,
}

fn read(files: &[File], report: &mut Report) -> Read {
    let mut read = Read::default();
    for file in files {
        for (number, source) in file.sources.iter().enumerate() {
            let Some(config) = &source.config else {
                continue;
            };
            let understood = understand::understand(config, false);
            if !understood.refused.is_empty() {
                let last = say!("the runner refuses this file, so nothing of it is in force");
                report.faults.extend(
                    understood
                        .refused
                        .into_iter()
                        .map(|fault| (source.file, fault)),
                );
                report.faults.push((
                    source.file,
                    Fault::file(last, say!("correct these lines and import again")),
                ));
                continue;
            }
            let meant =
                (!understood.ignored.is_empty()).then(|| understand::understand(config, true).node);
            let ignored = understood.ignored.into_iter().map(|ignored| Finding {
                group: Group::NotTaken,
                places: vec![Place {
                    file: source.file,
                    span: ignored.span,
                    path: ignored.path,
                }],
                what: ignored.what,
                todo: ignored.todo,
            });
            report.findings.extend(ignored);
            let items = |node: &Node| {
                node.at("runners")
                    .map(Node::items)
                    .unwrap_or_default()
                    .to_vec()
            };
            let runners = items(&understood.node);
            if let Some(second) = runners.get(1).filter(|_| source.is_template) {
                let what = say!(
                    "a registration template has exactly one [[runners]]; with two the runner does not register"
                );
                report.faults.push((
                    source.file,
                    Fault::at(second.span.line, second.span.column, what)
                        .with(say!("make a release for each")),
                ));
                continue;
            }
            if runners.is_empty() {
                report
                    .faults
                    .push((source.file, text::no_runner(Sentence::default())));
            }
            let meant = meant.as_ref().map(items).unwrap_or_default();
            let variable = file.variable(source, "RUNNER_NAME");
            let stable = source
                .values
                .as_ref()
                .and_then(chart::stable_name)
                .or(variable.as_deref());
            for (index, node) in runners.iter().enumerate() {
                let Some(mut runner) =
                    runner::read(source, node, meant.get(index), stable, &mut report.findings)
                else {
                    continue;
                };
                runner.is_generated |= !source.lasts || file.is_stdin;
                // The variable decides where the file does not, before the release's namespace.
                if node.find(&["kubernetes", "namespace"]).is_none() {
                    let name = file.variable(source, "KUBERNETES_NAMESPACE");
                    let name = name.and_then(|name| Printable::new(Kind::Name, &name));
                    runner.namespace.name = name.or(runner.namespace.name);
                }
                read.runners.push(runner);
                read.sources.push((source.file, number));
            }
        }
    }
    read
}

fn of_charts(files: &[File], read: &Read, findings: &mut Vec<Finding>) {
    for file in files {
        let all: Vec<&Want> = read
            .runners
            .iter()
            .flat_map(|runner| &runner.wants)
            .collect();
        for (number, source) in file.sources.iter().enumerate() {
            let Some(values) = &source.values else {
                continue;
            };
            let runners = read
                .runners
                .iter()
                .zip(&read.sources)
                .filter(|(_, at)| **at == (source.file, number));
            let wants: Vec<&Want> = runners.flat_map(|(runner, _)| &runner.wants).collect();
            let has_name = chart::stable_name(values).is_some();
            chart::read(source, values, has_name, &wants, findings);
        }
        for manager in &file.managers {
            let mut find = |group, places, what, todo| {
                findings.push(Finding {
                    group,
                    places,
                    what,
                    todo,
                })
            };
            if let Some(aliases) = manager.spec.at("hostAliases") {
                chart::manager_aliases(manager.file, aliases, &all, &mut find);
            }
        }
    }
}
