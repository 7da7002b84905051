//! The API server in memory: one Secret, one webhook configuration, versions, conflicts, time.

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
    away_until: Duration,
    version: u64,
    random: u64,
    secret: Option<(u64, Map<String, Value>)>,
    /// All that the Secret has held.
    held: Vec<Map<String, Value>>,
    configuration_version: u64,
    /// The names of the authorities that both webhooks trust.
    bundle: Vec<u8>,
    /// Whether Secret and bundle were removed since all was good.
    taken: [bool; 2],
    /// What drydock wrote, and when.
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
            away_until: Duration::ZERO,
            version: 1,
            random: seed,
            secret: None,
            held: Vec::new(),
            configuration_version: 1,
            bundle: Vec::new(),
            taken: [false; 2],
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

    pub(super) fn go_away(&mut self, time: Duration) {
        self.away_until = self.passed + time;
    }

    fn is_away(&self) -> bool {
        self.passed < self.away_until
    }

    pub(super) fn serve(&mut self, number: usize, issued: Option<watch::Receiver<Option<Leaf>>>) {
        self.serving
            .resize(self.serving.len().max(number + 1), None);
        self.serving[number] = issued;
    }

    /// How many authorities the Secret holds, and the names of those that the webhooks trust.
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
        if self.is_away() {
            return;
        }
        let fields = fields.map(|fields| {
            let fields = fields.iter();
            fields
                .map(|(name, text)| ((*name).to_owned(), STANDARD.encode(text).into()))
                .collect()
        });
        self.version += 1;
        self.taken[0] = true;
        self.secret = fields.map(|data| (self.version, data));
    }

    /// Adds a field, as a user who edits the Secret.
    pub(super) fn edit_secret(&mut self, field: &str, text: &str) {
        let (version, data) = self.secret.as_mut().unwrap();
        data.insert(field.to_owned(), STANDARD.encode(text).into());
        self.version += 1;
        *version = self.version;
    }

    /// Puts back what the Secret held so many changes ago, as from a backup.
    pub(super) fn restore_secret(&mut self, changes: usize) {
        let old = self.held.iter().rev().nth(changes).cloned();
        if let Some(old) = old.filter(|_| !self.is_away()) {
            self.version += 1;
            self.taken[0] = true;
            self.secret = Some((self.version, old));
        }
    }

    pub(super) fn wipe(&mut self) {
        if !self.is_away() {
            self.configuration_version += 1;
            self.taken[1] = true;
            self.bundle.clear();
        }
    }

    fn issued(&self) -> impl Iterator<Item = Leaf> {
        let receivers = self.serving.iter().flatten();
        receivers.filter_map(|receiver| receiver.borrow().clone())
    }

    /// What is served is good, and trusted.
    pub(super) fn check(&mut self, step: usize) {
        let now = self.now().wall;
        for issued in self.issued() {
            assert!(now < issued.expires, "step {step}: {issued:?} at {now}");
        }
        if !self.is_away() {
            assert_eq!(self.issued().count(), self.serving.len(), "step {step}");
            assert!(!self.bundle.is_empty(), "step {step}: it is healed");
            self.check_trust(&names(&self.bundle));
            self.taken = [false; 2];
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

    /// API servers see a configuration late: who changes its authority has given them time.
    pub(super) fn check_change(&self, before: Option<&Leaf>, now: Option<&Leaf>) {
        let (Some(before), Some(now)) = (before, now) else {
            assert!(before.is_none(), "what is served is not taken back");
            return;
        };
        let has_expired = before.expires <= self.now().wall;
        if before.authority == now.authority || has_expired {
            return;
        }
        let late = self.passed.saturating_sub(OVERLAP - MINUTE);
        let seen = self.written.iter().rposition(|(at, _)| *at <= late);
        for (at, trusted) in &self.written[seen.unwrap_or_default()..] {
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
            // Other calls fail, and the replica does not come to rest.
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
        self.held.push(data.clone());
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
            Some((version, _)) if is_of(body, *version) => self.store(body),
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
        if !is_of(body, self.configuration_version) {
            return status(409);
        }
        let webhooks = body["webhooks"].as_array().unwrap();
        let bundle = &webhooks[0]["clientConfig"]["caBundle"];
        assert_eq!(*bundle, webhooks[1]["clientConfig"]["caBundle"]);
        self.bundle = STANDARD.decode(bundle.as_str().unwrap()).unwrap();
        self.configuration_version += 1;
        let trusted = names(&self.bundle);
        // Where both are gone, who has just begun cannot know of the others: they add theirs.
        if self.taken != [true; 2] {
            self.check_trust(&trusted);
        }
        self.written.push((self.passed, trusted));
        self.configuration()
    }

    fn random(&mut self, below: u64) -> u64 {
        // Knuth's MMIX generator.
        let next = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = next.wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }
}

/// Whether an object was made of this version of it.
fn is_of(object: &Value, version: u64) -> bool {
    let of = object["metadata"]["resourceVersion"].as_str();
    of.and_then(|of| of.parse().ok()) == Some(version)
}

fn status(code: u16) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": "no",
    });
    (code, status)
}

/// A client of it.
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
            // Others may be first.
            let others = world.lock().unwrap().random(8);
            for _ in 0..others {
                tokio::task::yield_now().await;
            }
            if world.lock().unwrap().is_away() {
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
