#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::{Skim, bytes, read};
use crate::core::admission::request::{PodReview, ReviewError};
use crate::core::admission::{Context, review};
use crate::core::policy::Mode;
use crate::testing::mangle::{Mangler, count};
use crate::testing::{CERTS_ONLY, Setup};
use proptest::prelude::*;
use rstest::rstest;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;

const REVIEWS: [&[u8]; 5] = [
    include_bytes!("../../../../fuzz/corpus/review/dind.json"),
    include_bytes!("../../../../fuzz/corpus/review/legacy.json"),
    include_bytes!("../../../../fuzz/corpus/review/other.json"),
    include_bytes!("../../../../fuzz/corpus/review/small.json"),
    include_bytes!("../../../../fuzz/corpus/review/volumes.json"),
];

/// A type that reads strings, a list, a number and a boolean, and skips other fields.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the tests compare their Debug text")]
struct Fields<'a> {
    #[serde(borrow)]
    first: Option<crate::core::pod::Text<'a>>,
    #[serde(borrow)]
    second: Option<crate::core::pod::Text<'a>>,
    #[serde(borrow)]
    third: Option<Vec<crate::core::pod::Text<'a>>>,
    number: Option<i64>,
    yes: Option<bool>,
    any: Option<IgnoredAny>,
}

/// A type that borrows from the text from which it is read.
trait View {
    type Of<'a>: Deserialize<'a> + Debug;
}

struct Review;

impl View for Review {
    type Of<'a> = PodReview<'a>;
}

struct Few;

impl View for Few {
    type Of<'a> = Fields<'a>;
}

/// Checks the invariant of the module for a text. Returns whether the text was accepted.
fn check_invariant<V: View>(body: &[u8]) -> bool {
    let Some(skimmed) = read::<V::Of<'_>>(body) else {
        return false;
    };
    let skimmed = format!("{skimmed:?}");
    let text = std::str::from_utf8(body).expect("an accepted text should be UTF-8");
    let by_serde = |text| serde_json::from_str::<V::Of<'_>>(text).map(|whole| format!("{whole:?}"));
    match by_serde(text) {
        Ok(whole) => assert_eq!(skimmed, whole, "{text}"),
        Err(_) => {
            let mut skim = Skim::new(text);
            skim.read::<V::Of<'_>>()
                .expect("the text should be accepted again");
            let emptied = emptied(text, &skim.skipped);
            assert_eq!(skimmed, by_serde(&emptied).expect("JSON"), "{text}");
        }
    }
    true
}

fn emptied(text: &str, skipped: &[std::ops::Range<usize>]) -> String {
    let (mut emptied, mut at) = (String::new(), 0);
    for range in skipped {
        emptied.push_str(&text[at..=range.start]);
        emptied.push_str(&text[range.end - 1..range.end]);
        at = range.end;
    }
    emptied + &text[at..]
}

#[rstest]
#[case::spaces(
    " { \"first\" : \"a\" ,\n\t\"second\":null,\r \"any\" : [ 1 ] } \n",
    true
)]
#[case::pair(r#"{"first":"a","second":"b"}"#, true)]
#[case::pair_with_escape(r#"{"first":"a","second":"\u0062\n\ud83d\ude00"}"#, true)]
#[case::pair_and_more(r#"{"first":"a","second":"b","third":["c","\"","d"]}"#, true)]
#[case::pair_with_the_same_again(r#"{"first":"a","second":"b","second":"c"}"#, false)]
#[case::escape_in_key(r#"{"fir\u0073t":"a"}"#, true)]
#[case::numbers(r#"{"number":300,"any":-0.5e+3}"#, true)]
#[case::negative_number(r#"{"number":-1}"#, false)]
#[case::fraction(r#"{"number":1.0}"#, false)]
#[case::leading_zero(r#"{"any":01}"#, false)]
#[case::word(r#"{"yes":true,"any":nul}"#, false)]
#[case::words(r#"{"yes":false,"any":null}"#, true)]
#[case::list_for_object(r#"["a","b"]"#, false)]
#[case::text_for_list(r#"{"third":"a"}"#, false)]
#[case::trailing_comma(r#"{"first":"a",}"#, false)]
#[case::trailing_comma_in_list(r#"{"third":["a",]}"#, false)]
#[case::no_comma(r#"{"first":"a" "second":"b"}"#, false)]
#[case::comma_first(r#"{,"first":"a"}"#, false)]
#[case::trailing_garbage(r#"{"first":"a"} x"#, false)]
#[case::two_texts(r#"{}{}"#, false)]
#[case::other_bracket(r#"{"other":[1},"first":"a"}"#, false)]
#[case::half_a_surrogate(r#"{"first":"\ud83d"}"#, false)]
#[case::unknown_escape(r#"{"other":"\x"}"#, false)]
#[case::control_character("{\"first\":\"a\u{1}\"}", false)]
#[case::control_character_behind_an_escape("{\"other\":\"\\n\u{1}\"}", false)]
#[case::nothing("", false)]
#[case::mark_of_byte_order("\u{feff}{}", false)]
fn unusual_texts_fall_back_to_serde_json(#[case] text: &str, #[case] is_accepted: bool) {
    assert_eq!(check_invariant::<Few>(text.as_bytes()), is_accepted);
}

