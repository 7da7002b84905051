//! `docs/rules.md` has a section for each rule code in the repository, and no other sections.

use super::assert_none;
use super::files::{files_below, relative, root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const DOCUMENT: &str = "docs/rules.md";

/// Folders and files of the repository that contain rule codes.
const NAMING: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "benches",
    "docs",
    "manifests",
    "src",
    "tests",
];

/// A rule code and its place.
struct Named {
    code: String,
    place: String,
}

/// Returns the codes of the headings `### D7: title`, in order.
fn documented(document: &str) -> Vec<&str> {
    let lines = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    lines
        .map(|line| {
            line.split_once(": ")
                .expect("a heading is not CODE: title")
                .0
        })
        .collect()
}

fn document() -> String {
    std::fs::read_to_string(root().join(DOCUMENT)).unwrap()
}

/// Returns whether a word has the form of a rule code: a letter of the document and a number.
fn is_code(word: &str, letters: &BTreeSet<char>) -> bool {
    let mut chars = word.chars();
    let is_letter = chars.next().is_some_and(|letter| letters.contains(&letter));
    let digits = chars.as_str();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_letter && is_number && digits.len() <= 2
}

/// Returns the codes in a line: words such as `D7`, and names of tests such as `d7_…`.
fn codes_in(line: &str, letters: &BTreeSet<char>) -> Vec<String> {
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words = words.map(str::to_owned);
    let function = line.trim_start().strip_prefix("fn ");
    let prefix = function.and_then(|name| name.split_once('_'));
    let of_test = prefix.map(|(code, _)| code.to_ascii_uppercase());
    words
        .chain(of_test)
        .filter(|word| is_code(word, letters))
        .collect()
}

fn named(letters: &BTreeSet<char>) -> Vec<Named> {
    let mut files: Vec<PathBuf> = Vec::new();
    for part in NAMING {
        let path = root().join(part);
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    let ends = |path: &PathBuf, ends: &[&str]| {
        let end = path.extension().and_then(|end| end.to_str());
        end.is_some_and(|end| ends.contains(&end))
    };
    files.retain(|path| ends(path, &["rs", "md", "yaml", "snap"]));
    // Fixtures and the sources of the test programs are from other projects.
    files.retain(|path| {
        let name = relative(path);
        !name.starts_with("tests/fixtures/") && !name.starts_with("tests/apiserver/")
    });
    let mut named = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = relative(&path);
        for (number, line) in text.lines().enumerate() {
            let codes = codes_in(line, letters).into_iter();
            named.extend(codes.map(|code| Named {
                code,
                place: format!("{name}:{}", number + 1),
            }));
        }
    }
    named
}

fn letters(document: &str) -> BTreeSet<char> {
    let codes = documented(document).into_iter();
    codes.filter_map(|code| code.chars().next()).collect()
}

#[test]
fn every_rule_code_is_documented() {
    let document = document();
    let documented: BTreeSet<&str> = documented(&document).into_iter().collect();
    let named = named(&letters(&document));
    assert!(named.len() > 500, "only {} rule codes found", named.len());
    let unknown = named
        .iter()
        .filter(|named| !documented.contains(named.code.as_str()))
        .map(|named| format!("{}: {}", named.place, named.code));
    let unknown: Vec<String> = unknown.collect();
    assert_none(&unknown, "each code has a section in docs/rules.md");
}

#[test]
fn every_documented_rule_is_named_in_code_or_tests() {
    let document = document();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let named = named(&letters(&document));
    for named in &named {
        if named.place.starts_with("src/") || named.place.starts_with("tests/") {
            *places.entry(&named.code).or_default() += 1;
        }
    }
    let codes = documented(&document).into_iter();
    let unnamed: Vec<String> = codes
        .filter(|code| !places.contains_key(code))
        .map(|code| format!("{DOCUMENT}: {code}"))
        .collect();
    assert_none(&unnamed, "each rule needs code or a test that names it");
}

/// A line of the table of contents lists codes as `(P1–P4)`. The chapters must have these codes in
/// this order.
#[test]
fn the_table_of_contents_has_every_rule() {
    let document = document();
    let lines = document.lines().filter(|line| line.starts_with("- ["));
    let mut listed = Vec::new();
    for line in lines {
        let (_, codes) = line.rsplit_once('(').unwrap();
        for part in codes.trim_end_matches(')').split(", ") {
            let (first, last) = part.split_once('–').unwrap_or((part, part));
            let number = |code: &str| code[1..].parse::<u32>().unwrap();
            let numbers = number(first)..=number(last);
            listed.extend(numbers.map(|number| format!("{}{number}", &first[..1])));
        }
    }
    assert_eq!(listed, documented(&document));
}

#[test]
fn rule_codes_are_found_in_text_and_in_test_names() {
    let letters = BTreeSet::from(['D', 'H']);
    let codes = |line: &str| codes_in(line, &letters);
    assert_eq!(codes("rules D7, H2 (D1–D9)"), ["D7", "H2", "D1", "D9"]);
    assert_eq!(codes("    fn d7_a_volume_is_swapped() {"), ["D7"]);
    assert_eq!(codes("let d7_x = 0xD7; AD7 X7 D D123"), [""; 0]);
}
