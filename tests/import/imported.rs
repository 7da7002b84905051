//! Runs an import, and asserts properties of its policies and its report.

use drydock::core::policy;
use drydock::import::{Input, ReportFormat, import};
use serde_json::Value;

/// The output of an import.
pub struct Imported {
    pub policies: String,
    pub report: Value,
    pub text: String,
    pub markdown: String,
    pub is_complete: bool,
}

/// Imports files, given as names and contents. The name `-` stands for stdin.
pub fn imported(files: &[(&str, &[u8])]) -> Imported {
    let inputs: Vec<Input<'_>> = files
        .iter()
        .map(|(name, bytes)| Input {
            name,
            bytes,
            is_stdin: *name == "-",
        })
        .collect();
    let outcome = import(&inputs);
    Imported {
        report: serde_json::from_str(&outcome.report.render(ReportFormat::Json)).unwrap(),
        text: outcome.report.render(ReportFormat::Text),
        markdown: outcome.report.render(ReportFormat::Markdown),
        policies: outcome.policies,
        is_complete: outcome.is_complete,
    }
}

/// Imports one file.
pub fn one(name: &str, text: &str) -> Imported {
    imported(&[(name, text.as_bytes())])
}

impl Imported {
    /// Returns the names and the specs of the policies. Asserts that `drydock check` accepts them
    /// and that their mode is Enforce, and removes the mode.
    #[track_caller]
    pub fn specs(&self) -> Vec<(String, Value)> {
        assert!(self.is_complete, "{}", self.text);
        if self.policies.is_empty() {
            return Vec::new();
        }
        let checked = policy::read("imported", &self.policies);
        assert!(
            checked.errors.is_empty(),
            "{:?}\n{}",
            checked.errors,
            self.policies
        );
        let documents = drydock::core::document::split(&self.policies);
        let specs = documents.into_iter().map(|document| {
            let mut object = document.content.unwrap();
            let spec = object["spec"].as_object_mut().unwrap();
            assert_eq!(spec.remove("mode"), Some("Enforce".into()));
            (
                object["metadata"]["name"].as_str().unwrap().to_owned(),
                object["spec"].clone(),
            )
        });
        specs.collect()
    }

    /// Asserts the names and the specs (YAML, without the mode) of the policies.
    #[track_caller]
    pub fn assert_policies(&self, expected: &[(&str, &str)]) {
        let expected: Vec<(String, Value)> = expected
            .iter()
            .map(|(name, spec)| ((*name).to_owned(), yaml(spec)))
            .collect();
        let specs = self.specs();
        assert_eq!(specs, expected, "\n{}\n{}", self.policies, self.text);
    }

    /// Asserts that a group has a finding at this line that contains all words.
    #[track_caller]
    pub fn assert_finding(&self, group: &str, line: u64, words: &[&str]) {
        let findings = self.report[group].as_array().unwrap();
        let fits = |finding: &&Value| {
            let places = finding["places"].as_array().unwrap();
            let is_there = places.iter().any(|place| {
                place["line"].as_u64().unwrap() <= line
                    && line <= place["lastLine"].as_u64().unwrap()
            });
            let text = format!(
                "{} {}",
                finding["what"].as_str().unwrap(),
                finding["todo"].as_str().unwrap()
            );
            is_there && words.iter().all(|word| text.contains(word))
        };
        assert!(
            findings.iter().any(|finding| fits(&finding)),
            "no finding {group} in line {line} with {words:?}:\n{}",
            self.text
        );
    }

    /// Returns the number of findings in a group.
    pub fn count(&self, group: &str) -> usize {
        self.report[group].as_array().unwrap().len()
    }

    /// Asserts that the comments of the policies contain all words.
    #[track_caller]
    pub fn assert_comment(&self, words: &[&str]) {
        let lines = self.policies.lines();
        let comments = lines.filter(|line| line.trim_start().starts_with('#'));
        let comments = comments.collect::<Vec<_>>().join("\n");
        for word in words {
            assert!(comments.contains(word), "{word}\n{}", self.policies);
        }
    }

    /// Returns the policies and the report in all formats.
    pub fn output(&self) -> String {
        format!(
            "{}{}{}{}",
            self.policies, self.text, self.markdown, self.report
        )
    }

    #[track_caller]
    pub fn assert_never(&self, forbidden: &[&str]) {
        let output = self.output();
        for text in forbidden {
            assert!(!output.contains(text), "{text} was printed:\n{output}");
        }
    }

    /// Asserts that no policy is written, and that an error at this line contains all words.
    #[track_caller]
    pub fn assert_refused(&self, line: u64, words: &[&str]) {
        assert!(
            !self.is_complete && self.policies.is_empty(),
            "{}",
            self.policies
        );
        let errors = self.report["errors"].as_array().unwrap();
        let fits = |error: &&Value| {
            let text = format!(
                "{} {}",
                error["what"].as_str().unwrap(),
                error["todo"].as_str().unwrap()
            );
            error["places"][0]["line"] == line && words.iter().all(|word| text.contains(word))
        };
        assert!(
            errors.iter().any(|error| fits(&error)),
            "no error in line {line} with {words:?}:\n{}",
            self.text
        );
    }
}

pub fn yaml(text: &str) -> Value {
    let text = format!(
        "spec:\n{}",
        text.lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    );
    let document = drydock::core::document::split(&text).remove(0);
    let spec = document.content.unwrap()["spec"].clone();
    if spec.is_null() {
        serde_json::json!({})
    } else {
        spec
    }
}
