//! Tests of both ports of a server whose only webhook thread is occupied by a review.

use super::*;
use crate::core::policy::AddressesBySource;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::future::ready;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex};

/// Timeout for operations that take almost no time unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(20);

const DRAIN: Duration = Duration::from_secs(3600);

/// Blocks callers of `pass` until it is opened.
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

struct GateState {
    is_open: bool,
    waiting: usize,
}

impl Gate {
    pub(super) const fn closed() -> Self {
        Self {
            state: Mutex::new(GateState {
                is_open: false,
                waiting: 0,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().is_open = true;
        self.changed.notify_all();
    }

    pub(super) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        let passed = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.is_open);
        assert!(!passed.unwrap().1.timed_out(), "the gate was not opened");
    }

    fn wait_for_caller(&self) {
        let state = self.state.lock().unwrap();
        let came = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.waiting == 0);
        assert!(!came.unwrap().1.timed_out(), "`pass` was not called");
    }
}

/// Sends a request and returns all bytes of the response.
fn ask(stream: &mut (impl io::Read + io::Write), request: &str) -> String {
    let request = format!(
        "{request} HTTP/1.1\r\nHost: drydock\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    // A TLS stream may end without `close_notify`, and then `read` returns an error.
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(answer).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn get(ops: SocketAddr, path: &str) -> String {
    ask(&mut connect(ops), &format!("GET {path}"))
}

/// Creates a certificate for the server, and the configuration of a client that trusts it.
pub(super) fn certificate() -> (Certificate, Arc<ClientConfig>) {
    // This fails if another test has installed the provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(made.cert.der().to_vec()))
        .unwrap();
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (certificate, Arc::new(client))
}

fn state(certificate: Certificate, review: ReviewFn) -> State {
    let set = PolicySet::new(Vec::new(), &AddressesBySource::new());
    let policies = watch::channel(Some(Arc::new(set))).1;
    let certificate = watch::channel(Some(certificate)).1;
    let (metrics, limits) = (Arc::new(Metrics::new()), Limits::default());
    State {
        review,
        ..State::new(policies, certificate, metrics, "drydock", limits)
    }
}

/// Health and shutdown must not wait for a review (rule F6).
#[test]
fn f6_the_ops_port_answers_and_draining_begins_while_a_review_occupies_the_webhook() {
    static GATE: Gate = Gate::closed();
    let (certificate, client) = certificate();
    let state = state(certificate, |_, _| {
        GATE.pass();
        Err(ReviewError::Missing("request"))
    });
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (webhook, ops) = (listen(), listen());
    let (webhook_address, ops_address) = (webhook.local_addr().unwrap(), ops.local_addr().unwrap());
    let tls = crate::pki::tls::server_config(state.certificate.clone(), None);
    let (end, ended) = oneshot::channel();
    let shutdown = async {
        let _ = ended.await;
    };
    // The thread ends with the process, because draining takes longer than the test.
    thread::spawn(move || {
        let served = async {
            webhook.set_nonblocking(true).unwrap();
            let webhook = ready(tokio::net::TcpListener::from_std(webhook));
            run(webhook, ops, tls, state, DRAIN, shutdown).await
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(served)
    });
    let reviewed = thread::spawn(move || {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(client, name).unwrap();
        let mut stream = StreamOwned::new(session, connect(webhook_address));
        ask(&mut stream, "POST /mutate")
    });

    GATE.wait_for_caller();
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = get(ops_address, path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer:?}");
    }
    end.send(()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !get(ops_address, "/readyz").contains("draining") {
        assert!(Instant::now() < deadline, "still ready");
    }
    GATE.open();
    let review = reviewed.join().unwrap();
    assert!(review.starts_with("HTTP/1.1 400"), "{review:?}");
}

#[tokio::test]
async fn livez_fails_only_if_a_restart_helps() {
    use tower_service::Service as _;
    let (certificate, _) = certificate();
    let mut state = state(certificate, |_, _| Err(ReviewError::Missing("request")));
    for (seconds, status) in [(10, 200), (120, 503)] {
        let started = Instant::now().checked_sub(Duration::from_secs(seconds));
        state.watchdog = Arc::new(Watchdog::new(started.unwrap()));
        let request = axum::http::Request::get("/livez")
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = ops_router(state.clone()).call(request).await.unwrap();
        assert_eq!(answer.status(), status);
    }
}
