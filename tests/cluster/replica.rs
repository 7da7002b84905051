//! A replica of drydock in the test process, with short-lived certificates, and clients that call
//! it continuously.

use crate::api_server::ApiServer;
use crate::identity::Identity;
use crate::raw_requests::{DryRun, create_pod};
use drydock::cluster::ca::{self, Lifetimes, Settings};
use drydock::cluster::client::with_clock;
use drydock::cluster::clock::{Clock, Now};
use drydock::core::policy::PolicySet;
use drydock::names::{CA_SECRET, NAME, NAMESPACE};
use drydock::pki::leaf::Leaf;
use drydock::pki::tls::{Certificate, server_config};
use drydock::server::limits::Limits;
use drydock::server::{self, State};
use drydock::telemetry::metrics::Metrics;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::{Api, Client};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The longest time between two reconciliations.
const INTERVAL: Duration = Duration::from_millis(200);

/// Returns lifetimes, given in seconds.
pub(crate) fn lifetimes(ca: f64, leaf: f64, overlap: f64) -> Lifetimes {
    let [ca, leaf, overlap] = [ca, leaf, overlap].map(Duration::from_secs_f64);
    Lifetimes::new(ca, leaf, overlap).unwrap()
}

/// A replica: it manages certificates as drydock's ServiceAccount, and runs a server with them. It
/// stops when dropped.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    pub(crate) issued: watch::Receiver<Option<Leaf>>,
    pub(crate) metrics: Arc<Metrics>,
    _work: JoinSet<()>,
}

impl Replica {
    pub(crate) async fn start(api: &ApiServer, name: &str, lifetimes: Lifetimes) -> Self {
        Self::start_at(api, name, lifetimes, Now::current).await
    }

    /// Starts a replica with another clock.
    pub(crate) async fn start_at(
        api: &ApiServer,
        name: &str,
        lifetimes: Lifetimes,
        now: impl Fn() -> Now + Send + Sync + 'static,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let settings = Settings {
            namespace: NAMESPACE.to_owned(),
            secret: CA_SECRET.to_owned(),
            configuration: NAME.to_owned(),
            service: NAME.to_owned(),
            names: vec!["127.0.0.1".to_owned()],
            replica: name.to_owned(),
            lifetimes,
            interval: INTERVAL,
            clock: Clock::new(now, metrics.clone()),
        };
        let client = with_clock(api.client(Identity::Drydock).await, &settings.clock);
        let (sender, issued) = watch::channel(None);
        let listener = || server::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (webhook, ops) = (listener(), listener());
        let address = webhook.local_addr().unwrap();
        let ops = server::listen(ops).unwrap().into_std().unwrap();
        let mut work = JoinSet::new();
        let of_reconciler = metrics.clone();
        work.spawn(async move { match ca::run(client, settings, of_reconciler, sender).await {} });
        work.spawn(serve(webhook, ops, issued.clone(), metrics.clone()));
        Self {
            address,
            issued,
            metrics,
            _work: work,
        }
    }

    /// Waits for the first certificate, and until the port is open, which happens after it.
    pub(crate) async fn ready(&self) -> Leaf {
        let mut issued = self.issued.clone();
        let first = issued.wait_for(Option::is_some);
        let first = tokio::time::timeout(crate::wait::TIMEOUT, first).await;
        let first = first.expect("no certificate was issued in time");
        let first = first.unwrap().clone().unwrap();
        let listens = async || tokio::net::TcpStream::connect(self.address).await.is_ok();
        crate::wait::eventually("the port is open", crate::wait::TIMEOUT, listens, |it| *it).await;
        first
    }

    /// Returns the certificate in use, if there is one.
    pub(crate) fn issued(&self) -> Option<Leaf> {
        self.issued.borrow().clone()
    }

    /// Returns the count of a certificate event.
    pub(crate) fn events(&self, event: &str) -> u32 {
        let sample = format!("drydock_certificate_events_total{{event=\"{event}\"}} ");
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(&sample));
        line.unwrap().parse().unwrap()
    }
}

/// Serves reviews without policies, and closes the connection after each response.
async fn serve(
    webhook: TcpSocket,
    ops: std::net::TcpListener,
    mut issued: watch::Receiver<Option<Leaf>>,
    metrics: Arc<Metrics>,
) {
    let (certificates, certificate) = watch::channel(None);
    let set = PolicySet::new(Vec::new(), &drydock::core::policy::AddressesBySource::new());
    let (_policies, policies) = watch::channel(Some(Arc::new(set)));
    let limits = Limits::default();
    let state = State::new(policies, certificate.clone(), metrics, NAMESPACE, limits);
    // A draining server closes the connection after each response, so each request needs a new
    // handshake.
    state.draining.store(true, Ordering::Relaxed);
    let tls = server_config(certificate.clone(), None);
    let served = server::run(
        server::listen_with_certificate(webhook, certificate),
        ops,
        tls,
        state,
        Duration::ZERO,
        std::future::pending(),
    );
    let join = async {
        loop {
            let now = issued.borrow_and_update().clone();
            let now = now.map(|it| Certificate::from_leaf(&it).unwrap());
            certificates.send_replace(now);
            issued.changed().await.unwrap();
        }
    };
    tokio::select! {
        ended = served => ended.unwrap(),
        () = join => {}
    }
}

