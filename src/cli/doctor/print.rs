//! A report for people, at most 80 columns wide, and for scripts.

use crate::diagnose::Report;
use crate::diagnose::report::{Check, Level};
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::{self, Write};

const WIDTH: usize = 80;
/// What stands before the lines below a check.
const INDENT: &str = "    ";
/// What to do about findings that only say that something may not be read.
const RIGHTS: &str =
    "Without these rights part of the cluster is not seen. docs/doctor.md lists them;
a cluster administrator has them all.";

/// What was looked at.
#[derive(Serialize)]
pub(super) struct Heading {
    pub(super) server: String,
    /// The API server's.
    pub(super) version: String,
}

pub(super) fn json(out: &mut impl Write, report: &Report, heading: &Heading) -> io::Result<()> {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        heading: &'a Heading,
        #[serde(flatten)]
        report: &'a Report,
        good: usize,
        warnings: usize,
        errors: usize,
    }
    let whole = Whole {
        heading,
        report,
        good: report.count(Level::Good),
        warnings: report.count(Level::Warning),
        errors: report.count(Level::Error),
    };
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    writeln!(out)
}

pub(super) fn text(
    out: &mut impl Write,
    report: &Report,
    heading: &Heading,
    is_coloured: bool,
) -> io::Result<()> {
    let paint = Paint(is_coloured);
    writeln!(out, "Kubernetes {} at {}", heading.version, heading.server)?;
    for section in &report.sections {
        writeln!(out, "\n{}", paint.with(Style::new().bold(), section.title))?;
        for check in &section.checks {
            write_check(out, check, paint)?;
        }
    }
    writeln!(out, "\n{}", summary(report))?;
    if report.checks().any(|check| check.name == "not-allowed") {
        writeln!(out, "{RIGHTS}")?;
    }
    Ok(())
}

fn summary(report: &Report) -> String {
    let count = |level, one: &str| {
        let number = report.count(level);
        let many = if number == 1 { "" } else { "s" };
        format!("{number} {one}{many}")
    };
    let good = count(Level::Good, "good check");
    match report.worst() {
        Level::Good => format!("Nothing is wrong: {good}."),
        _ => {
            let errors = count(Level::Error, "error");
            let warnings = count(Level::Warning, "warning");
            format!("{errors}, {warnings}, {good}.")
        }
    }
}

fn write_check(out: &mut impl Write, check: &Check, paint: Paint) -> io::Result<()> {
    let (sign, colour) = match check.level {
        Level::Good => ("✔", AnsiColor::Green),
        Level::Warning => ("‼", AnsiColor::Yellow),
        Level::Error => ("×", AnsiColor::Red),
    };
    let sign = paint.with(Style::new().fg_color(Some(colour.into())), sign);
    let mut lines = wrapped(&check.text, WIDTH - 2).into_iter();
    writeln!(out, "{sign} {}", lines.next().unwrap_or_default())?;
    for line in lines {
        writeln!(out, "  {line}")?;
    }
    for detail in &check.details {
        for (index, line) in wrapped(detail, WIDTH - INDENT.len() - 2)
            .into_iter()
            .enumerate()
        {
            let bullet = if index == 0 { "- " } else { "  " };
            writeln!(
                out,
                "{INDENT}{}",
                paint.with(Style::new().dimmed(), &format!("{bullet}{line}"))
            )?;
        }
    }
    for line in check
        .meaning
        .iter()
        .flat_map(|text| wrapped(text, WIDTH - INDENT.len()))
    {
        writeln!(out, "{INDENT}{line}")?;
    }
    // A command is one line, to be copied.
    for command in &check.next {
        writeln!(
            out,
            "{INDENT}{}",
            paint.with(Style::new().bold(), &format!("$ {command}"))
        )?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.0 {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// Breaks a text between words; a longer word has a line of its own. Control characters, which
/// texts of others may have, go.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    for word in clean.split_whitespace() {
        let Some(line) = lines.last_mut() else {
            break;
        };
        let fits = line.chars().count() + 1 + word.chars().count() <= width;
        if line.is_empty() {
            line.push_str(word);
        } else if fits {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::report::Section;

    fn printed(is_coloured: bool) -> String {
        let long = "It is a long sentence about what becomes of jobs, and it has to be broken somewhere before the eightieth column.";
        let report = Report {
            sections: vec![Section::new(
                "Installed",
                vec![
                    Check::good("a", "all is well"),
                    Check {
                        level: Level::Warning,
                        next: vec!["kubectl get pods".to_owned()],
                        ..Check::good("not-allowed", "not all is well").advice(long)
                    }
                    .details(["in \u{1b}[31mother\u{7} words".to_owned()]),
                    Check {
                        level: Level::Error,
                        ..Check::good("c", long).advice("Jobs fail.")
                    },
                ],
            )],
        };
        let heading = Heading {
            server: "https://a".to_owned(),
            version: "v1.36.0".to_owned(),
        };
        let mut out = Vec::new();
        text(&mut out, &report, &heading, is_coloured).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_end_before_the_eightieth_column() {
        insta::assert_snapshot!(printed(false));
    }

    #[test]
    fn colours_change_nothing_else() {
        let plain = printed(false);
        let coloured = printed(true);
        assert_ne!(plain, coloured);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }
}
