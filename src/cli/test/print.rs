//! Prints the results of cases as text or as JUnit XML.

use super::FinishedCase;
use std::io::{self, Write};

pub(super) fn text(out: &mut dyn Write, cases: &[FinishedCase]) -> io::Result<()> {
    let mut file = "";
    for case in cases {
        if case.file != file {
            file = &case.file;
            writeln!(out, "{file}")?;
        }
        let sign = if case.result.is_passed() { '✔' } else { '×' };
        writeln!(out, "{sign} {}", case.name)?;
        for line in case
            .result
            .differences
            .iter()
            .flat_map(|difference| difference.lines())
        {
            writeln!(out, "    {line}")?;
        }
        if let Some(command) = &case.result.explain_command {
            writeln!(out, "    $ {command}")?;
        }
    }
    let passed = cases.iter().filter(|case| case.result.is_passed()).count();
    writeln!(out, "\n{passed} passed, {} failed", cases.len() - passed)
}

/// Prints JUnit XML for GitLab. Source: <https://docs.gitlab.com/ci/testing/unit_test_reports/>
pub(super) fn junit(out: &mut dyn Write, cases: &[FinishedCase]) -> io::Result<()> {
    let failures = cases.iter().filter(|case| !case.result.is_passed()).count();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites><testsuite name="drydock test" tests="{}" failures="{failures}">"#,
        cases.len()
    )?;
    for case in cases {
        let (file, name) = (escaped(&case.file), escaped(&case.name));
        write!(out, r#"<testcase classname="{file}" name="{name}""#)?;
        if case.result.is_passed() {
            writeln!(out, "/>")?;
            continue;
        }
        let differences = escaped(&case.result.differences.join("\n"));
        writeln!(
            out,
            r#"><failure message="the result is not as expected">{differences}</failure></testcase>"#
        )?;
    }
    writeln!(out, "</testsuite></testsuites>")
}

/// Escapes text for XML. Replaces control characters with spaces, because XML does not allow most
/// of them.
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
