//! The findings, one table for each part of a cluster: name, level, text, what it means for a job,
//! and the commands to run next. Names are for scripts, so they stay; texts may change.

use super::report::{Check, Level};
use std::fmt::Display;

/// Declares findings. Each row becomes a function that returns the check; `ALL` has the names.
macro_rules! findings {
    ($(
        $function:ident($($field:ident),*) = $name:literal $level:ident,
        $text:literal, $meaning:literal $(, $next:literal)*;
    )+) => {
        $(
            #[allow(unused_variables, reason = "a row may use a field in one of its texts only")]
            pub(in crate::diagnose) fn $function($($field: impl Display),*) -> Check {
                Check {
                    name: $name,
                    level: Level::$level,
                    object: None,
                    text: format!($text),
                    details: Vec::new(),
                    meaning: Some(format!($meaning)),
                    next: vec![$(format!($next)),*],
                }
            }
        )+
        pub(super) const ALL: &[(&str, Level)] = &[$(($name, Level::$level)),+];
    };
}

pub(super) mod installed;
pub(super) mod jobs;
pub(super) mod works;

/// Returns the name and the level of every finding.
pub fn all() -> impl Iterator<Item = (&'static str, Level)> {
    let tables = [unread::ALL, installed::ALL, works::ALL, jobs::ALL];
    tables.into_iter().flatten().copied()
}

/// What the user may not read, or could not.
pub(super) mod unread {
    use super::{Check, Display, Level};

    findings! {
        not_allowed(question, unknown, command) = "not-allowed" Warning,
            "you may not {question}",
            "It is not known {unknown}.",
            "{command}";
        no_answer(question, unknown, command) = "no-answer" Warning,
            "no answer in time to {question}",
            "It is not known {unknown}. More time: --time-limit 2m",
            "{command}";
        not_read(question, unknown, command) = "not-read" Warning,
            "cannot {question}",
            "It is not known {unknown}.",
            "{command}";
    }
}
