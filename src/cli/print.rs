//! `drydock print`: what is committed under `manifests/`, from typed values, and shell completions.

use super::{Cli, Exit, SAMPLE_POLICY};
use crate::crd;
use anyhow::Context;
use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;
use std::io::Write;

/// Print the custom resource definition, the sample policy or shell completions.
#[derive(Args, Debug)]
pub(super) struct Print {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The CustomResourceDefinition of JobPodPolicy, in YAML
    Crd,
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
            What::Crd => write!(out, "{}", crd_yaml()?)?,
            What::Policy => write!(out, "{SAMPLE_POLICY}")?,
            What::Completions { shell } => {
                clap_complete::generate(shell, &mut Cli::command(), "drydock", out)
            }
        }
        Ok(Exit::Good)
    }
}

fn crd_yaml() -> anyhow::Result<String> {
    let yaml = serde_saphyr::to_string(&crd::definition())
        .context("the definition cannot be written as YAML")?;
    Ok(format!(
        "# Printed by `drydock print crd`; change src/crd.rs, not this file.\n{yaml}"
    ))
}
