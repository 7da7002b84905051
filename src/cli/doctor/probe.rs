//! Sends job pods with `dryRun=All`: every step of an admission, and nothing is stored.

use super::reader::{Question, Reader, words};
use crate::diagnose::dry_run_pods::{Answer, Kind, Probed};
use crate::diagnose::facts::Reason;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use kube::Error;
use serde_json::Value;
use std::time::Instant;

/// Sends one pod of each kind to a namespace, one after the other, so that times can be compared.
pub(super) async fn send(reader: &Reader, namespace: String, kinds: Vec<Kind>) -> Vec<Probed> {
    let mut all = Vec::new();
    for kind in kinds {
        let begin = Instant::now();
        let answer = answer(reader, &namespace, kind).await;
        let is_over = matches!(answer, Answer::Unread(_));
        all.push(Probed {
            namespace: namespace.clone(),
            kind,
            took: begin.elapsed(),
            answer,
        });
        if is_over {
            break;
        }
    }
    all
}

async fn answer(reader: &Reader, namespace: &str, kind: Kind) -> Answer {
    let question = Question::of("create", "pods", Some(namespace));
    let request = Request::post(format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"))
        .header(CONTENT_TYPE, "application/json")
        .body(kind.pod().to_string().into_bytes());
    let request = match request {
        Ok(request) => request,
        Err(error) => return Answer::Unread(question.unread(Reason::Failed(error.to_string()))),
    };
    let sent = async {
        match reader.client.request::<Value>(request).await {
            Ok(pod) => Ok(Answer::Pod(Box::new(pod))),
            // A right that is missing is refused in other words than the pod itself.
            Err(Error::Api(status))
                if status.code == 403 && status.message.contains("is forbidden: User ") =>
            {
                Err(Error::Api(status))
            }
            Err(Error::Api(status)) => Ok(Answer::Refused(status.message.clone())),
            Err(error) => Ok(Answer::Unread(
                question.unread(Reason::Failed(words(&error))),
            )),
        }
    };
    match reader.ask(question, sent).await {
        Ok(answer) => answer,
        Err(unread) => Answer::Unread(unread),
    }
}
