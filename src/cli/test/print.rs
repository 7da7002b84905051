//! Prints the results of cases as text or as JUnit XML.

use super::Ran;
use std::io::{self, Write};

pub(super) fn text(out: &mut dyn Write, all: &[Ran]) -> io::Result<()> {
    let mut file = "";
    for ran in all {
        if ran.file != file {
            file = &ran.file;
            writeln!(out, "{file}")?;
        }
        let sign = if ran.outcome.is_passed() { '✔' } else { '×' };
        writeln!(out, "{sign} {}", ran.name)?;
        for line in ran
            .outcome
            .differences
            .iter()
            .flat_map(|difference| difference.lines())
        {
            writeln!(out, "    {line}")?;
        }
        if let Some(command) = &ran.outcome.explain {
            writeln!(out, "    $ {command}")?;
        }
    }
    let passed = all.iter().filter(|ran| ran.outcome.is_passed()).count();
    writeln!(out, "\n{passed} passed, {} failed", all.len() - passed)
}

/// Source: <https://docs.gitlab.com/ci/testing/unit_test_reports/>
pub(super) fn junit(out: &mut dyn Write, all: &[Ran]) -> io::Result<()> {
    let failures = all.iter().filter(|ran| !ran.outcome.is_passed()).count();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites><testsuite name="drydock test" tests="{}" failures="{failures}">"#,
        all.len()
    )?;
    for ran in all {
        let (file, name) = (escaped(&ran.file), escaped(&ran.name));
        write!(out, r#"<testcase classname="{file}" name="{name}""#)?;
        if ran.outcome.is_passed() {
            writeln!(out, "/>")?;
            continue;
        }
        let differences = escaped(&ran.outcome.differences.join("\n"));
        writeln!(
            out,
            r#"><failure message="not as expected">{differences}</failure></testcase>"#
        )?;
    }
    writeln!(out, "</testsuite></testsuites>")
}

/// Escapes a text for XML, which cannot contain most control characters.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
