//! `drydock check`: reports every error of policy files, overrides between policies, and hints.

use super::Exit;
use super::input;
use crate::core::policy::{LiveAddresses, PolicySet};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Check policy files: exit 1 on findings.
///
/// Hints and overrides between policies are printed but are no findings.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// File with JobPodPolicy objects; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub(super) fn run(self, out: &mut impl Write, stderr: &mut impl Write) -> anyhow::Result<Exit> {
        let mut exit = Exit::Good;
        let mut texts = Vec::new();
        for input in input::read_all(self.files.iter())? {
            match input.text {
                Ok(text) => texts.push((input.name, text)),
                Err(error) => {
                    exit = Exit::Error;
                    writeln!(stderr, "{error:#}")?;
                }
            }
        }
        let read = input::policies(&texts);
        for error in &read.errors {
            exit = exit.max(Exit::Findings);
            writeln!(out, "error: {error}")?;
        }
        let set = PolicySet::new(read.policies, &LiveAddresses::new());
        for overridden in set.overrides() {
            writeln!(out, "note: where both match, {overridden}")?;
        }
        for hint in set.policies().flat_map(crate::core::policy::hints) {
            writeln!(out, "hint: {hint}")?;
        }
        let count = set.policies().count();
        writeln!(
            stderr,
            "{count} {} valid, {} {}",
            plural(count, "policy is", "policies are"),
            read.errors.len(),
            plural(read.errors.len(), "error", "errors")
        )?;
        Ok(exit)
    }
}

fn plural<'w>(count: usize, one: &'w str, many: &'w str) -> &'w str {
    if count == 1 { one } else { many }
}
