//! drydock as a kubectl plugin. If the program, or a symbolic link to it, has the name
//! `kubectl-drydock`, kubectl runs it for `kubectl drydock …`. To complete arguments, kubectl runs
//! a second link, `kubectl_complete-drydock`.
//!
//! Source: <https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>

use clap::Command;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

/// How the program was started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Invocation {
    /// Started by a shell or another program.
    Direct,
    /// Started by kubectl, for `kubectl drydock …`.
    KubectlPlugin,
    /// Started by kubectl, to complete a command line.
    KubectlCompletion,
}

impl Invocation {
    /// Returns the invocation for the name of the program, the first argument of the process.
    pub(super) fn from_program(program: Option<&OsStr>) -> Self {
        let name = program.map(Path::new).and_then(Path::file_stem);
        match name.and_then(OsStr::to_str) {
            Some("kubectl-drydock") => Self::KubectlPlugin,
            Some("kubectl_complete-drydock") => Self::KubectlCompletion,
            _ => Self::Direct,
        }
    }
}

/// Prints completions in the format that kubectl expects: one word per line, then a directive.
pub(super) fn complete(
    command: &Command,
    words: &[OsString],
    out: &mut dyn Write,
) -> io::Result<()> {
    // Values of Cobra's `ShellCompDirective`: whether the shell also completes file names.
    const FILES: u8 = 0;
    const NO_FILES: u8 = 4;
    let words: Vec<&str> = words
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .collect();
    let (last, before) = words.split_last().unwrap_or((&"", &[]));
    let mut command = command;
    for word in before {
        if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        }
    }
    let flags = command.get_arguments().filter_map(|flag| flag.get_long());
    let flags = flags.map(|flag| format!("--{flag}"));
    let inner = command
        .get_subcommands()
        .map(|inner| inner.get_name().to_owned());
    let candidates: Vec<String> = match last.starts_with('-') {
        true => flags.collect(),
        false => inner.collect(),
    };
    for candidate in candidates
        .iter()
        .filter(|candidate| candidate.starts_with(last))
    {
        writeln!(out, "{candidate}")?;
    }
    let directive = match candidates.is_empty() {
        true => FILES,
        false => NO_FILES,
    };
    writeln!(out, ":{directive}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn the_name_of_the_program_shows_how_it_was_started() {
        for (program, invocation) in [
            ("drydock", Invocation::Direct),
            ("/usr/local/bin/kubectl-drydock", Invocation::KubectlPlugin),
            ("kubectl-drydock.exe", Invocation::KubectlPlugin),
            ("kubectl_complete-drydock", Invocation::KubectlCompletion),
        ] {
            let program = OsStr::new(program);
            assert_eq!(Invocation::from_program(Some(program)), invocation);
        }
        assert_eq!(Invocation::from_program(None), Invocation::Direct);
    }

    #[test]
    fn commands_and_flags_are_completed() {
        let completed = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let mut out = Vec::new();
            complete(&Cli::command(), &words, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(completed(&["doc"]), "doctor\n:4\n");
        assert_eq!(completed(&["doctor", "--ti"]), "--time-limit\n:4\n");
        assert_eq!(completed(&["check", ""]), ":0\n");
        assert!(completed(&[]).contains("mutate\n"));
    }
}
