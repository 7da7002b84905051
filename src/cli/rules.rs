//! `drydock rules`: prints sections of `docs/rules.md`, selected by the code of the rule.

use super::{Exit, terminal};
use anyhow::anyhow;
use clap::Args;
use std::io::Write;

/// The text of `docs/rules.md`. Each rule has a section with the heading `### CODE: title`.
const DOCUMENT: &str = include_str!("../../docs/rules.md");

/// Print the descriptions of rules, whose codes are in logs, refusals and mutate -o explain.
///
/// Without CODE, prints the code and title of every rule.
#[derive(Args, Debug)]
pub(super) struct Rules {
    /// Code of a rule, such as D7 or d7. Can be repeated
    #[arg(value_name = "CODE")]
    codes: Vec<String>,
}

impl Rules {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let rules = parse(DOCUMENT);
        if self.codes.is_empty() {
            for Rule { code, title, .. } in &rules {
                write!(out, "{}", terminal::fit(&format!("{code}  {title}\n"), 4))?;
            }
            return Ok(Exit::Success);
        }
        // All codes are looked up first, so that nothing is printed if one is unknown.
        let found: Vec<&Rule<'_>> = self
            .codes
            .iter()
            .map(|code| find(&rules, code).ok_or_else(|| unknown(&rules, code)))
            .collect::<anyhow::Result<_>>()?;
        for (position, rule) in found.into_iter().enumerate() {
            if position > 0 {
                writeln!(out)?;
            }
            write_section(out, rule.section)?;
        }
        Ok(Exit::Success)
    }
}

/// Prints a section. Breaks long lines, except in code blocks and tables.
fn write_section(out: &mut dyn Write, section: &str) -> std::io::Result<()> {
    let mut is_code = false;
    for line in section.lines() {
        is_code ^= line.starts_with("```");
        if is_code || line.starts_with('|') {
            writeln!(out, "{line}")?;
        } else {
            let hanging = if line.starts_with("- ") { 2 } else { 0 };
            write!(out, "{}", terminal::fit(&format!("{line}\n"), hanging))?;
        }
    }
    Ok(())
}

/// A section of the document that describes a rule.
#[derive(Debug, Eq, PartialEq)]
struct Rule<'d> {
    code: &'d str,
    title: &'d str,
    /// The heading and the text below it, without blank lines at the end.
    section: &'d str,
}

/// Returns the rules of a document, in the order of their sections.
fn parse(document: &str) -> Vec<Rule<'_>> {
    let headings = headings(document);
    let ends = headings.iter().skip(1).map(|(start, _)| *start);
    let ends = ends.chain([document.len()]);
    let sections = headings.iter().zip(ends);
    sections
        .filter_map(|((start, line), end)| {
            let (code, title) = line.strip_prefix("### ")?.split_once(": ")?;
            let section = document.get(*start..end)?.trim_end();
            Some(Rule {
                code,
                title,
                section,
            })
        })
        .collect()
}

/// Returns the headings of a document with their positions. Ignores code blocks.
fn headings(document: &str) -> Vec<(usize, &str)> {
    let mut headings = Vec::new();
    let (mut start, mut is_code) = (0, false);
    for line in document.split_inclusive('\n') {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if line.starts_with('#') && !is_code {
            headings.push((start, line.trim_end()));
        }
        start += line.len();
    }
    headings
}

fn find<'r, 'd>(rules: &'r [Rule<'d>], code: &str) -> Option<&'r Rule<'d>> {
    let mut rules = rules.iter();
    rules.find(|rule| rule.code.eq_ignore_ascii_case(code))
}

fn unknown(rules: &[Rule<'_>], code: &str) -> anyhow::Error {
    anyhow!(
        "there is no rule \"{}\"; similar codes are {}; `drydock rules` lists all rules",
        code.escape_debug(),
        similar(rules, code).join(", ")
    )
}

/// Returns the most similar codes: codes with the same letter first, each group in order of the
/// difference between the numbers.
fn similar<'d>(rules: &[Rule<'d>], code: &str) -> Vec<&'d str> {
    const MOST: usize = 3;
    let parts = |code: &str| {
        let letter = code
            .chars()
            .next()
            .map(|letter| letter.to_ascii_uppercase());
        let digits = code.trim_start_matches(|c: char| !c.is_ascii_digit());
        (letter, digits.parse::<u32>().unwrap_or(1))
    };
    let (letter, number) = parts(code);
    let mut codes: Vec<&str> = rules.iter().map(|rule| rule.code).collect();
    codes.sort_by_key(|code| {
        let (other, its_number) = parts(code);
        (other != letter, its_number.abs_diff(number))
    });
    codes.truncate(MOST);
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_at_the_next_heading_and_a_code_block_has_none() {
        let document = "# Rules\n\n## X\n\n### X1: one\n\ntext\n```sh\n### X9: code\n```\n\n## Y\n\nintro\n\n### Y1: two: three\n\nmore\n";
        let rules = [
            Rule {
                code: "X1",
                title: "one",
                section: "### X1: one\n\ntext\n```sh\n### X9: code\n```",
            },
            Rule {
                code: "Y1",
                title: "two: three",
                section: "### Y1: two: three\n\nmore",
            },
        ];
        assert_eq!(parse(document), rules);
    }

    #[test]
    fn similar_codes_have_the_same_letter_and_a_close_number() {
        let rules = parse("### X1: a\n### X2: b\n### X9: c\n### Y9: d\n### Y1: e\n");
        assert_eq!(similar(&rules, "x10"), ["X9", "X2", "X1"]);
        assert_eq!(similar(&rules, "Y7"), ["Y9", "Y1", "X9"]);
        assert_eq!(similar(&rules, ""), ["X1", "Y1", "X2"]);
    }
}
