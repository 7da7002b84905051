//! Prints a report as text, at most 80 columns wide, or as JSON.

use crate::cli::terminal::{self, wrap};
use crate::diagnose::Report;
use crate::diagnose::report::{Check, Level};
use anstyle::{AnsiColor, Style};
use serde_json::json;
use std::io::{self, Write};

/// The maximum width of the text in columns. A wider terminal does not increase it.
const MAX_WIDTH: usize = 80;
const MIN_WIDTH: usize = 40;
/// The indentation of the lines below a check.
const INDENT: &str = "    ";
/// The note below a report that has findings about missing permissions.
const MISSING_PERMISSIONS: &str = "You lack permissions, so drydock doctor checked only a part of the cluster. docs/doctor.md lists the permissions; a cluster administrator has all of them.";

/// The first line of the text.
pub(super) struct Heading {
    /// The URL of the API server and the context of the kubeconfig.
    pub(super) server: String,
    /// The version of Kubernetes.
    pub(super) version: String,
}

/// The style of the text.
#[derive(Clone, Copy)]
pub(super) struct TextStyle {
    pub(super) is_coloured: bool,
    /// Whether to print the tables and details of passed checks too.
    pub(super) is_verbose: bool,
    width: usize,
}

impl TextStyle {
    pub(super) fn of_terminal(is_coloured: bool, is_verbose: bool) -> Self {
        let width = terminal::columns().unwrap_or(MAX_WIDTH);
        Self {
            is_coloured,
            is_verbose,
            width: width.clamp(MIN_WIDTH, MAX_WIDTH),
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.is_coloured {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

pub(super) fn json(out: &mut dyn Write, report: &Report, heading: &Heading) -> io::Result<()> {
    let whole = json!({
        "server": heading.server,
        "version": heading.version,
        "sections": report.sections,
        "good": report.count(Level::Good),
        "warnings": report.count(Level::Warning),
        "errors": report.count(Level::Error),
    });
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    writeln!(out)
}

pub(super) fn text(
    out: &mut dyn Write,
    report: &Report,
    heading: &Heading,
    style: TextStyle,
) -> io::Result<()> {
    writeln!(out, "Kubernetes {} at {}", heading.version, heading.server)?;
    for section in &report.sections {
        writeln!(out, "\n{}", style.paint(Style::new().bold(), section.title))?;
        for check in &section.checks {
            write_check(out, check, style)?;
        }
    }
    writeln!(out, "\n{}", summary(report))?;
    if report.checks().any(|check| check.name == "not-allowed") {
        writeln!(out, "{}", wrap(MISSING_PERMISSIONS, style.width).join("\n"))?;
    }
    Ok(())
}

fn summary(report: &Report) -> String {
    let count = |level, one: &str| {
        let number = report.count(level);
        let many = if number == 1 { "" } else { "s" };
        format!("{number} {one}{many}")
    };
    let good = format!("{} passed", count(Level::Good, "check"));
    if report.worst().is_finding() {
        let errors = count(Level::Error, "error");
        let warnings = count(Level::Warning, "warning");
        format!("{errors}, {warnings}, {good}.")
    } else {
        format!("No problems found: {good}.")
    }
}

fn write_check(out: &mut dyn Write, check: &Check, style: TextStyle) -> io::Result<()> {
    let (sign, colour) = match check.level {
        Level::Info => ("·", None),
        Level::Good => ("✔", Some(AnsiColor::Green)),
        Level::Warning => ("‼", Some(AnsiColor::Yellow)),
        Level::Error => ("×", Some(AnsiColor::Red)),
    };
    let sign = style.paint(Style::new().fg_color(colour.map(Into::into)), sign);
    for (index, line) in wrap(&check.text, style.width - 2).iter().enumerate() {
        let sign = if index == 0 { &*sign } else { " " };
        writeln!(out, "{sign} {line}")?;
    }
    let mut below =
        |line: &str, line_style: Style| writeln!(out, "{INDENT}{}", style.paint(line_style, line));
    let width = style.width - INDENT.len();
    if check.level != Level::Good || style.is_verbose {
        for row in aligned(&check.table) {
            below(&row, Style::new())?;
        }
        for detail in &check.details {
            for (index, line) in wrap(detail, width - 2).iter().enumerate() {
                let bullet = if index == 0 { '-' } else { ' ' };
                below(&format!("{bullet} {line}"), Style::new().dimmed())?;
            }
        }
    }
    for line in check.meaning.iter().flat_map(|text| wrap(text, width)) {
        below(&line, Style::new())?;
    }
    // Do not wrap commands, so that they can be copied.
    for command in &check.next {
        below(&format!("$ {command}"), Style::new().bold())?;
    }
    Ok(())
}

/// Returns the rows of a table with aligned columns.
fn aligned(table: &[Vec<String>]) -> Vec<String> {
    let columns = table.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = table.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::report::Section;

    fn printed(is_coloured: bool, is_verbose: bool) -> String {
        let long = "It is a long sentence about the effect on jobs, and it has to be broken somewhere before the eightieth column.";
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let checks = vec![
            Check::info("a", "a fact"),
            Check::good("b", "all is well").table(vec![
                row(["RESOURCE", "VERBS", "GRANTED"]),
                row(["pods", "create, get", "yes"]),
            ]),
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
        ];
        let report = Report {
            sections: vec![Section::new("Installed", checks)],
        };
        let heading = Heading {
            server: "https://a".to_owned(),
            version: "v1.36.0".to_owned(),
        };
        let style = TextStyle {
            is_coloured,
            is_verbose,
            width: MAX_WIDTH,
        };
        let mut out = Vec::new();
        text(&mut out, &report, &heading, style).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_end_before_the_eightieth_column() {
        insta::assert_snapshot!(printed(false, false));
    }

    #[test]
    fn details_of_passed_checks_are_for_verbose_output() {
        let table = "    RESOURCE  VERBS        GRANTED\n    pods      create, get  yes\n";
        assert!(printed(false, true).contains(table));
        assert!(!printed(false, false).contains(table));
    }

    #[test]
    fn colours_change_nothing_else() {
        let plain = printed(false, false);
        let coloured = printed(true, false);
        assert_ne!(plain, coloured);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }
}
