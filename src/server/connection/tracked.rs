//! The requests of a connection.

use super::{Arriving, Connection, Evictable, Phase, locked};
use axum::body::HttpBody;
use axum::http::{HeaderValue, Request, Response, header};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tower_service::Service;

/// A service that tells its connection how far a request has got.
#[derive(Clone)]
pub struct Tracked<S> {
    service: S,
    connection: Arc<Connection>,
}

impl<S> Tracked<S> {
    pub(super) fn new(service: S, connection: Arc<Connection>) -> Self {
        Self {
            service,
            connection,
        }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

/// A request that is being answered; it ends with its answer, or with its connection.
struct Underway(Arc<Connection>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.release_body();
    }
}

impl<S, B, R> Service<Request<B>> for Tracked<S>
where
    B: HttpBody,
    S: Service<Request<Arriving<B>>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: HttpBody,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let connection = self.connection.clone();
        request
            .extensions_mut()
            .insert(Evictable::new(connection.clone()));
        connection.enter(if request.body().is_end_stream() {
            Phase::Answering
        } else {
            Phase::Body
        });
        let underway = Underway(connection.clone());
        let request = request.map(|body| Arriving::new(body, connection));
        let answer = self.service.call(request);
        Box::pin(async move {
            let mut answer = answer.await;
            underway.0.note_answer();
            if let Ok(answer) = &answer {
                underway.0.note_size(answer.body());
            }
            if let (Ok(answer), true) = (&mut answer, underway.0.is_last_answer()) {
                answer
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            answer
        })
    }
}

impl Connection {
    /// Counts an answer until it is sent. Only above TLS is it seen when that is; on the ops port
    /// answers are small, and connections are few.
    fn note_size(&self, body: &impl HttpBody) {
        if let (Some(bytes), true) = (body.size_hint().exact(), self.shared.is_webhook) {
            self.hold_answer(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Whether the client is to send its next request elsewhere.
    fn is_last_answer(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed) || locked(&self.progress).made_room.is_some()
    }
}
