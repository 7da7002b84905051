//! The report of `drydock doctor`: sections of checks. Each check has a level.

use serde::Serialize;

/// The result of a diagnosis.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The sections, in the order in which they are printed.
    pub sections: Vec<Section>,
}

/// The checks of one topic.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The checks; at least one.
    pub checks: Vec<Check>,
}

/// One check: a fact, a passed check, or a finding.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// A stable name, for scripts.
    pub name: &'static str,
    /// The result of the check.
    pub level: Level,
    /// The checked object, as in `kubectl get`: `namespace/ci`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What was checked or found, in one line.
    pub text: String,
    /// The rows of a table, each a list of cells. The first row has the headings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub table: Vec<Vec<String>>,
    /// Further lines, such as an error message from the API server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What the finding means for a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// Commands to run next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

/// The result of a check, in order of increasing severity.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Information, perhaps with advice.
    Info,
    /// The check passed.
    Good,
    /// Jobs run, but something is wrong or could not be checked.
    Warning,
    /// Jobs fail or are not repaired.
    Error,
}

impl Level {
    /// Returns whether a check with this level is a finding.
    #[must_use]
    pub fn is_finding(self) -> bool {
        self >= Self::Warning
    }
}

impl Report {
    /// Returns the checks of all sections.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.sections.iter().flat_map(|section| &section.checks)
    }

    /// Returns the number of checks of a level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.checks().filter(|check| check.level == level).count()
    }

    /// Returns the worst level of all checks.
    #[must_use]
    pub fn worst(&self) -> Level {
        let levels = self.checks().map(|check| check.level);
        levels.max().unwrap_or(Level::Good)
    }
}

impl Section {
    /// Creates a section.
    #[must_use]
    pub fn new(title: &'static str, checks: Vec<Check>) -> Self {
        Self { title, checks }
    }
}

impl Check {
    /// Creates a check that passed.
    #[must_use]
    pub fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Level::Good, text)
    }

    /// Creates a check that states a fact.
    #[must_use]
    pub fn info(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Level::Info, text)
    }

    pub(super) fn new(name: &'static str, level: Level, text: impl Into<String>) -> Self {
        Self {
            name,
            level,
            object: None,
            text: text.into(),
            table: Vec::new(),
            details: Vec::new(),
            meaning: None,
            next: Vec::new(),
        }
    }

    /// Sets the table.
    #[must_use]
    pub fn table(mut self, rows: Vec<Vec<String>>) -> Self {
        self.table = rows;
        self
    }

    /// Adds lines to the details.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// Sets the checked object, unless it is set already.
    #[must_use]
    pub fn about(mut self, object: impl Into<String>) -> Self {
        self.object.get_or_insert_with(|| object.into());
        self
    }

    /// Adds advice to a fact or a passed check.
    #[must_use]
    pub fn advice(mut self, text: impl Into<String>) -> Self {
        self.meaning = Some(text.into());
        self
    }
}