/// Returns the current `caBundle` of each webhook.
pub(crate) async fn bundles(admin: &Client) -> Vec<String> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(admin.clone());
    let Some(live) = configurations.get_opt(NAME).await.unwrap() else {
        return Vec::new();
    };
    let webhooks = live.webhooks.unwrap_or_default();
    webhooks
        .into_iter()
        .map(|webhook| {
            String::from_utf8(webhook.client_config.ca_bundle.unwrap_or_default().0).unwrap()
        })
        .collect()
}

/// Returns the certificates of a bundle, as DER.
pub(crate) fn certificates(bundle: &str) -> Vec<Vec<u8>> {
    let all = CertificateDer::pem_slice_iter(bundle.as_bytes());
    all.map(|der| der.unwrap().to_vec()).collect()
}

/// Makes a TLS handshake like the API server, which trusts only the bundle.
pub(crate) fn handshake(address: SocketAddr, bundle: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bundle) {
        roots.add(certificate.into()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(format!("{NAME}.{NAMESPACE}.svc")).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    while session.is_handshaking() {
        let step = session.complete_io(&mut stream);
        step.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A background task that repeats a call until [`Self::all_were_good`].
pub(crate) struct Throughout {
    over: Arc<AtomicBool>,
    calls: JoinHandle<(usize, Vec<String>)>,
}

impl Throughout {
    fn begin<C, Call>(call: C) -> Self
    where
        C: Fn() -> Call + Send + 'static,
        Call: Future<Output = Result<(), String>> + Send,
    {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let calls = tokio::spawn(async move {
            let (mut good, mut bad) = (0, Vec::new());
            while !is_over.load(Ordering::Relaxed) {
                match call().await {
                    Ok(()) => good += 1,
                    Err(problem) => bad.push(problem),
                }
            }
            (good, bad)
        });
        Self { over, calls }
    }

    /// Makes handshakes with the replicas in turn, each with the current `caBundle` of every
    /// webhook. Skips empty bundles, which trust no server.
    pub(crate) fn handshakes(admin: &Client, replicas: &[&Replica]) -> Self {
        let admin = admin.clone();
        let addresses: Vec<SocketAddr> = replicas.iter().map(|replica| replica.address).collect();
        Self::begin(move || {
            let (admin, addresses) = (admin.clone(), addresses.clone());
            async move {
                let bundles = bundles(&admin).await;
                let shake = move || {
                    let bundles = bundles.iter().filter(|bundle| !bundle.is_empty());
                    for bundle in bundles {
                        for address in &addresses {
                            handshake(*address, bundle)?;
                        }
                    }
                    Ok(())
                };
                tokio::task::spawn_blocking(shake).await.unwrap()
            }
        })
    }

    /// Creates job pods as a runner, as a dry run, in a namespace that opted in.
    pub(crate) fn admissions(runner: &Client, namespace: &str) -> Self {
        let (runner, namespace) = (runner.clone(), namespace.to_owned());
        Self::begin(move || {
            let (runner, namespace) = (runner.clone(), namespace.clone());
            async move { admit(&runner, &namespace).await }
        })
    }

    /// Stops the calls, and asserts that none failed and that there were enough.
    pub(crate) async fn all_were_good(self, at_least: usize) {
        self.over.store(true, Ordering::Relaxed);
        let (good, bad) = self.calls.await.unwrap();
        assert!(
            bad.is_empty(),
            "{} of {} failed: {bad:#?}",
            bad.len(),
            good + bad.len()
        );
        assert!(good >= at_least, "only {good} calls");
    }
}

/// Creates a job pod as a dry run, for which the API server calls drydock.
pub(crate) async fn admit(runner: &Client, namespace: &str) -> Result<(), String> {
    let answer = create_pod(runner, namespace, &job_pod(), DryRun::Yes).await;
    match answer.status {
        201 => Ok(()),
        _ => Err(answer.refusal().to_owned()),
    }
}

fn job_pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "job", "labels": {"job.runner.gitlab.com/pod": "job", "pod": "job"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "build", "image": "alpine"}]},
    })
}
