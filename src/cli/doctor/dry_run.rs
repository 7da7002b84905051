//! Creates job pods with `dryRun=All`.

use super::reader::{ApiCall, Reader, message};
use crate::diagnose::dry_run_pods::{DryRun, DryRunResult, PodKind};
use crate::diagnose::facts::Reason;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use kube::Error;
use serde_json::Value;
use std::time::Instant;

/// Creates one pod of each kind in a namespace. Sends the requests one after the other, so that
/// their durations can be compared.
pub(super) async fn send(reader: &Reader, namespace: String, kinds: Vec<PodKind>) -> Vec<DryRun> {
    let mut all = Vec::new();
    for kind in kinds {
        let begin = Instant::now();
        let result = create(reader, &namespace, kind).await;
        let has_failed = matches!(result, DryRunResult::Failed(_));
        all.push(DryRun {
            namespace: namespace.clone(),
            kind,
            took: begin.elapsed(),
            result,
        });
        if has_failed {
            break;
        }
    }
    all
}

async fn create(reader: &Reader, namespace: &str, kind: PodKind) -> DryRunResult {
    let call = ApiCall::of("create", "pods", Some(namespace));
    let request = Request::post(format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"))
        .header(CONTENT_TYPE, "application/json")
        .body(kind.pod().to_string().into_bytes());
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            return DryRunResult::Failed(call.read_error(Reason::Failed(error.to_string())));
        }
    };
    let sent = async {
        match reader.client.request::<Value>(request).await {
            Ok(pod) => Ok(DryRunResult::Pod(Box::new(pod))),
            // RBAC and admission plugins both respond with 403, so the message determines which of
            // them refused the request.
            Err(Error::Api(status))
                if status.code == 403 && status.message.contains("is forbidden: User ") =>
            {
                Err(Error::Api(status))
            }
            Err(Error::Api(status)) => Ok(DryRunResult::Refused(status.message.clone())),
            Err(error) => Ok(DryRunResult::Failed(
                call.read_error(Reason::Failed(message(&error))),
            )),
        }
    };
    match reader.ask(call, sent).await {
        Ok(result) => result,
        Err(error) => DryRunResult::Failed(error),
    }
}
