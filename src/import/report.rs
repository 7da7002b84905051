//! The report, as text, Markdown or JSON.

use super::finding::{Finding, Group, Place};
use super::printable::{Printable, Sentence};
use serde_json::{Map, Value, json};
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

/// The groups in the order of the report, with their headings and their keys in JSON.
const GROUPS: [(Group, &str, &str); 4] = [
    (Group::Taken, "Taken over", "takenOver"),
    (Group::Conflict, "Conflicts", "conflicts"),
    (Group::NotTaken, "Not taken over", "notTakenOver"),
    (Group::Dangerous, "Dangerous", "dangerous"),
];

/// What an import says: the findings, or why there are none.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) files: Vec<Printable>,
    pub(super) findings: Vec<Finding>,
    pub(super) diff: String,
    /// Commands, in order.
    pub(super) next: Vec<Sentence>,
    /// What the import came to.
    pub(super) summary: &'static str,
}

impl Report {
    /// Renders the report.
    #[must_use]
    pub fn render(&self, format: ReportFormat) -> String {
        match format {
            ReportFormat::Text => self.text(),
            ReportFormat::Markdown => self.markdown(),
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

    fn text(&self) -> String {
        let mut text = String::new();
        for finding in self.of(Group::Error) {
            let (places, what) = (self.places(finding), &finding.what);
            let hint = if finding.todo.is_empty() { "" } else { "; " };
            let _ = writeln!(text, "error: {places}: {what}{hint}{}", finding.todo);
        }
        for (group, title, _) in GROUPS {
            let count = self.of(group).count();
            if count > 0 {
                let _ = writeln!(text, "{} ({count})", title.to_lowercase());
                self.list(group, ["  ", "      "], str::to_owned, &mut text);
                text.push('\n');
            }
        }
        self.list(Group::Note, ["note: ", "      "], str::to_owned, &mut text);
        if !self.diff.is_empty() {
            let head =
                "lines to remove once the namespace is labelled enforce (patch -p0 applies this):";
            let _ = writeln!(text, "{head}\n\n{}", self.diff);
        }
        if !self.next.is_empty() {
            let next: Vec<String> = self.next.iter().map(|line| format!("  {line}\n")).collect();
            let _ = write!(text, "next:\n{}", next.concat());
        }
        if !self.summary.is_empty() {
            let _ = writeln!(text, "{}", self.summary);
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::from("# Migration report\n");
        let (errors, notes) = ((Group::Error, "Errors", ""), (Group::Note, "Notes", ""));
        for (group, title, _) in [errors].into_iter().chain(GROUPS).chain([notes]) {
            if self.of(group).next().is_some() {
                let _ = write!(text, "\n## {title}\n\n");
                self.list(group, ["- ", "  - "], escaped, &mut text);
            }
        }
        if !self.diff.is_empty() {
            let head = "\n## Lines to remove\n\nOnce the namespace is labelled `enforce`:\n";
            let _ = write!(text, "{head}\n```diff\n{}```\n", self.diff);
        }
        if !self.next.is_empty() {
            let next: Vec<String> = self.next.iter().map(|line| format!("{line}\n")).collect();
            let _ = write!(text, "\n## Next\n\n```sh\n{}```\n", next.concat());
        }
        if !self.summary.is_empty() {
            let _ = write!(text, "\n{}\n", self.summary);
        }
        text
    }

    /// Lists the findings of a group, with a mark before each and before what to do.
    fn list(&self, group: Group, marks: [&str; 2], shown: fn(&str) -> String, text: &mut String) {
        let [mark, before_todo] = marks;
        for finding in self.of(group) {
            let line = format!("{}: {}", self.places(finding), finding.what);
            let _ = writeln!(text, "{mark}{}", shown(&line));
            if !finding.todo.is_empty() {
                let _ = writeln!(text, "{before_todo}{}", shown(finding.todo.as_str()));
            }
        }
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
        // One place, whose fields are those of the object.
        let at_one_place = |finding: &Finding| {
            let mut object = finding.places.first().map(place).unwrap_or_default();
            if let Some(fields) = object.as_object_mut() {
                fields.insert("what".to_owned(), finding.what.as_str().into());
                fields.insert("todo".to_owned(), finding.todo.as_str().into());
            }
            object
        };
        let groups = GROUPS.into_iter().map(|(group, _, key)| {
            (
                key.to_owned(),
                self.of(group).map(finding).collect::<Value>(),
            )
        });
        let mut report: Map<String, Value> = groups.collect();
        let next: Vec<&str> = self.next.iter().map(Sentence::as_str).collect();
        report.extend([
            (
                "notes".to_owned(),
                self.of(Group::Note).map(at_one_place).collect(),
            ),
            ("diff".to_owned(), self.diff.as_str().into()),
            ("next".to_owned(), next.into()),
            (
                "errors".to_owned(),
                self.of(Group::Error).map(at_one_place).collect(),
            ),
            ("summary".to_owned(), self.summary.into()),
        ]);
        report
    }
}

/// The keys that lead to a value, where each of them may be printed.
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
