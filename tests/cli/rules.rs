//! `drydock rules`: the list, one rule, several rules, and an unknown code.

use super::sandbox::Sandbox;
use rstest::rstest;

const DOCUMENT: &str = include_str!("../../docs/rules.md");

/// Returns the code and title of each rule in `docs/rules.md`.
fn headings() -> Vec<(&'static str, &'static str)> {
    let lines = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    lines.map(|line| line.split_once(": ").unwrap()).collect()
}

#[test]
fn without_a_code_each_rule_is_one_line() {
    let listed = Sandbox::new().run("rules").succeeded().stdout;
    let lines = headings().into_iter();
    let expected: String = lines
        .map(|(code, title)| format!("{code}  {title}\n"))
        .collect();
    assert_eq!(listed, expected);
    assert!(listed.lines().count() > 50, "{listed}");
}

#[rstest]
#[case::upper_case("rules D7")]
#[case::lower_case("rules d7")]
fn a_code_prints_its_section(#[case] args: &str) {
    let printed = Sandbox::new().run(args).succeeded().stdout;
    let (first, rest) = printed.split_once('\n').unwrap();
    let (_, title) = headings()
        .into_iter()
        .find(|(code, _)| *code == "D7")
        .unwrap();
    assert_eq!(first, format!("### D7: {title}"));
    assert!(rest.contains("swapped in place"), "{printed}");
    assert!(!rest.contains("\n#"), "more than one section: {printed}");
    assert!(DOCUMENT.contains(printed.trim_end()), "{printed}");
}

#[test]
fn the_last_rule_of_a_chapter_ends_before_the_next_chapter() {
    let printed = Sandbox::new().run("rules H8").succeeded().stdout;
    assert!(printed.contains("hostNetwork"), "{printed}");
    assert!(!printed.contains("## Client certificates"), "{printed}");
}

#[test]
fn several_codes_are_printed_in_the_given_order() {
    let sandbox = Sandbox::new();
    let one = |code: &str| sandbox.run(&format!("rules {code}")).succeeded().stdout;
    let both = format!("{}\n{}", one("V5"), one("H1"));
    assert_eq!(one("V5 h1"), both);
}

#[rstest]
#[case::number("d12", "similar codes are D9, D8, D7;")]
#[case::number_in_lower_case("h10", "similar codes are H8, H7, H6;")]
#[case::other_letter("X3", "similar codes are P3, M3, H3;")]
#[case::no_code("swap-volume", "similar codes are S1, ")]
fn an_unknown_code_exits_2_and_names_the_nearest(#[case] code: &str, #[case] message: &str) {
    // The section of the valid code D7 is not printed either.
    let ran = Sandbox::new().run(&format!("rules D7 {code}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
    let problem = format!("there is no rule \"{code}\"");
    for words in [problem.as_str(), message, "`drydock rules`"] {
        assert!(ran.stderr.contains(words), "{words}: {ran}");
    }
}