#[rstest]
#[case::deep(&format!("{}{}", "[".repeat(62), "]".repeat(62)), true)]
#[case::deeper(&format!("{}{}", "[".repeat(640), "]".repeat(640)), true)]
#[case::open(r#"{"a":[{}]"#, false)]
#[case::other_kind("{\"a\":[{}]]", true)]
#[case::other_kind_inside("[{\"a\":[]}}", true)]
#[case::one_more_inside("[{\"a\":[}]", false)]
#[case::open_text(r#"["a]"#, false)]
#[case::text_with_brackets(r#"["]","\\","\"]",{"}":{}}]"#, true)]
fn brackets_and_strings_in_skipped_values_are_checked(
    #[case] value: &str,
    #[case] is_accepted: bool,
) {
    for padding in 0..70 {
        let text = format!(
            r#"{{"other":{{"{}":{value}}},"first":"a"}}"#,
            "x".repeat(padding)
        );
        assert_eq!(
            check_invariant::<Few>(text.as_bytes()),
            is_accepted,
            "{text}"
        );
    }
}

#[rstest]
#[case::among_others(
    r#"{"name":"CI","value":"true"},{"name":"DOCKER_HOST","value":"x"},{"name":"A","value":""}"#
)]
#[case::name_last(r#"{"value":"x","name":"DOCKER_HOST"}"#)]
#[case::escape_in_the_name(r#"{"name":"D\u004fCKER_HOST","value":"x"}"#)]
#[case::escape_in_another_name(r#"{"name":"A\"","value":"x"},{"name":"DOCKER_HOST","value":"x"}"#)]
#[case::escapes_in_another_value(
    r#"{"name":"A","value":"\\\"}\n\\"},{"name":"DOCKER_HOST","value":"\u0026"}"#
)]
#[case::inside_another_value(
    r#"{"name":"A","value":"{\"name\":\"DOCKER_HOST\",\"value\":\"x\"}"}"#
)]
#[case::from(
    r#"{"name":"A","valueFrom":{}},{"name":"DOCKER_TLS_CERTDIR","valueFrom":{"name":"A"}}"#
)]
#[case::spaces(r#" { "name" : "A" , "value" : "x" } , {"name":"DOCKER_HOST","value":"x"} "#)]
#[case::twice(r#"{"name":"DOCKER_HOST","value":"x"},{"name":"DOCKER_HOST","value":"y"}"#)]
#[case::none("")]
fn variables_are_read_at_every_position(#[case] variables: &str) {
    for padding in 0..20 {
        let text = format!(
            r#"{{"request":{{"object":{{"spec":{{"containers":[{{"name":"{}","env":[{variables}]}}]}}}}}}}}"#,
            "x".repeat(padding)
        );
        assert!(check_invariant::<Review>(text.as_bytes()), "{text}");
        let read_by_serde_json = serde_json::from_str::<PodReview<'_>>(&text);
        assert!(read_by_serde_json.is_ok(), "{text}");
    }
}

/// `variables::TYPE` is the name of `Env` in the data model of serde.
#[test]
fn variables_that_no_rule_reads_are_skipped() {
    let text =
        r#"{"request":{"object":{"spec":{"containers":[{"env":[{"name":"A","value":"x"}]}]}}}}"#;
    let mut skim = Skim::new(text);
    skim.read::<PodReview<'_>>().expect("a plain text");
    assert_eq!(
        &text[skim.skipped[0].clone()],
        r#"{"name":"A","value":"x"}"#
    );
}

#[rstest]
#[case::number(r#"{"name":"A","value":1}"#)]
#[case::name_twice(r#"{"name":"A","value":"x","name":"DOCKER_HOST"}"#)]
#[case::comma(r#"{"name":"A","value":"x"},"#)]
#[case::no_comma(r#"{"name":"A","value":"x"}{"name":"B","value":"x"}"#)]
#[case::open(r#"{"name":"A","value":"x""#)]
#[case::open_value(r#"{"name":"A","value":"x\"}"#)]
fn invalid_variables_fall_back_to_serde_json(#[case] variables: &str) {
    let text = format!(
        r#"{{"request":{{"object":{{"spec":{{"containers":[{{"env":[{variables}]}}]}}}}}}}}"#
    );
    assert!(!check_invariant::<Review>(text.as_bytes()), "{text}");
}

#[test]
fn invalid_utf8_falls_back_to_serde_json() {
    assert!(!check_invariant::<Few>(b"{\"other\":[\"\xff\"]}"));
    assert!(!check_invariant::<Few>(b"{\"first\":\"\xed\xa0\x80\"}"));
}

