//! Requests to the API server that return the status, the warnings, and the object as JSON, which
//! `kube::Api` does not.

use axum::http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// A response with any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The texts of the `Warning` headers, which `kubectl` prints.
    pub(crate) warnings: Vec<String>,
    /// The object, or a `Status` with the error.
    pub(crate) body: Value,
}

impl Answer {
    /// Returns the object. Panics if the request failed.
    #[track_caller]
    pub(crate) fn object(self) -> Value {
        assert!(matches!(self.status, 200 | 201), "{self:?}");
        self.body
    }

    /// Returns the error message. Panics if the request succeeded.
    #[track_caller]
    pub(crate) fn refusal(&self) -> &str {
        assert!(self.status >= 400, "{self:?}");
        self.body["message"].as_str().unwrap()
    }
}

/// Whether a request is sent with `dryRun=All`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DryRun {
    /// Admission runs, but the object is not stored.
    Yes,
    No,
}

/// Creates a pod in a namespace.
pub(crate) async fn create_pod(
    client: &Client,
    namespace: &str,
    pod: &Value,
    dry_run: DryRun,
) -> Answer {
    let query = match dry_run {
        DryRun::Yes => "?dryRun=All",
        DryRun::No => "",
    };
    let path = format!("/api/v1/namespaces/{namespace}/pods{query}");
    call(client, Method::POST, &path, Some(pod)).await
}

/// Creates or updates an object by server-side apply. `path` ends with its name.
pub(crate) async fn apply(client: &Client, path: &str, object: &Value) -> Answer {
    let path = format!("{path}?fieldManager=tests&force=true");
    call(client, Method::PATCH, &path, Some(object)).await
}

/// Reads an object.
pub(crate) async fn get(client: &Client, path: &str) -> Answer {
    call(client, Method::GET, path, None).await
}

/// Sends a request. Panics if there is no response.
pub(crate) async fn call(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    try_call(client, method, path, body).await.unwrap()
}

/// Sends a request to an API server that may be down.
pub(crate) async fn try_call(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> kube::Result<Answer> {
    let content_type = match method {
        Method::PATCH => "application/apply-patch+yaml",
        _ => "application/json",
    };
    send(client, method, path, content_type, body).await
}

/// Changes an object by a JSON Patch (RFC 6902).
pub(crate) async fn patch(client: &Client, path: &str, operations: &Value) -> Answer {
    let content_type = "application/json-patch+json";
    let answer = send(client, Method::PATCH, path, content_type, Some(operations));
    answer.await.unwrap()
}

/// Changes an object by a JSON Merge Patch (RFC 7386).
pub(crate) async fn merge(client: &Client, path: &str, change: &Value) -> Answer {
    let content_type = "application/merge-patch+json";
    let answer = send(client, Method::PATCH, path, content_type, Some(change));
    answer.await.unwrap()
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: Option<&Value>,
) -> kube::Result<Answer> {
    let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", content_type)
        .body(Body::from(bytes))
        .unwrap();
    let response = client.send(request).await?;
    let status = response.status().as_u16();
    let warnings = response.headers().get_all("Warning").iter();
    let warnings = warnings
        .map(|value| warning_text(value.to_str().unwrap()))
        .collect();
    let text = response.into_body().collect_bytes().await?;
    // Health checks return plain text.
    let plain = || Value::from(String::from_utf8_lossy(&text).into_owned());
    let body = serde_json::from_slice(&text).unwrap_or_else(|_| plain());
    Ok(Answer {
        status,
        warnings,
        body,
    })
}

/// Returns the text of a header `299 - "text"` (RFC 7234 §5.5), in which a backslash escapes the
/// next character.
fn warning_text(header: &str) -> String {
    let (_, quoted) = header.split_once('"').unwrap();
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => text.extend(characters.next()),
            _ => text.push(character),
        }
    }
    text
}
