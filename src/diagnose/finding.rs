//! The findings, in one table for each part of a cluster: name, level, text, meaning for a job, and
//! the commands to run next. Scripts use the names, so names are stable; texts may change.

use super::report::{Check, Level};
use std::fmt::Display;

/// Declares findings. Each row becomes a function that returns the check; `ALL` lists the names.
macro_rules! findings {
    ($(
        $function:ident($($field:ident),*) = $name:literal $level:ident,
        $text:literal, $meaning:literal $(, $next:literal)*;
    )+) => {
        $(
            #[allow(unused_variables, reason = "a row may use a field in one of its texts only")]
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

/// Findings about requests to the API server that failed.
pub(super) mod read_error {
    use super::{Check, Display, Level};

    findings! {
        not_allowed(request, unknown, command) = "not-allowed" Warning,
            "you are not allowed to {request}",
            "drydock doctor cannot tell {unknown}.",
            "{command}";
        no_answer(request, unknown, command) = "no-answer" Warning,
            "no response in time to the request to {request}",
            "drydock doctor cannot tell {unknown}. To wait longer: --time-limit 2m",
            "{command}";
        not_read(request, unknown, command) = "not-read" Warning,
            "the request to {request} failed",
            "drydock doctor cannot tell {unknown}.",
            "{command}";
    }
}
