//! API servers for tests, whose responses the test defines. One kind listens on a socket. The other
//! kind is in memory, so that the clock can be paused.

use axum::Router;
use axum::body::Bytes;
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower_service::Service;

/// Serves a router on a socket until the runtime of the test ends. Returns a client.
pub(super) async fn client_of(router: Router) -> Client {
    Client::try_from(config_of(router).await).unwrap()
}

/// Serves a router like [`client_of`]. Returns the configuration of a client.
pub(super) async fn config_of(router: Router) -> Config {
    // kube uses the default crypto provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Config::new(url.parse().unwrap())
}

/// The response to a request.
pub(super) enum Reply {
    Json(u16, Value),
    /// A watch that sends these events and stays open.
    Events(Vec<Value>),
    /// A watch that sends the events of a channel.
    Stream(mpsc::UnboundedReceiver<Value>),
    /// A response that is delayed.
    After(Duration, Box<Self>),
    /// A body of these chunks.
    Chunks(Vec<Bytes>),
    /// No response. The connection stays open.
    Silence,
}

/// Returns the response to a LIST.
pub(super) fn list(kind: &str, items: &[Value]) -> Reply {
    let list = json!({
        "apiVersion": "v1",
        "kind": format!("{kind}List"),
        "metadata": {"resourceVersion": "7"},
        "items": items,
    });
    Reply::Json(200, list)
}

/// Returns a Status object with an error.
pub(super) fn refusal(code: u16, message: &str) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    })
}

/// An API server in memory that records the request lines.
#[derive(Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    /// Returns a client of a server. `answer` gets the request line, as in
    /// `GET /api/v1/namespaces/ci`, and returns the response.
    pub(super) fn client(&self, mut answer: impl FnMut(&str) -> Reply + Send + 'static) -> Client {
        self.client_with_bodies(move |line, _| answer(line))
    }

    /// Returns a client like [`Self::client`]. `answer` also gets the body of the request.
    pub(super) fn client_with_bodies(
        &self,
        answer: impl FnMut(&str, Value) -> Reply + Send + 'static,
    ) -> Client {
        let server = InMemory {
            requests: self.0.clone(),
            answer: Arc::new(Mutex::new(answer)),
        };
        Client::new(server, "default")
    }

    /// Returns the request lines of all requests until now.
    pub(super) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

type Respond = dyn FnMut(&str, Value) -> Reply + Send;

struct InMemory {
    requests: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Respond>>,
}

impl Service<Request<Body>> for InMemory {
    type Response = Response<axum::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let line = format!("{} {}", request.method(), request.uri());
        self.requests.lock().unwrap().push(line.clone());
        let answer = self.answer.clone();
        Box::pin(async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let mut reply = answer.lock().unwrap_or_else(PoisonError::into_inner)(&line, body);
            while let Reply::After(time, then) = reply {
                tokio::time::sleep(time).await;
                reply = *then;
            }
            let (code, body) = match reply {
                Reply::Silence | Reply::After(..) => std::future::pending().await,
                Reply::Chunks(chunks) => {
                    let chunks = chunks.into_iter().map(Ok::<_, Infallible>);
                    let body = axum::body::Body::from_stream(futures::stream::iter(chunks));
                    (200, body)
                }
                Reply::Json(code, value) => (code, axum::body::Body::from(value.to_string())),
                Reply::Events(events) => {
                    let (sender, receiver) = mpsc::unbounded_channel();
                    for event in events {
                        sender.send(event).unwrap();
                    }
                    // The sender is kept, so that the stream does not end.
                    (200, watch_body((receiver, Some(sender))))
                }
                Reply::Stream(receiver) => (200, watch_body((receiver, None))),
            };
            Ok(Response::builder().status(code).body(body).unwrap())
        })
    }
}

type Lines = (
    mpsc::UnboundedReceiver<Value>,
    Option<mpsc::UnboundedSender<Value>>,
);

fn watch_body(lines: Lines) -> axum::body::Body {
    let lines = futures::stream::unfold(lines, async |mut lines| {
        let event = lines.0.recv().await?;
        Some((Ok::<_, Infallible>(format!("{event}\n")), lines))
    });
    axum::body::Body::from_stream(lines)
}
