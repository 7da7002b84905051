//! Bytes to text, and what a text is before it is read: TOML, YAML, or something else that is
//! refused by its name.

use super::located::{Lines, small};
use super::printable::{Sentence, say};
use std::fmt;

/// Nothing that configures a runner is larger, and an object of Kubernetes has at most one MiB.
const LARGEST: usize = 8 << 20;

/// Where a runner has its configuration, and how to get it.
const FROM_RUNNER: &str = "kubectl -n NAMESPACE exec deploy/gitlab-runner -- cat /home/gitlab-runner/.gitlab-runner/config.toml | drydock import -";
const FROM_HELM: &str = "helm -n NAMESPACE get values RELEASE | drydock import -";
/// How to get what a template renders to.
pub(super) const RENDERED: &str = "helm -n NAMESPACE get manifest RELEASE | drydock import -";

/// Why a file cannot be read, or a part of it is not what the runner reads. Line 0 is the file as a
/// whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) what: Sentence,
    /// What to try, or what to add.
    pub(super) todo: Sentence,
}

impl Fault {
    pub(super) fn at(line: u32, column: u32, what: Sentence) -> Self {
        Self {
            line,
            column,
            what,
            todo: Sentence::default(),
        }
    }

    pub(super) fn file(what: Sentence, todo: Sentence) -> Self {
        Self {
            line: 0,
            column: 0,
            what,
            todo,
        }
    }

    pub(super) fn with(self, todo: Sentence) -> Self {
        Self { todo, ..self }
    }

    pub(super) fn library(text: &str) -> Sentence {
        Sentence::library(text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        } else {
            f.write_str(" ")?;
        }
        f.write_str(self.what.as_str())?;
        if !self.todo.is_empty() {
            write!(f, "; {}", self.todo.as_str())?;
        }
        Ok(())
    }
}

/// How a file is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    Utf8,
    /// UTF-8 with a byte order mark.
    Marked,
    Utf16,
}

/// Decodes a file.
pub(super) fn decode(bytes: &[u8], is_stdin: bool) -> Result<(String, Encoding), Fault> {
    if bytes.len() > LARGEST {
        let what = say!(
            "has more than {} MiB, which no configuration of a runner has",
            LARGEST >> 20
        );
        return Err(Fault::file(
            what,
            say!(
                "give the runner's own object: kubectl -n NAMESPACE get configmap NAME -o yaml | drydock import -"
            ),
        ));
    }
    if bytes.is_empty() && is_stdin {
        return Err(Fault::file(
            say!("nothing came in on stdin"),
            say!("did the command before the pipe fail?"),
        ));
    }
    let wide = match bytes {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = wide {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        return match String::from_utf16(&units) {
            Ok(text) if odd.is_empty() => Ok((text, Encoding::Utf16)),
            _ => Err(Fault::file(
                say!("begins as UTF-16 and is not"),
                say!("save it as UTF-8"),
            )),
        };
    }
    let (bytes, encoding) = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => (rest, Encoding::Marked),
        _ => (bytes, Encoding::Utf8),
    };
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let lines = bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
        let todo = say!("give the configuration as UTF-8 text; UTF-16 needs its byte order mark");
        return Err(
            Fault::at(small(lines + 1), 1, say!("is binary: a zero byte is here")).with(todo),
        );
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok((text.to_owned(), encoding)),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let (line, column) = Lines::of(&String::from_utf8_lossy(good)).position(good.len());
            let todo = say!("convert it, as from Latin-1: iconv -f latin1 -t utf-8");
            Err(Fault::at(line, column, say!("is not UTF-8 from here")).with(todo))
        }
    }
}

/// How a text is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Toml,
    Yaml,
}

