//! Renders the migration report as text, Markdown or JSON.

use super::finding::{Finding, Group, Place};
use super::safe_text::{Message, SafeText};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The format of a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReportFormat {
    /// For a terminal.
    Text,
    /// For a merge request.
    Markdown,
    /// For programs.
    Json,
}

/// The groups in the order of the report, with their headings and their keys in JSON.
const GROUPS: [(Group, &str, &str); 6] = [
    (Group::Error, "Errors", "errors"),
    (Group::Taken, "Taken over", "takenOver"),
    (Group::Conflict, "Conflicts", "conflicts"),
    (Group::NotTaken, "Not taken over", "notTakenOver"),
    (Group::Dangerous, "Dangerous", "dangerous"),
    (Group::Note, "Notes", "notes"),
];

/// The syntax of the text or the Markdown format.
struct Style {
    /// The text before and after a heading.
    heading: [&'static str; 2],
    /// The prefix of a finding.
    finding: &'static str,
    /// The prefix of the next step of a finding.
    todo: &'static str,
    /// The prefix of a command.
    command: &'static str,
    /// The fence of a code block. Empty if there is none.
    fence: &'static str,
    escape: fn(&str) -> String,
}

const TEXT: Style = Style {
    heading: ["", "\n"],
    finding: "  ",
    todo: "      ",
    command: "  ",
    fence: "",
    escape: str::to_owned,
};

const MARKDOWN: Style = Style {
    heading: ["## ", "\n\n"],
    finding: "- ",
    todo: "  - ",
    command: "",
    fence: "```",
    escape: escaped,
};

/// The findings of an import, with a diff and the next commands.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) files: Vec<SafeText>,
    pub(super) findings: Vec<Finding>,
    pub(super) diff: String,
    /// The commands that put the policies in force, in order.
    pub(super) next: Vec<Message>,
    /// Why there are no policies. Empty if there are policies or errors.
    pub(super) summary: &'static str,
}

impl Report {
    /// Renders the report.
    #[must_use]
    pub fn render(&self, format: ReportFormat) -> String {
        match format {
            ReportFormat::Text => self.text(&TEXT),
            ReportFormat::Markdown => format!("# Migration report\n\n{}", self.text(&MARKDOWN)),
            ReportFormat::Json => format!("{:#}\n", Value::from(self.json())),
        }
    }

    fn of(&self, group: Group) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(move |finding| finding.group == group)
    }

    fn file(&self, place: &Place) -> String {
        let file = self.files.get(place.span.file);
        file.map_or_else(String::new, ToString::to_string)
    }

    /// Returns the files and lines of a finding. For an error, returns file, line and column.
    fn places(&self, finding: &Finding) -> String {
        let place = |place: &Place| {
            let (file, span) = (self.file(place), place.span);
            let lines = match (finding.group, span.line) {
                (_, 0) => file,
                (Group::Error, line) => format!("{file}:{line}:{}", span.column),
                (_, line) if line == span.last_line => format!("{file}:{line}"),
                (_, line) => format!("{file}:{line}-{}", span.last_line),
            };
            match path(place) {
                Some(path) => format!("{lines} ({path})"),
                None => lines,
            }
        };
        let places: Vec<String> = finding.places.iter().map(place).collect();
        places.join(", ")
    }

    fn text(&self, style: &Style) -> String {
        let [before, after] = style.heading;
        let block = |title: &str, language: &str, text: &str| match style.fence {
            "" => format!("{before}{title}{after}{text}"),
            fence => format!("{before}{title}{after}{fence}{language}\n{text}{fence}\n"),
        };
        let mut parts = Vec::new();
        for (group, title, _) in GROUPS {
            let mut text = String::new();
            for finding in self.of(group) {
                let line = format!("{}: {}", self.places(finding), finding.what);
                let _ = writeln!(text, "{}{}", style.finding, (style.escape)(&line));
                if !finding.todo.is_empty() {
                    let todo = (style.escape)(finding.todo.as_str());
                    let _ = writeln!(text, "{}{todo}", style.todo);
                }
            }
            if !text.is_empty() {
                parts.push(format!("{before}{title}{after}{text}"));
            }
        }
        if !self.diff.is_empty() {
            let title = "Lines to remove once the namespace is labelled enforce (patch -p1)";
            parts.push(block(title, "diff", &self.diff));
        }
        if !self.next.is_empty() {
            let lines = self
                .next
                .iter()
                .map(|line| format!("{}{line}\n", style.command));
            let lines: String = lines.collect();
            parts.push(block("Next", "sh", &lines));
        }
        if !self.summary.is_empty() {
            parts.push(format!("{}\n", self.summary));
        }
        parts.join("\n")
    }

    fn json(&self) -> Map<String, Value> {
        let place = |place: &Place| {
            let span = place.span;
            json!({"file": self.file(place), "line": span.line, "lastLine": span.last_line, "column": span.column, "path": path(place)})
        };
        let finding = |finding: &Finding| {
            let places: Vec<Value> = finding.places.iter().map(place).collect();
            json!({"places": places, "what": finding.what.as_str(), "todo": finding.todo.as_str()})
        };
        let mut report = Map::new();
        for (group, _, key) in GROUPS {
            report.insert(key.to_owned(), self.of(group).map(finding).collect());
        }
        let next: Value = self.next.iter().map(Message::as_str).collect();
        report.insert("diff".to_owned(), self.diff.as_str().into());
        report.insert("next".to_owned(), next);
        report.insert("summary".to_owned(), self.summary.into());
        report
    }
}

/// Returns the path of keys of a place, if it may be printed.
fn path(place: &Place) -> Option<&str> {
    let is_good = |char: char| char.is_ascii_alphanumeric() || "._-/[]".contains(char);
    let path = place.path.as_deref()?;
    (!path.is_empty() && path.len() <= 256 && path.chars().all(is_good)).then_some(path)
}

/// Escapes the characters that have a meaning in Markdown.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        if "\\`*_[]<>|#".contains(char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
