//! `drydock test`: runs test cases for policies.

mod case;
mod print;

use super::{Exit, input};
use case::{CaseResult, TestFile};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The name of test files in a directory.
const FILE_NAME: &str = "drydock-test.yaml";

/// Test policies: check that they change pods as expected.
///
/// `docs/testing-policies.md` describes test files. Exit codes: 0 all cases pass, 1 a case fails, 2
/// a file cannot be used.
#[derive(Args, Debug)]
pub(super) struct Test {
    /// Test file, or a directory, in which all files named drydock-test.yaml are run
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// One line per case, and the differences of failed cases
    #[default]
    Text,
    /// JUnit XML, which GitLab shows in merge requests
    Junit,
}

/// A case that has run.
struct FinishedCase {
    file: String,
    name: String,
    result: CaseResult,
}

impl Test {
    pub(super) fn run(self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        let mut exit = Exit::Success;
        let mut finished = Vec::new();
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
                    Ok(result) => {
                        if !result.is_passed() {
                            exit = exit.max(Exit::Findings);
                        }
                        finished.push(FinishedCase {
                            file: path.display().to_string(),
                            name: case.name.clone(),
                            result,
                        });
                    }
                    Err(error) => {
                        exit = Exit::Error;
                        writeln!(
                            stderr,
                            "error: {}: {}: {error:#}",
                            path.display(),
                            case.name
                        )?;
                    }
                }
            }
        }
        match self.output {
            Output::Text => print::text(out, &finished)?,
            Output::Junit => print::junit(out, &finished)?,
        }
        Ok(exit)
    }
}

/// Returns the given files. Replaces each directory with the test files in it and its
/// subdirectories, in the order of their names.
fn files(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in given {
        if path.is_dir() {
            let before = all.len();
            let is_test_file = |path: &Path| path.file_name().is_some_and(|name| name == FILE_NAME);
            input::search(path, true, &is_test_file, &mut all)?;
            if all.len() == before {
                anyhow::bail!(
                    "{}: no {FILE_NAME} in this directory; give the test file",
                    path.display()
                );
            }
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}
