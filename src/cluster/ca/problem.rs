//! What can go wrong with the cluster, and telling it once.

use crate::core::shown;
use crate::names::{CA_SECRET, NAME};
use std::time::Duration;

/// Why a look did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The API server did not do something.
    #[error("{what}: {why}; it is tried again")]
    Api {
        /// What drydock wanted.
        what: String,
        /// What the API server said, without what was sent.
        why: String,
    },
    /// Someone else has written in between.
    #[error("{0} was changed by someone else at the same time")]
    Conflict(String),
    /// The API server takes too long.
    #[error("the API server has not answered for {0:?}; it is tried again")]
    Slow(Duration),
    /// No certificate can be made.
    #[error("{0:#}")]
    Authority(#[from] crate::pki::authority::AuthorityError),
}

/// What is read and written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object<'a> {
    /// The Secret, in a namespace.
    Secret(&'a str),
    /// The webhook configuration.
    Configuration,
}

impl Object<'_> {
    fn name(self) -> String {
        match self {
            Self::Secret(namespace) => format!("secret {namespace}/{CA_SECRET}"),
            Self::Configuration => format!("mutatingwebhookconfiguration {NAME}"),
        }
    }

    /// Says that it could not be read or written.
    pub(super) fn failed(self, verb: &str) -> impl FnOnce(kube::Error) -> Problem {
        let name = self.name();
        let verb = verb.to_owned();
        move |error| match &error {
            kube::Error::Api(status) if status.code == 409 => Problem::Conflict(name),
            _ => Problem::Api {
                what: format!("{name} cannot be {verb}"),
                why: shown::sentence(&reason(&error)),
            },
        }
    }
}

/// What an error says, without what was sent or read: that may be a Secret.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code != 422 => status.message.clone(),
        kube::Error::Api(status) => format!("the API server refuses it ({})", status.reason),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            "the answer cannot be read".to_owned()
        }
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}

/// Tells each problem when it begins and when it is over, not each time.
#[derive(Debug, Default)]
pub(super) struct Told(Option<String>);

impl Told {
    /// Tells a problem that is not the one told last.
    pub(super) fn once(&mut self, problem: &str) {
        if self.0.as_deref() != Some(problem) {
            tracing::warn!("{problem}");
            self.0 = Some(problem.to_owned());
        }
    }

    /// Tells that there is no problem any more, where there was one.
    pub(super) fn is_well(&mut self) {
        if let Some(problem) = self.0.take() {
            tracing::info!(problem, "this is over");
        }
    }
}
