//! What is found: sections of checks, each with its level.

use serde::Serialize;

/// All checks, in the order in which they are read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Sections that have checks.
    pub sections: Vec<Section>,
}

/// Checks of one topic.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Its checks; at least one.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// A stable name, for scripts.
    pub name: &'static str,
    /// How it is.
    pub level: Level,
    /// The object it is about, as `kubectl` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// One line.
    pub text: String,
    /// Lines that belong to it and are not wrapped: a table, a text of the API server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What it means for a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// Commands to run next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

/// How a check ended. The worst of several counts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Jobs run, but not all is as it should be, or it could not be read.
    Warning,
    /// Jobs fail, or are not repaired.
    Error,
}

impl Report {
    /// Returns all checks.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.sections.iter().flat_map(|section| &section.checks)
    }

    /// Returns how many checks ended so.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.checks().filter(|check| check.level == level).count()
    }

    /// Returns the worst level.
    #[must_use]
    pub fn worst(&self) -> Level {
        let levels = self.checks().map(|check| check.level);
        levels.max().unwrap_or(Level::Good)
    }
}

impl Section {
    /// Makes one.
    #[must_use]
    pub fn new(title: &'static str, checks: Vec<Check>) -> Self {
        Self { title, checks }
    }
}

impl Check {
    /// Makes a check that ended well.
    #[must_use]
    pub fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            level: Level::Good,
            object: None,
            text: text.into(),
            details: Vec::new(),
            meaning: None,
            next: Vec::new(),
        }
    }

    /// Adds lines that are not wrapped.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// Says which object it is about, unless that is said.
    #[must_use]
    pub fn about(mut self, object: impl Into<String>) -> Self {
        self.object.get_or_insert_with(|| object.into());
        self
    }

    /// Adds advice to a check that ended well.
    #[must_use]
    pub fn advice(mut self, text: impl Into<String>) -> Self {
        self.meaning = Some(text.into());
        self
    }
}
