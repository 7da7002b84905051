//! `drydock print`: what is committed under `manifests/`, from typed values, and shell completions.

use super::{Cli, Exit, SAMPLE_POLICY};
use crate::manifests;
use anyhow::Context;
use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Print the custom resource definition, the objects of an installation, the sample policy or shell completions.
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
        /// Write the files of an installation, components among them, into this folder instead, for `kubectl apply -k`
        #[arg(long, value_name = "FOLDER")]
        write: Option<PathBuf>,
    },
    /// The sample policy, which is also the built-in one
    Policy,
    /// Completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Print {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self.what {
            What::Crd => write!(out, "{}", manifests::crd()?)?,
            What::Manifests { write: None } => write!(out, "{}", manifests::stream()?)?,
            What::Manifests {
                write: Some(folder),
            } => write_files(&folder)?,
            What::Policy => write!(out, "{SAMPLE_POLICY}")?,
            What::Completions { shell } => {
                clap_complete::generate(shell, &mut Cli::command(), "drydock", out)
            }
        }
        Ok(Exit::Good)
    }
}

/// Writes what is to be committed under `manifests/`. A file that is there is replaced, and no other is touched.
fn write_files(folder: &Path) -> anyhow::Result<()> {
    for file in manifests::files()? {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| {
                format!(
                    "{} cannot be made a folder; give --write one that can be written to",
                    parent.display()
                )
            })?;
        }
        std::fs::write(&path, &file.text).with_context(|| {
            format!(
                "{} cannot be written; give --write a folder that can",
                path.display()
            )
        })?;
    }
    Ok(())
}
