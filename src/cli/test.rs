//! `drydock test`: pods, policies and what is expected of them, as tests in somebody's own CI.

mod case;
mod print;

use super::{Exit, input};
use case::{Case, Outcome, TestFile};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How a file is called that a folder is searched for.
const FILE_NAME: &str = "drydock-test.yaml";

/// Test policies: run cases of a pod, policies and what is expected.
///
/// `docs/testing-policies.md` says how a file of cases is written. Exit 0: all cases pass; 1: some
/// fail; 2: a file cannot be used.
#[derive(Args, Debug)]
pub(super) struct Test {
    /// File of cases, or a folder in which every drydock-test.yaml is run
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// A line for each case, and what is wrong with those that fail
    #[default]
    Text,
    /// JUnit XML, which GitLab shows in merge requests
    Junit,
}

/// A case that was run.
struct Ran {
    file: String,
    name: String,
    outcome: Outcome,
}

impl Test {
    pub(super) fn run(self, out: &mut impl Write, talk: &mut impl Write) -> anyhow::Result<Exit> {
        let mut exit = Exit::Success;
        let mut all = Vec::new();
        for path in files(&self.files)? {
            let file = match TestFile::read(&path) {
                Ok(file) => file,
                Err(error) => {
                    exit = Exit::Error;
                    writeln!(talk, "error: {error:#}")?;
                    continue;
                }
            };
            for case in &file.cases {
                match file.run(case) {
                    Ok(outcome) => {
                        if !outcome.is_passed() {
                            exit = exit.max(Exit::Findings);
                        }
                        all.push(Ran {
                            file: path.display().to_string(),
                            name: Case::title(case).to_owned(),
                            outcome,
                        });
                    }
                    Err(error) => {
                        exit = Exit::Error;
                        writeln!(
                            talk,
                            "error: {}: {}: {error:#}",
                            path.display(),
                            case.title()
                        )?;
                    }
                }
            }
        }
        match self.output {
            Output::Text => print::text(out, &all)?,
            Output::Junit => print::junit(out, &all)?,
        }
        Ok(exit)
    }
}

/// Folders stand for the files below them, in the order of their names.
fn files(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in given {
        if path.is_dir() {
            let before = all.len();
            let is_cases = |path: &Path| path.file_name().is_some_and(|name| name == FILE_NAME);
            input::search(path, true, &is_cases, &mut all)?;
            if all.len() == before {
                anyhow::bail!(
                    "{}: there is no {FILE_NAME} in this folder; name the file of cases",
                    path.display()
                );
            }
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}
