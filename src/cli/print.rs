//! `drydock print`: prints the files of an installation, or shell completions.

mod files;

use super::{Cli, Exit, SAMPLE_POLICY};
use crate::core::crd;
use anyhow::Context;
use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;
use files::{BASE, OTHERS};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Print the CustomResourceDefinition, the objects of an installation, the sample policy or shell
/// completions.
#[derive(Args, Debug)]
pub(super) struct Print {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The CustomResourceDefinition of JobPodPolicy, in YAML
    Crd,
    /// The objects of an installation, in YAML for `kubectl apply -f -`
    Manifests {
        /// Write the Helm chart and the kustomize base with its components to this directory
        /// instead
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
    /// The built-in sample policy
    Policy,
    /// Shell completions
    Completions {
        /// Shell for which to print completions
        shell: Shell,
    },
}

impl Print {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        match self.what {
            What::Crd => print_crd(out)?,
            What::Manifests { write: None } => print_base(out)?,
            What::Manifests {
                write: Some(directory),
            } => write_files(&directory)?,
            What::Policy => write!(out, "{SAMPLE_POLICY}")?,
            What::Completions { shell } => {
                // `generate` panics on a write error, so it must not write to `out`.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "drydock", &mut script);
                out.write_all(&script)?;
            }
        }
        Ok(Exit::Success)
    }
}

fn print_crd(out: &mut dyn Write) -> anyhow::Result<()> {
    let definition = serde_json::to_value(crd::definition())?;
    let definition = serde_saphyr::to_string(&definition)
        .context("the CustomResourceDefinition cannot be serialized as YAML")?;
    writeln!(
        out,
        "# Printed by `drydock print crd`; change src/core/crd.rs, not this file."
    )?;
    Ok(write!(out, "{definition}")?)
}

fn print_base(out: &mut dyn Write) -> anyhow::Result<()> {
    for (_, text) in BASE {
        // Files that Helm rendered already begin with this separator.
        if !text.starts_with("---\n") {
            writeln!(out, "---")?;
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// Writes the files under `manifests/`. Overwrites existing files.
fn write_files(directory: &Path) -> anyhow::Result<()> {
    for (path, text) in [BASE, OTHERS].concat() {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| {
                format!(
                    "--write: cannot create the directory {} (use a writable directory)",
                    parent.display()
                )
            })?;
        }
        std::fs::write(&path, text).with_context(|| {
            format!(
                "--write: cannot write {} (use a writable directory)",
                path.display()
            )
        })?;
    }
    Ok(())
}
