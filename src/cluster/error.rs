//! Describes failed calls to the API server in one line, and logs problems once.

use super::client::NoAnswer;
use crate::core::quote;
use kube::core::Status;
use std::collections::BTreeMap;
use std::error::Error;

/// Maximum length of a word that drydock repeats from a message of the API server. Names are
/// shorter, and base64 data of a Secret is longer.
const MAX_WORD_BYTES: usize = 60;

/// Returns the message of the API server if the error contains one. Otherwise returns the error and
/// its sources, without repetitions.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(status) = status_of(error) {
            return message(status);
        }
        if error.is::<NoAnswer>() {
            return error.to_string();
        }
        // Some errors of kube end with the text of their source.
        let text = error.to_string();
        if let Some(outer) = texts.last_mut() {
            while let Some(begin) = outer.strip_suffix(&text) {
                *outer = begin.trim_end_matches([':', ' ']).to_owned();
            }
        }
        texts.push(text);
        next = error.source();
    }
    texts.retain(|text| !text.is_empty());
    texts.dedup();
    quote::escape(&texts.join(": "))
}

/// Returns the Status object with which the API server answered, if the error contains one.
pub(super) fn status_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Status> {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => Some(status),
        _ => error.downcast_ref(),
    }
}

/// Returns the message of a Status. Replaces long words, because the message can quote Secret data
/// that drydock has sent.
fn message(status: &Status) -> String {
    let message = match status.message.trim() {
        "" => status.reason.as_str(),
        message => message,
    };
    let words = message.split_whitespace();
    let short = words.map(|word| match word.len() <= MAX_WORD_BYTES {
        true => word,
        false => "…",
    });
    quote::escape(&short.collect::<Vec<_>>().join(" "))
}

/// Logs a problem when it begins, when its text changes and when it ends, but not at each retry.
#[derive(Debug, Default)]
pub(super) struct LogOnce(BTreeMap<&'static str, String>);

impl LogOnce {
    /// Sets the current problem of a subject; `None` means that it has no problem.
    pub(super) fn set(&mut self, subject: &'static str, problem: Option<String>) {
        let before = match &problem {
            Some(problem) => self.0.insert(subject, problem.clone()),
            None => self.0.remove(subject),
        };
        match (problem, before) {
            (Some(problem), before) if before.as_ref() != Some(&problem) => {
                tracing::warn!("{problem}");
            }
            (None, Some(problem)) => tracing::info!(problem, "the problem is resolved"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::describe;
    use kube::core::Status;

    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("middle: {0}")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn each_cause_is_printed_once() {
        let error = Outer(Middle(std::io::Error::other("no such file")));
        assert_eq!(describe(&error), "outer: middle: no such file");
    }

    #[test]
    fn t4_the_api_servers_words_are_kept_and_encoded_data_is_not() {
        let data = "QUJD".repeat(30);
        let message = format!("Secret \"a\" is invalid: data: Invalid value: {data}: immutable");
        let status = Status::failure(&message, "Invalid").with_code(422).boxed();
        let text = describe(&kube::Error::Api(status));
        assert_eq!(
            text,
            "Secret \"a\" is invalid: data: Invalid value: … immutable"
        );
    }
}