/// Says what a text is; `name` is that of its file.
pub(super) fn format(name: &str, text: &str, is_stdin: bool) -> Result<Format, Fault> {
    let from_runner = || say!("import what the runner has: {}", FROM_RUNNER);
    if text.trim().is_empty() {
        let what = if text.is_empty() {
            say!("is empty")
        } else {
            say!("has only blanks")
        };
        let todo = if is_stdin {
            say!("did the command before the pipe fail?")
        } else {
            from_runner()
        };
        return Err(Fault::file(what, todo));
    }
    let name = name.to_ascii_lowercase();
    let has_end = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let lines = || text.lines().map(str::trim);
    let is_content = |line: &&str| {
        !(line.is_empty() || line.starts_with(['#', '%']) || matches!(*line, "---" | "..."))
    };
    let refused =
        |what: &'static str, todo: Sentence| Err(Fault::file(say!("looks like {}", what), todo));
    if text.starts_with("#!") || has_end(&[".sh", ".bash"]) {
        return refused("a shell script", from_runner());
    }
    let is_block = |line: &str| {
        let words = [
            "resource \"",
            "variable \"",
            "module \"",
            "provider \"",
            "data \"",
            "output \"",
            "locals {",
            "terraform {",
        ];
        words.iter().any(|word| line.starts_with(word))
    };
    if has_end(&[".tf", ".hcl", ".tfvars"]) || lines().any(is_block) {
        return refused(
            "Terraform (HCL)",
            say!("import the values that Helm has: {}", FROM_HELM),
        );
    }
    if has_end(&[".md", ".markdown"]) || text.lines().any(|line| line.starts_with("```")) {
        return refused(
            "Markdown",
            say!(
                "copy the block with the configuration into a file of its own, or {}",
                from_runner()
            ),
        );
    }
    if let Some(number) = lines().position(is_directive) {
        let what = say!("is a Terraform template: a %{{ }} directive is here");
        return Err(
            Fault::at(small(number + 1), 1, what).with(say!("import it rendered: {}", FROM_HELM))
        );
    }
    let Some(first) = lines()
        .filter(|line| !line.starts_with("{{"))
        .find(is_content)
    else {
        let is_template = text.contains("{{");
        let what = if is_template {
            say!("has only a template")
        } else {
            say!("has only comments")
        };
        return Err(Fault::file(
            what,
            if is_template {
                say!("{}", RENDERED)
            } else {
                from_runner()
            },
        ));
    };
    let is_key = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || "_-.\"'/ ".contains(char))
    };
    let key = first.split('=').next().unwrap_or_default().trim_end();
    let is_assignment =
        first.contains('=') && is_key(key) && (!key.contains(' ') || key.starts_with(['"', '\'']));
    let is_header = first.starts_with('[')
        && !first
            .trim_start_matches('[')
            .trim_start()
            .starts_with(['{', '"'])
        && first.contains(']');
    if is_assignment || is_header {
        return Ok(Format::Toml);
    }
    let command = first.split_whitespace().next().unwrap_or_default();
    if [
        "helm",
        "kubectl",
        "gitlab-runner",
        "docker",
        "cat",
        "export",
        "set",
        "sudo",
        "curl",
        "apt-get",
    ]
    .contains(&command)
        && !command.ends_with(':')
    {
        return refused("a shell script", from_runner());
    }
    if first.starts_with('<') {
        return refused("HTML or XML", from_runner());
    }
    let is_yaml = first.starts_with(['{', '[', '-', '&', '!', '"']) || first.contains(':');
    match (is_yaml, has_end(&[".toml"])) {
        (_, true) => Ok(Format::Toml),
        (true, false) => Ok(Format::Yaml),
        _ if has_end(&[".yaml", ".yml", ".json"]) => Ok(Format::Yaml),
        _ => refused("neither TOML nor YAML", from_runner()),
    }
}

/// Whether a line has a directive of a Terraform template, and not the format of a command
/// (`%{http_code}`).
fn is_directive(line: &str) -> bool {
    line.split("%{").skip(1).any(|rest| {
        let word: String = rest
            .trim_start_matches(['~', ' '])
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect();
        let ends = rest
            .trim_start_matches(['~', ' '])
            .get(word.len()..)
            .is_some_and(|rest| rest.starts_with([' ', '~', '}']));
        ends && ["if", "for", "else", "endif", "endfor"].contains(&word.as_str())
    })
}

/// Says that a fault is of a Terraform template, where its line has a variable of one.
pub(super) fn explained(fault: Fault, text: &str, line: u32) -> Fault {
    let index = usize::try_from(line).unwrap_or_default();
    let at = index
        .checked_sub(1)
        .and_then(|index| text.lines().nth(index))
        .unwrap_or_default();
    if at.contains("${") {
        let what = say!("is a Terraform template: a ${{ }} that is not in quotes is here");
        return Fault { what, ..fault }.with(say!("import it rendered: {}", FROM_HELM));
    }
    fault
}

/// What to do with a file that has no runner in it.
pub(super) fn no_runner(seen: Sentence) -> Fault {
    let todo = say!(
        "import what the runner has: {}, or {}",
        FROM_RUNNER,
        FROM_HELM
    );
    let what = if seen.is_empty() {
        say!("has no runner: neither [[runners]] nor values of the chart")
    } else {
        seen
    };
    Fault::file(what, todo)
}