/// See "What it does not check" in the documentation of the module.
#[test]
fn the_content_of_skipped_values_is_not_parsed() {
    assert!(check_invariant::<Few>(
        br#"{"other":[1 2 flase],"first":"a"}"#
    ));
    assert!(check_invariant::<Few>(
        br#"{"other":[{],1,[}],"first":"a"}"#
    ));
    assert!(check_invariant::<Review>(
        br#"{"request":{"object":{"spec":{"containers":[{"env":[{"name":"A","value":"\x"}]}]}}}}"#
    ));
}

#[test]
fn every_fixture_is_skimmed() {
    let mut found = 0;
    for folder in [
        "tests/fixtures/reviews",
        "tests/fixtures/reviews/runner",
        "fuzz/corpus/review",
    ] {
        for entry in std::fs::read_dir(folder).expect("a folder of fixtures") {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let body = std::fs::read(&path).expect("a fixture");
                found += 1;
                assert!(check_invariant::<Review>(&body), "{}", path.display());
            }
        }
    }
    assert!(found > 20, "the fixtures are not found");
}

#[test]
fn mangled_reviews_are_skimmed_as_serde_json_reads_them() {
    let mut mangler = Mangler::new(&REVIEWS);
    let mut skimmed = 0;
    let count = count(700_000);
    for _ in 0..count {
        skimmed += usize::from(check_invariant::<Review>(mangler.next()));
    }
    assert!(skimmed > count / 10, "{skimmed} of {count}");
}

/// Rules F1, F2, A2 and A3: each review gets an answer or a named error, and a patched pod needs no
/// other patch.
#[test]
fn mangled_reviews_get_an_answer_or_a_named_error() {
    let setup = Setup {
        policies: &[
            ("certs", CERTS_ONLY),
            (
                "hosts",
                "hostAliases: [{ip: 10.0.0.1, hostnames: [gitlab.mylab.com, docker]}]",
            ),
        ],
        ..Setup::default()
    };
    let policies = &setup.policy_set();
    let context = Context {
        policies,
        mode: Mode::Enforce,
        namespace_labels: None,
        own_namespace: "drydock",
    };
    let mut mangler = Mangler::new(&REVIEWS);
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..count(260_000) {
        let body = mangler.next();
        let name = match review(body, context) {
            Err(error) => {
                assert!(ReviewError::NAMES.contains(&error.name()));
                error.name()
            }
            Ok(answer) => {
                if let Ok(mut value) = serde_json::from_slice::<Value>(body) {
                    let again =
                        review(value.to_string().as_bytes(), context).expect("the same review");
                    assert_eq!(again.body, answer.body);
                    let has_spec = value["request"]["object"]["spec"].is_object()
                        && value["request"]["object"]["metadata"].is_object();
                    // The API server never sends a pod without metadata or spec.
                    if let Some(patch) = answer.patch.as_ref().filter(|_| has_spec) {
                        let patch: json_patch::Patch =
                            serde_json::from_str(patch).expect("A3: a JSON Patch");
                        json_patch::patch(&mut value["request"]["object"], &patch)
                            .expect("A3: the patch should apply");
                        let again = review(value.to_string().as_bytes(), context)
                            .expect("the patched review");
                        assert_eq!(again.patch, None, "A2");
                    }
                }
                answer.record.outcome.name()
            }
        };
        *outcomes.entry(name).or_default() += 1;
    }
    for name in [
        "mutated",
        "skipped",
        "not-json",
        "wrong-type",
        "wrong-kind",
        "missing-field",
    ] {
        assert!(outcomes.contains_key(name), "{outcomes:?}");
    }
}

/// Does the same as `bytes::container_end`, one byte at a time.
fn container_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut open, mut in_text, mut escaped) = (0, false, false);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        let was_escaped = escaped;
        escaped = *byte == b'\\' && !was_escaped;
        match byte {
            b'"' if !was_escaped => in_text = !in_text,
            b'{' | b'[' if !in_text => open += 1,
            b'}' | b']' if !in_text => {
                open -= 1;
                if open == 0 {
                    // In ASCII, a closing bracket is two after the opening bracket.
                    return (bytes[start] + 2 == *byte).then_some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

proptest! {
    #[test]
    fn container_end_finds_the_closing_bracket(text in r#"[\[{]([\[\]{}"\\xy, ]|\{\}|\[\]|"x*"|\\\\|[\[{]{2}|[\]}]{2}){0,200}"#) {
        prop_assert_eq!(bytes::container_end(text.as_bytes(), 0), container_end(text.as_bytes(), 0));
    }

    #[test]
    fn find_special_finds_the_first_special_byte(text in r#"[a-zé]{0,40}["\\\x00\x1f\x20-\x24]{0,3}[a-z"]{0,40}"#, start in 0..10usize) {
        let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let expected = text.as_bytes().get(start..).and_then(|rest| Some(start + rest.iter().position(stops)?));
        prop_assert_eq!(bytes::find_special(text.as_bytes(), start), expected);
    }
}
