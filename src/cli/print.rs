//! `drydock print`: the files of an installation, and shell completions.

mod files;

use super::{Cli, Exit, SAMPLE_POLICY};
use crate::core::crd;
use anyhow::Context;
use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;
use files::{BASE, OTHERS};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Print the custom resource definition, the objects of an installation, the sample policy or shell
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
        /// Write the Helm chart and the kustomize base with its components into this folder instead
        #[arg(long, value_name = "FOLDER")]
        write: Option<PathBuf>,
    },
    /// The built-in sample policy
    Policy,
    /// Completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Print {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        match self.what {
            What::Crd => print_crd(out)?,
            What::Manifests { write: None } => print_base(out)?,
            What::Manifests {
                write: Some(folder),
            } => write_files(&folder)?,
            What::Policy => write!(out, "{SAMPLE_POLICY}")?,
            What::Completions { shell } => {
                // The generator panics if it cannot write.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "drydock", &mut script);
                out.write_all(&script)?;
            }
        }
        Ok(Exit::Success)
    }
}

fn print_crd(out: &mut dyn Write) -> anyhow::Result<()> {
    let definition = serde_saphyr::to_string(&crd::definition())
        .context("the definition cannot be written as YAML")?;
    writeln!(
        out,
        "# Printed by `drydock print crd`; change src/core/crd.rs, not this file."
    )?;
    Ok(write!(out, "{definition}")?)
}

fn print_base(out: &mut dyn Write) -> anyhow::Result<()> {
    for (_, text) in BASE {
        // Files that Helm rendered begin with the separator.
        if !text.starts_with("---\n") {
            writeln!(out, "---")?;
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// Writes the files under `manifests/`, and overwrites files of the same names.
fn write_files(folder: &Path) -> anyhow::Result<()> {
    for (path, text) in [BASE, OTHERS].concat() {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| {
                format!(
                    "cannot create the folder {}; give --write a writable folder",
                    parent.display()
                )
            })?;
        }
        std::fs::write(&path, text).with_context(|| {
            format!(
                "cannot write {}; give --write a writable folder",
                path.display()
            )
        })?;
    }
    Ok(())
}
