//! `drydock test`: test cases for policies, which users run in their own CI.

mod case;
mod print;

use super::{Exit, input};
use case::{Case, Outcome, TestFile};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The name of test files in a folder.
const FILE_NAME: &str = "drydock-test.yaml";

/// Test policies: compare what they do to pods with what you expect.
///
/// `docs/testing-policies.md` describes test files. Exit 0: all cases pass; 1: a case fails; 2: a
/// file cannot be used.
#[derive(Args, Debug)]
pub(super) struct Test {
    /// Test file, or a folder whose files named drydock-test.yaml are run
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// A line for each case, and the differences of those that fail
    #[default]
    Text,
    /// JUnit XML, which GitLab shows in merge requests
    Junit,
}

/// The result of a case.
struct Ran {
    file: String,
    name: String,
    outcome: Outcome,
}

impl Test {
    pub(super) fn run(self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        let mut exit = Exit::Success;
        let mut all = Vec::new();
        for path in files(&self.files)? {
            let file = match TestFile::read(&path) {
                Ok(file) => file,
                Err(error) => {
                    exit = Exit::Error;
                    writeln!(stderr, "error: {error:#}")?;
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
                            name: Case::name(case).to_owned(),
                            outcome,
                        });
                    }
                    Err(error) => {
                        exit = Exit::Error;
                        writeln!(
                            stderr,
                            "error: {}: {}: {error:#}",
                            path.display(),
                            case.name()
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

/// Replaces folders by the test files in them and their subfolders, in the order of their names.
fn files(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in given {
        if path.is_dir() {
            let before = all.len();
            let is_cases = |path: &Path| path.file_name().is_some_and(|name| name == FILE_NAME);
            input::search(path, true, &is_cases, &mut all)?;
            if all.len() == before {
                anyhow::bail!(
                    "{}: no {FILE_NAME} in this folder; name the test file",
                    path.display()
                );
            }
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}
