//! The findings, as tables: name, level, text, meaning for a job, and the commands to run next.
//! Scripts rely on names and levels, so these must not change. Texts may change.

use super::report::{Check, Level};
use std::fmt::Display;

/// Declares findings. Each row becomes a function that returns a [`Check`]; `ALL` lists the names
/// and levels.
macro_rules! findings {
    ($(
        $function:ident($($field:ident),*) = $name:literal $level:ident,
        $text:literal, $meaning:literal $(, $next:literal)*;
    )+) => {
        $(
            pub(in crate::diagnose) fn $function($($field: impl Display),*) -> Check {
                Check {
                    meaning: Some(format!($meaning)),
                    next: vec![$(format!($next)),*],
                    ..Check::new($name, Level::$level, format!($text))
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
    let tables = [read_error::ALL, installed::ALL, works::ALL, jobs::ALL];
    tables.into_iter().flatten().copied()
}

/// Findings about failed requests to the API server.
pub(super) mod read_error {
    use super::{Check, Display, Level};

    findings! {
        not_allowed(request, unknown, command) = "not-allowed" Warning,
            "you are not allowed to {request}",
            "drydock doctor cannot determine {unknown}.",
            "{command}";
        no_answer(request, unknown, command) = "no-answer" Warning,
            "the request to {request} timed out",
            "drydock doctor cannot determine {unknown}. To allow more time, add --time-limit 2m.",
            "{command}";
        not_read(request, unknown, command) = "not-read" Warning,
            "the request to {request} failed",
            "drydock doctor cannot determine {unknown}.",
            "{command}";
    }
}
