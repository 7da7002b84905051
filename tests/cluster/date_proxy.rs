//! A proxy in front of the API server that changes the `Date` header of responses, to simulate a
//! clock difference.

use crate::api_server::ApiServer;
use crate::drydock_process::Drydock;
use crate::identity::Identity;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt as _;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The running proxy. It forwards requests with the token of drydock's ServiceAccount, and stops
/// when dropped.
pub(crate) struct DateProxy {
    /// Seconds to add to the clock of this machine.
    offset: Arc<AtomicI64>,
    directory: TempDir,
    task: JoinHandle<()>,
}

impl Drop for DateProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DateProxy {
    /// Starts the proxy with a clock that is `ahead`.
    pub(crate) async fn start(api: &ApiServer, ahead: SignedDuration) -> Self {
        let offset = Arc::new(AtomicI64::new(ahead.as_secs()));
        let (client, of_answers) = (api.client(Identity::Drydock).await, offset.clone());
        let forward = move |request| forward(client.clone(), of_answers.clone(), request);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(forward);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let directory = TempDir::new().unwrap();
        let new = Self {
            offset,
            directory,
            task,
        };
        fs::write(new.kubeconfig(), kubeconfig(api, address).to_string()).unwrap();
        new
    }

    /// Sets how far the clock is ahead.
    pub(crate) fn set(&self, ahead: SignedDuration) {
        self.offset.store(ahead.as_secs(), Ordering::Relaxed);
    }

    /// Starts `drydock serve --cluster` with additional flags, connected to the proxy.
    pub(crate) fn in_cluster(&self, flags: &[&str]) -> Drydock {
        let flags = [&["--cluster"], flags].concat();
        Drydock::start_with(&flags, |command| {
            command.env("KUBECONFIG", self.kubeconfig());
        })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }
}

fn kubeconfig(api: &ApiServer, address: SocketAddr) -> Value {
    let text = fs::read_to_string(api.kubeconfig(Identity::Drydock)).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    let cluster = kubeconfig["clusters"][0]["cluster"].as_object_mut();
    let cluster = cluster.unwrap();
    cluster.remove("certificate-authority");
    cluster.insert("server".to_owned(), format!("http://{address}").into());
    kubeconfig
}

async fn forward(client: Client, offset: Arc<AtomicI64>, request: Request<Body>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    // The client adds the address and the token.
    head.uri = Uri::from(head.uri.path_and_query().unwrap().clone());
    head.headers.remove(header::HOST);
    head.headers.remove(header::AUTHORIZATION);
    let request = Request::from_parts(head, kube::client::Body::from(body.to_vec()));
    let mut answer = client.send(request).await.unwrap().map(Body::new);
    let now = Timestamp::now() + SignedDuration::from_secs(offset.load(Ordering::Relaxed));
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
    let date = HeaderValue::from_str(&date.unwrap()).unwrap();
    answer.headers_mut().insert(header::DATE, date);
    answer
}
