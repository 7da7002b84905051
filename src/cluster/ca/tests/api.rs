//! An API server in memory, with one Secret, one webhook configuration, resourceVersions, conflicts
//! and its own time.

use super::{Leaf, MINUTE, Now, OVERLAP};
use crate::names::{AUDIT_WEBHOOK, CA_SECRET, ENFORCE_WEBHOOK, NAME, NAMESPACE};
use crate::pki::authority::CaCertificate;
use axum::http::{Method, Request, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tower_service::Service;

pub(super) struct World {
    begin: (Timestamp, Instant),
    passed: Duration,
    outage_until: Duration,
    version: u64,
    random: u64,
    /// The resourceVersion and the data of the Secret.
    secret: Option<(u64, Map<String, Value>)>,
    /// The data of each write of the Secret by drydock.
    history: Vec<Map<String, Value>>,
    configuration_version: u64,
    /// The `caBundle` of both webhooks.
    bundle: Vec<u8>,
    /// Whether a disruption has changed the Secret since the last check, and whether one has
    /// changed the bundle.
    disrupted: [bool; 2],
    /// The time of each write of the bundle by drydock, and the names of its authorities.
    written: Vec<(Duration, BTreeSet<String>)>,
    serving: Vec<Option<watch::Receiver<Option<Leaf>>>>,
    authorities: BTreeSet<String>,
}

fn names(bundle: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8(bundle.to_vec()).unwrap();
    let (certificates, unreadable) = CaCertificate::all_from_pem(&text);
    assert_eq!(unreadable, 0);
    let names = certificates.iter().map(|it| it.name().to_owned());
    names.collect()
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            begin: ("2026-11-21T12:00:00Z".parse().unwrap(), Instant::now()),
            passed: Duration::ZERO,
            outage_until: Duration::ZERO,
            version: 1,
            random: seed,
            secret: None,
            history: Vec::new(),
            configuration_version: 1,
            bundle: Vec::new(),
            disrupted: [false; 2],
            written: Vec::new(),
            serving: Vec::new(),
            authorities: BTreeSet::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: self.begin.0 + self.passed,
            monotonic: self.begin.1 + self.passed,
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.passed += time;
    }

    pub(super) fn start_outage(&mut self, time: Duration) {
        self.outage_until = self.passed + time;
    }

    fn is_in_outage(&self) -> bool {
        self.passed < self.outage_until
    }

    pub(super) fn serve(&mut self, number: usize, issued: Option<watch::Receiver<Option<Leaf>>>) {
        self.serving
            .resize(self.serving.len().max(number + 1), None);
        self.serving[number] = issued;
    }

    /// Returns the number of authorities in the Secret, and the names of those in the bundle.
    pub(super) fn trusted(&self) -> (usize, BTreeSet<String>) {
        let held = self.secret.iter().flat_map(|(_, data)| data);
        let certificates = held.filter(|(field, _)| field.ends_with(".crt"));
        let held = certificates.map(|(_, text)| {
            let text = STANDARD.decode(text.as_str().unwrap()).unwrap();
            names(&text).len()
        });
        (held.sum(), names(&self.bundle))
    }

    pub(super) fn authorities(&self) -> usize {
        self.authorities.len()
    }

    pub(super) fn set_secret(&mut self, fields: Option<&[(&str, &str)]>) {
        if self.is_in_outage() {
            return;
        }
        let fields = fields.map(|fields| {
            let fields = fields.iter();
            fields
                .map(|(name, text)| ((*name).to_owned(), STANDARD.encode(text).into()))
                .collect()
        });
        self.version += 1;
        self.disrupted[0] = true;
        self.secret = fields.map(|data| (self.version, data));
    }

    /// Sets a field of the Secret, as `kubectl edit` does.
    pub(super) fn edit_secret(&mut self, field: &str, text: &str) {
        let (version, data) = self.secret.as_mut().unwrap();
        data.insert(field.to_owned(), STANDARD.encode(text).into());
        self.version += 1;
        *version = self.version;
    }

    /// Restores the data that drydock wrote to the Secret this number of writes ago, as from a
    /// backup.
    pub(super) fn restore_secret(&mut self, changes: usize) {
        let old = self.history.iter().rev().nth(changes).cloned();
        if let Some(old) = old.filter(|_| !self.is_in_outage()) {
            self.version += 1;
            self.disrupted[0] = true;
            self.secret = Some((self.version, old));
        }
    }

    pub(super) fn wipe(&mut self) {
        if !self.is_in_outage() {
            self.configuration_version += 1;
            self.disrupted[1] = true;
            self.bundle.clear();
        }
    }

    fn issued(&self) -> impl Iterator<Item = Leaf> {
        let receivers = self.serving.iter().flatten();
        receivers.filter_map(|receiver| receiver.borrow().clone())
    }

    /// Asserts that every leaf in use is valid and trusted.
    pub(super) fn check(&mut self, step: usize) {
        let now = self.now().wall;
        for issued in self.issued() {
            assert!(now < issued.expires, "step {step}: {issued:?} at {now}");
        }
        if !self.is_in_outage() {
            assert_eq!(self.issued().count(), self.serving.len(), "step {step}");
            assert!(!self.bundle.is_empty(), "step {step}: the bundle is empty");
            self.check_trust(&names(&self.bundle));
            self.disrupted = [false; 2];
        }
    }

    fn check_trust(&self, trusted: &BTreeSet<String>) {
        let now = self.now().wall;
        for issued in self.issued().filter(|issued| now < issued.expires) {
            assert!(
                trusted.contains(issued.authority.certificate().name()),
                "{issued:?} is not trusted at {now}: {trusted:?}"
            );
        }
    }

    /// Asserts that a replica serves a leaf of another authority only after the overlap, because
    /// API servers observe a new configuration late.
    pub(super) fn check_change(&self, before: Option<&Leaf>, now: Option<&Leaf>) {
        let (Some(before), Some(now)) = (before, now) else {
            assert!(before.is_none(), "a leaf was withdrawn");
            return;
        };
        let has_expired = before.expires <= self.now().wall;
        if before.authority == now.authority || has_expired {
            return;
        }
        let latest = self.passed.saturating_sub(OVERLAP - MINUTE);
        let observed = self.written.iter().rposition(|(at, _)| *at <= latest);
        for (at, trusted) in &self.written[observed.unwrap_or_default()..] {
            assert!(
                trusted.contains(now.authority.certificate().name()),
                "{now:?} is served {:?} after it was not trusted",
                self.passed - *at
            );
        }
    }

    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let secret = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{CA_SECRET}");
        let configuration =
            format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{NAME}");
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match *method {
            Method::GET if path == secret => self.secret(),
            Method::PATCH if path == secret => self.apply_secret(&body),
            Method::PUT if path == secret => self.put_secret(&body),
            Method::GET if path == configuration => self.configuration(),
            Method::PATCH if path == configuration => self.apply_configuration(&body),
            // Any other call fails, and with it the test.
            _ => status(405),
        }
    }

    fn secret(&self) -> (u16, Value) {
        let Some((version, data)) = &self.secret else {
            return status(404);
        };
        let metadata = json!({"name": CA_SECRET, "resourceVersion": version.to_string()});
        (200, json!({"metadata": metadata, "data": data}))
    }

    fn store(&mut self, body: &Value) -> (u16, Value) {
        self.version += 1;
        let data = body["data"].as_object().unwrap().clone();
        let current = STANDARD.decode(data["ca.crt"].as_str().unwrap());
        self.authorities.extend(names(&current.unwrap()));
        self.history.push(data.clone());
        self.secret = Some((self.version, data));
        self.secret()
    }

    fn apply_secret(&mut self, body: &Value) -> (u16, Value) {
        match &self.secret {
            Some((_, data)) if body["data"].as_object() != Some(data) => status(409),
            Some(_) => self.secret(),
            None => self.store(body),
        }
    }

    fn put_secret(&mut self, body: &Value) -> (u16, Value) {
        match &self.secret {
            Some((version, _)) if has_version(body, *version) => self.store(body),
            Some(_) => status(409),
            None => status(404),
        }
    }

    fn configuration(&self) -> (u16, Value) {
        let bundle = STANDARD.encode(&self.bundle);
        let webhook = |name| json!({"name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {"caBundle": bundle}});
        let version = self.configuration_version.to_string();
        let configuration = json!({
            "metadata": {"name": NAME, "resourceVersion": version},
            "webhooks": [webhook(ENFORCE_WEBHOOK), webhook(AUDIT_WEBHOOK)],
        });
        (200, configuration)
    }

    fn apply_configuration(&mut self, body: &Value) -> (u16, Value) {
        if !has_version(body, self.configuration_version) {
            return status(409);
        }
        let webhooks = body["webhooks"].as_array().unwrap();
        let bundle = &webhooks[0]["clientConfig"]["caBundle"];
        assert_eq!(*bundle, webhooks[1]["clientConfig"]["caBundle"]);
        self.bundle = STANDARD.decode(bundle.as_str().unwrap()).unwrap();
        self.configuration_version += 1;
        let trusted = names(&self.bundle);
        // If both the Secret and the bundle were changed, a new replica cannot find the authorities
        // of the other replicas, so its bundle may lack them until those replicas reconcile.
        if self.disrupted != [true; 2] {
            self.check_trust(&trusted);
        }
        self.written.push((self.passed, trusted));
        self.configuration()
    }

    fn random(&mut self, below: u64) -> u64 {
        // Knuth's random number generator for MMIX.
        let next = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = next.wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }
}

/// Returns whether an object has this resourceVersion.
fn has_version(object: &Value, version: u64) -> bool {
    let own = object["metadata"]["resourceVersion"].as_str();
    own.and_then(|own| own.parse().ok()) == Some(version)
}

fn status(code: u16) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": "no",
    });
    (code, status)
}

/// Creates a client of the API server in memory.
pub(super) fn client(world: Arc<Mutex<World>>) -> Client {
    Client::new(Server(world), NAMESPACE)
}

struct Server(Arc<Mutex<World>>);

impl Service<Request<Body>> for Server {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let world = self.0.clone();
        Box::pin(async move {
            // A random delay changes the order of concurrent calls.
            let others = world.lock().unwrap().random(8);
            for _ in 0..others {
                tokio::task::yield_now().await;
            }
            if world.lock().unwrap().is_in_outage() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await.map_err(io::Error::other)?;
            let mut world = world.lock().unwrap();
            let (code, answer) = world.answer(&head.method, head.uri.path(), &body);
            let answer = Body::from(answer.to_string().into_bytes());
            Ok(Response::builder().status(code).body(answer).unwrap())
        })
    }
}
