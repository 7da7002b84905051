//! The baseline: a webhook that returns a constant response for each path.

use crate::drydock_process::Certificate;
use axum::Router;
use axum::extract::Path;
use axum_server::tls_rustls::RustlsConfig;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

/// A webhook that runs on its own thread until the process ends.
pub(crate) struct Baseline {
    address: SocketAddr,
    certificate: Certificate,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The text of each response before and after the `uid`, by path.
    answers: HashMap<String, (String, String)>,
    last_review: String,
}

impl Baseline {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let certificate = Certificate::new();
        let tls = RustlsConfig::from_pem_file(certificate.file(), certificate.key_file());
        let tls = tls.await.unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let router = Router::new().route(
                "/{path}",
                axum::routing::post(async move |Path(path): Path<String>, review: String| {
                    let answer = shared.lock().unwrap().answer(&path, review);
                    ([("Content-Type", "application/json")], answer)
                }),
            );
            runtime.block_on(async {
                let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
                server.serve(router.into_make_service()).await.unwrap();
            });
        });
        Self {
            address,
            certificate,
            state,
        }
    }

    /// Sets the response for a path. Its `uid` is replaced by that of the request.
    pub(crate) fn answers(&self, path: &str, answer: &str) {
        let (before, after) = answer.split_once(uid(answer)).unwrap();
        let halves = (before.to_owned(), after.to_owned());
        self.state
            .lock()
            .unwrap()
            .answers
            .insert(slug(path), halves);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}/{}", self.address, slug(path))
    }

    /// Returns the CA certificate, in PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.certificate.authority
    }

    pub(crate) fn last_review(&self) -> String {
        self.state.lock().unwrap().last_review.clone()
    }
}

impl State {
    fn answer(&mut self, path: &str, review: String) -> String {
        let uid = uid(&review);
        let answer = match self.answers.get(path) {
            Some((before, after)) => format!("{before}{uid}{after}"),
            None => format!(
                r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true}}}}"#
            ),
        };
        self.last_review = review;
        answer
    }
}

/// Returns the first `uid` of a review or a response. In a review, `request.uid` precedes the pod.
fn uid(review: &str) -> &str {
    let (_, rest) = review.split_once(r#""uid":""#).unwrap();
    rest.split_once('"').unwrap().0
}

/// Converts a name to a path segment, which is also valid in object names.
pub(crate) fn slug(name: &str) -> String {
    let mut slug: String = name
        .to_lowercase()
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    slug.truncate(50);
    slug.trim_end_matches('-').to_owned()
}
