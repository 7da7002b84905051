//! The report, as text, Markdown or JSON.

use super::finding::{Finding, Group, Place};
use super::printable::{Printable, Sentence};
use super::text::Fault;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How a report is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReportFormat {
    /// For a terminal.
    Text,
    /// For a merge request.
    Markdown,
    /// For programs.
    Json,
}

/// What an import says: the findings, or why there are none.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) files: Vec<Printable>,
    pub(super) findings: Vec<Finding>,
    /// What is worth knowing about a file as a whole.
    pub(super) notes: Vec<(usize, Sentence)>,
    pub(super) diff: String,
    /// Commands, in order.
    pub(super) next: Vec<Sentence>,
    pub(super) faults: Vec<(usize, Fault)>,
    /// What the import came to.
    pub(super) summary: Sentence,
}

impl Report {
    /// Renders the report.
    #[must_use]
    pub fn render(&self, format: ReportFormat) -> String {
        match format {
            ReportFormat::Text => self.text(),
            ReportFormat::Markdown => self.markdown(),
            ReportFormat::Json => format!("{:#}\n", self.json()),
        }
    }

    fn file(&self, index: usize) -> String {
        self.files
            .get(index)
            .map_or_else(String::new, ToString::to_string)
    }

    fn place(&self, place: &Place) -> String {
        let (file, span) = (self.file(place.file), place.span);
        let lines = if span.line == span.last {
            format!("{file}:{}", span.line)
        } else {
            format!("{file}:{}-{}", span.line, span.last)
        };
        match place.path.as_deref().and_then(path) {
            Some(path) => format!("{lines} ({path})"),
            None => lines,
        }
    }

    fn faults(&self) -> String {
        let mut text = String::new();
        for (file, fault) in &self.faults {
            let _ = writeln!(text, "error: {}:{fault}", self.file(*file));
        }
        text
    }

    fn of(&self, group: Group) -> Vec<&Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.group == group)
            .collect()
    }

    fn places(&self, finding: &Finding) -> String {
        let places: Vec<String> = finding
            .places
            .iter()
            .map(|place| self.place(place))
            .collect();
        places.join(", ")
    }

    fn text(&self) -> String {
        let mut text = self.faults();
        for group in Group::ALL {
            let findings = self.of(group);
            if findings.is_empty() {
                continue;
            }
            let _ = writeln!(text, "{} ({})", group.title(), findings.len());
            for finding in findings {
                let _ = writeln!(
                    text,
                    "  {}: {}",
                    self.places(finding),
                    finding.what.as_str()
                );
                if !finding.todo.is_empty() {
                    let _ = writeln!(text, "      {}", finding.todo.as_str());
                }
            }
            text.push('\n');
        }
        for (file, note) in &self.notes {
            let _ = writeln!(text, "note: {}: {}", self.file(*file), note.as_str());
        }
        if !self.diff.is_empty() {
            let _ = write!(
                text,
                "lines to remove once the namespace is labelled enforce (patch -p0 applies this):\n\n{}\n",
                self.diff
            );
        }
        if !self.next.is_empty() {
            text.push_str("next:\n");
            self.next.iter().for_each(|line| {
                let _ = writeln!(text, "  {}", line.as_str());
            });
        }
        if !self.summary.is_empty() {
            let _ = writeln!(text, "{}", self.summary.as_str());
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::from("# Migration report\n");
        for (file, fault) in &self.faults {
            let _ = write!(
                text,
                "\n- **error** {}:{}\n",
                escaped(&self.file(*file)),
                escaped(&fault.to_string())
            );
        }
        for group in Group::ALL {
            let findings = self.of(group);
            if findings.is_empty() {
                continue;
            }
            let _ = write!(
                text,
                "\n## {}{}\n\n",
                group.title().get(..1).unwrap_or_default().to_uppercase(),
                group.title().get(1..).unwrap_or_default()
            );
            for finding in findings {
                let _ = writeln!(
                    text,
                    "- {}: {}",
                    escaped(&self.places(finding)),
                    escaped(finding.what.as_str())
                );
                if !finding.todo.is_empty() {
                    let _ = writeln!(text, "  - {}", escaped(finding.todo.as_str()));
                }
            }
        }
        if !self.notes.is_empty() {
            text.push_str("\n## Notes\n\n");
            for (file, note) in &self.notes {
                let _ = writeln!(
                    text,
                    "- {}: {}",
                    escaped(&self.file(*file)),
                    escaped(note.as_str())
                );
            }
        }
        if !self.diff.is_empty() {
            let _ = write!(
                text,
                "\n## Lines to remove\n\nOnce the namespace is labelled `enforce`:\n\n```diff\n{}```\n",
                self.diff
            );
        }
        if !self.next.is_empty() {
            text.push_str("\n## Next\n\n```sh\n");
            self.next.iter().for_each(|line| {
                let _ = writeln!(text, "{}", line.as_str());
            });
            text.push_str("```\n");
        }
        if !self.summary.is_empty() {
            let _ = write!(text, "\n{}\n", escaped(self.summary.as_str()));
        }
        text
    }

    fn json(&self) -> Value {
        let place = |place: &Place| {
            let span = place.span;
            json!({"file": self.file(place.file), "line": span.line, "lastLine": span.last, "column": span.column, "path": place.path.as_deref().and_then(path)})
        };
        let finding = |finding: &&Finding| {
            let places: Vec<Value> = finding.places.iter().map(place).collect();
            json!({"places": places, "what": finding.what.as_str(), "todo": finding.todo.as_str()})
        };
        let mut report = serde_json::Map::new();
        for group in Group::ALL {
            let findings: Vec<Value> = self.of(group).iter().map(finding).collect();
            report.insert(group.name().to_owned(), findings.into());
        }
        let notes: Vec<Value> = self
            .notes
            .iter()
            .map(|(file, note)| json!({"file": self.file(*file), "what": note.as_str()}))
            .collect();
        let next: Vec<&str> = self.next.iter().map(Sentence::as_str).collect();
        let errors: Vec<Value> = self
            .faults
            .iter()
            .map(|(file, fault)| json!({"file": self.file(*file), "line": fault.line, "column": fault.column, "what": fault.what.as_str(), "todo": fault.todo.as_str()}))
            .collect();
        report.extend([
            ("notes".to_owned(), notes.into()),
            ("diff".to_owned(), self.diff.as_str().into()),
            ("next".to_owned(), next.into()),
            ("errors".to_owned(), errors.into()),
            ("summary".to_owned(), self.summary.as_str().into()),
        ]);
        report.into()
    }
}

/// The keys that lead to a value, where each of them may be printed.
fn path(path: &str) -> Option<String> {
    let is_good = |char: char| char.is_ascii_alphanumeric() || "._-/[]".contains(char);
    (!path.is_empty() && path.len() <= 256 && path.chars().all(is_good)).then(|| path.to_owned())
}

/// Text that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        if matches!(
            char,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#'
        ) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
