//! The report, as text, Markdown or JSON.

use super::finding::{Finding, Group, Place};
use super::safe_text::{Message, SafeText};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The form of a report.
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

/// What surrounds the parts of a report for people.
struct Style {
    heading: [&'static str; 2],
    finding: &'static str,
    todo: &'static str,
    /// For commands.
    line: &'static str,
    fence: &'static str,
    escape: fn(&str) -> String,
}

const TEXT: Style = Style {
    heading: ["", "\n"],
    finding: "  ",
    todo: "      ",
    line: "  ",
    fence: "",
    escape: str::to_owned,
};

const MARKDOWN: Style = Style {
    heading: ["## ", "\n\n"],
    finding: "- ",
    todo: "  - ",
    line: "",
    fence: "```",
    escape: escaped,
};

/// The findings of an import, and what to do next.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) files: Vec<SafeText>,
    pub(super) findings: Vec<Finding>,
    pub(super) diff: String,
    /// Commands, in order.
    pub(super) next: Vec<Message>,
    /// Why there is nothing to import.
    pub(super) summary: &'static str,
}

impl Report {
    /// Renders the report.
    #[must_use]
    pub fn render(&self, format: ReportFormat) -> String {
        match format {
            ReportFormat::Text => self.written(&TEXT),
            ReportFormat::Markdown => format!("# Migration report\n\n{}", self.written(&MARKDOWN)),
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

    /// File and lines; of an error line and column.
    fn places(&self, finding: &Finding) -> String {
        let place = |place: &Place| {
            let (file, span) = (self.file(place), place.span);
            let lines = match (finding.group, span.line) {
                (_, 0) => file,
                (Group::Error, line) => format!("{file}:{line}:{}", span.column),
                (_, line) if line == span.last => format!("{file}:{line}"),
                (_, line) => format!("{file}:{line}-{}", span.last),
            };
            match path(place) {
                Some(path) => format!("{lines} ({path})"),
                None => lines,
            }
        };
        let places: Vec<String> = finding.places.iter().map(place).collect();
        places.join(", ")
    }

    fn written(&self, style: &Style) -> String {
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
                .map(|line| format!("{}{line}\n", style.line));
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
            json!({"file": self.file(place), "line": span.line, "lastLine": span.last, "column": span.column, "path": path(place)})
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

/// The keys that lead to a value, if all of them may be printed.
fn path(place: &Place) -> Option<&str> {
    let is_good = |char: char| char.is_ascii_alphanumeric() || "._-/[]".contains(char);
    let path = place.path.as_deref()?;
    (!path.is_empty() && path.len() <= 256 && path.chars().all(is_good)).then_some(path)
}

/// Text that Markdown shows as it is.
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
