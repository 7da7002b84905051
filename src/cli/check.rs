//! `drydock check`: reports errors and warnings of policy files, policies that override others, and
//! hints.

use super::input::{self, Input};
use super::{Exit, terminal};
use crate::core::policy::{self, AddressesBySource, PolicyError, PolicySet};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Check policy files; exit with code 1 if there are findings.
///
/// Errors and warnings are findings. The API server refuses a policy that has errors. Hints, and
/// notes about policies that override others, are not findings. In a directory, the files *.yaml,
/// *.yml and *.json are read, and objects of other kinds are ignored.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// File with JobPodPolicy objects, a directory, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "filenames")]
    files: Vec<PathBuf>,

    /// Same as FILE, as in kubectl. Can be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    filenames: Vec<PathBuf>,

    /// Also read subdirectories
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Output {
    /// One line per finding
    #[default]
    Text,
    /// One JSON object
    Json,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
    Hint,
    Note,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
            Self::Note => "note",
        }
    }
}

#[derive(Serialize)]
struct Finding {
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    message: String,
    /// The line of the text output.
    #[serde(skip)]
    line: String,
}

impl Finding {
    fn new(severity: Severity, error: PolicyError) -> Self {
        Self {
            line: error.to_string(),
            severity,
            file: Some(error.file),
            place: Some(error.place),
            policy: error.policy,
            message: error.problem,
        }
    }
}

#[derive(Default, Serialize)]
struct Summary {
    valid: usize,
    errors: usize,
    warnings: usize,
    unreadable_files: usize,
    objects_of_other_kinds: usize,
}

impl Check {
    pub(super) fn run(self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        let files = self.files.iter().chain(&self.filenames);
        let inputs = input::read_with_directories(files, self.recursive)?;
        let mut summary = Summary::default();
        let mut findings = Vec::new();
        let (mut texts, mut in_directories) = (Vec::new(), Vec::new());
        for Input {
            name,
            text,
            is_in_directory,
        } in inputs
        {
            match text {
                Ok(text) => {
                    if is_in_directory {
                        in_directories.push(name.clone());
                    }
                    texts.push((name, text));
                }
                Err(error) => {
                    summary.unreadable_files += 1;
                    let message = format!("{error:#}");
                    findings.push(Finding {
                        severity: Severity::Error,
                        file: Some(name),
                        place: None,
                        policy: None,
                        line: message.clone(),
                        message,
                    });
                }
            }
        }
        let read = input::policies(&texts);
        for error in read.errors {
            if error.is_of_another_kind && in_directories.contains(&error.file) {
                summary.objects_of_other_kinds += 1;
            } else {
                summary.errors += 1;
                findings.push(Finding::new(Severity::Error, error));
            }
        }
        let ignored = read.ignored.into_iter();
        findings.extend(ignored.map(|error| Finding::new(Severity::Warning, error)));
        let set = PolicySet::new(read.policies, &AddressesBySource::new());
        for overridden in set.overrides() {
            let message = format!("{overridden} where both policies match");
            findings.push(Finding {
                severity: Severity::Note,
                file: None,
                place: None,
                policy: Some(overridden.policy.name.clone()),
                line: message.clone(),
                message,
            });
        }
        for hint in set.policies().flat_map(policy::hints) {
            let (file, place) = read.places.get(&hint.policy).cloned().unwrap_or_default();
            let error = PolicyError {
                file,
                place,
                policy: Some(hint.policy),
                problem: format!("{}: {}", hint.field, hint.problem),
                is_of_another_kind: false,
            };
            findings.push(Finding::new(Severity::Hint, error));
        }
        summary.valid = set.policies().count();
        let is_warning = |finding: &&Finding| finding.severity == Severity::Warning;
        summary.warnings = findings.iter().filter(is_warning).count();
        match self.output {
            Output::Text => print(&findings, &summary, out, stderr)?,
            Output::Json => {
                let whole = serde_json::json!({"findings": findings, "summary": summary});
                serde_json::to_writer_pretty(&mut *out, &whole).context("stdout")?;
                writeln!(out)?;
            }
        }
        Ok(match summary {
            Summary {
                unreadable_files: 1..,
                ..
            } => Exit::Error,
            Summary {
                errors: 0,
                warnings: 0,
                ..
            } => Exit::Success,
            _ => Exit::Findings,
        })
    }
}

/// Prints findings to `out`. Prints errors of unreadable files, and the summary, to `stderr`.
fn print(
    findings: &[Finding],
    summary: &Summary,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> anyhow::Result<()> {
    for Finding {
        severity,
        place,
        policy,
        line,
        ..
    } in findings
    {
        let is_file = place.is_none() && policy.is_none();
        let line = format!("{}: {line}\n", severity.name());
        match is_file {
            true => stderr.write_all(line.as_bytes())?,
            false => out.write_all(terminal::fit(&line, 2).as_bytes())?,
        }
    }
    // On a terminal, the summary on stderr must come after the findings.
    out.flush()?;
    let Summary {
        valid,
        errors,
        warnings,
        unreadable_files,
        objects_of_other_kinds,
    } = *summary;
    let mut line = format!(
        "{}, {}",
        count(valid, "policy is valid", "policies are valid"),
        count(errors, "error", "errors")
    );
    for (number, one, many) in [
        (warnings, "warning", "warnings"),
        (
            unreadable_files,
            "file cannot be read",
            "files cannot be read",
        ),
        (
            objects_of_other_kinds,
            "object of another kind was ignored",
            "objects of other kinds were ignored",
        ),
    ] {
        if number > 0 {
            line += &format!(", {}", count(number, one, many));
        }
    }
    Ok(writeln!(stderr, "{line}")?)
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
