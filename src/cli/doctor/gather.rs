//! Reads the facts: first what stands by itself, side by side; then what that names.

mod handshake;
mod replicas;
mod runners;

use super::probe;
use super::reader::{Question, Reader};
use crate::diagnose::View;
use crate::diagnose::dry_run_pods::{Kind, Probed};
use crate::diagnose::facts::{AskedPod, Facts, ObjectName, Read, Replicas};
use crate::diagnose::installation::{Installation, installations};
use crate::diagnose::policy_set::fixed_hostnames;
use crate::diagnose::webhook_metrics::AdmissionMetrics;
use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, PersistentVolumeClaim};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Questions of one sort that are under way at a time.
pub(super) const AT_ONCE: usize = 8;
/// Namespaces that job pods are sent to, where none was asked for.
const MOST_NAMESPACES: usize = 32;
/// Hostnames that are looked up.
const MOST_HOSTNAMES: usize = 64;
/// How long the resolver of this computer may take for one.
const LOOK_UP: Duration = Duration::from_secs(3);
const POLICIES: &str = "jobpodpolicies.drydock.dev";

/// What the user wants to know about.
pub(super) struct Asked {
    /// Empty for all.
    pub(super) namespaces: Vec<String>,
    pub(super) pod: Option<String>,
}

pub(super) async fn gather(reader: &Reader, asked: &Asked) -> Facts {
    let selected = &asked.namespaces;
    let (configurations, definition, namespaces, policies) = tokio::join!(
        configurations(reader),
        definition(reader),
        namespaces(reader, selected),
        policies(reader),
    );
    let mut facts = Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: Timestamp::now().as_second(),
        selected: selected.clone(),
        configurations,
        definition,
        namespaces,
        policies,
        deployments: Ok(Vec::new()),
        stateful_sets: Ok(Vec::new()),
        quotas: Ok(Vec::new()),
        limit_ranges: Ok(Vec::new()),
        admission: Ok(AdmissionMetrics::default()),
        replicas: None,
        config_maps: BTreeMap::new(),
        claims: BTreeMap::new(),
        runner_settings: BTreeMap::new(),
        rights: BTreeMap::new(),
        probes: Vec::new(),
        resolved: BTreeMap::new(),
        pod: None,
    };
    if let (Some(name), [namespace, ..]) = (&asked.pod, selected.as_slice()) {
        facts.pod = Some(pod(reader, namespace, name).await);
        return facts;
    }
    // Runners may stand in other namespaces than their jobs.
    let everywhere: &[String] = &[];
    let (deployments, stateful_sets, quotas, limit_ranges, admission) = tokio::join!(
        reader.list("deployments.apps", everywhere),
        reader.list("statefulsets.apps", everywhere),
        reader.list("resourcequotas", selected),
        reader.list("limitranges", selected),
        admission(reader),
    );
    facts.deployments = deployments;
    facts.stateful_sets = stateful_sets;
    facts.quotas = quotas;
    facts.limit_ranges = limit_ranges;
    facts.admission = admission;
    let view = View::of(&facts);
    let places = view.opted_in.iter().map(|one| one.name.to_owned());
    let most = if selected.is_empty() {
        MOST_NAMESPACES
    } else {
        usize::MAX
    };
    let places: Vec<String> = places.take(most).collect();
    let (replicas, config_maps, claims, runners, probes, resolved) = tokio::join!(
        replicas(reader, view.installations.first()),
        config_maps(reader, view.wanted_config_maps()),
        claims(reader, view.wanted_claims()),
        runners::read(reader, &facts),
        probes(reader, places, &view),
        resolved(&view),
    );
    facts.replicas = replicas;
    facts.config_maps = config_maps;
    facts.claims = claims;
    facts.runner_settings = runners.settings;
    facts.rights = runners.rights;
    facts.probes = probes;
    facts.resolved = resolved;
    facts
}

async fn configurations(reader: &Reader) -> Read<Vec<MutatingWebhookConfiguration>> {
    let question = Question::of("list", "mutatingwebhookconfigurations", None);
    reader
        .pages(question, Api::all(reader.client.clone()))
        .await
}

async fn definition(reader: &Reader) -> Read<Option<CustomResourceDefinition>> {
    let question = Question::of("get", "customresourcedefinitions", None);
    let api = Api::all(reader.client.clone());
    reader.get(question, api, POLICIES).await
}

/// Who may not list namespaces may still read one.
async fn namespaces(reader: &Reader, selected: &[String]) -> Read<Vec<Namespace>> {
    let api: Api<Namespace> = Api::all(reader.client.clone());
    if selected.is_empty() {
        let question = Question::of("list", "namespaces", None);
        return reader.pages(question, api).await;
    }
    let mut all = Vec::new();
    for name in selected {
        let question = Question::of("get", "namespaces", Some(name));
        all.extend(reader.get(question, api.clone(), name).await?);
    }
    Ok(all)
}

/// As JSON: an object that this version cannot read hides no other.
async fn policies(reader: &Reader) -> Read<Vec<Value>> {
    let question = Question::of("list", POLICIES, None);
    let path = "/apis/drydock.dev/v1alpha1/jobpodpolicies";
    let list = reader.json(question, path).await?;
    let items = list.as_ref().and_then(|list| list.get("items"));
    let items = items.and_then(Value::as_array);
    Ok(items.cloned().unwrap_or_default())
}

async fn admission(reader: &Reader) -> Read<AdmissionMetrics> {
    let question = Question::of("get", "/metrics", None);
    let text = reader.text(question, "/metrics").await?;
    Ok(AdmissionMetrics::parse(&text))
}

/// Returns the versions of the replicas; none where drydock is not registered.
pub(super) async fn versions(reader: &Reader) -> Read<BTreeSet<String>> {
    let configurations = configurations(reader).await?;
    let installations = installations(&configurations);
    let Some(replicas) = replicas(reader, installations.first()).await else {
        return Ok(BTreeSet::new());
    };
    let versions = replicas.versions();
    match replicas.pods {
        Err(unread) if versions.is_empty() => Err(unread),
        _ => Ok(versions),
    }
}

async fn replicas(reader: &Reader, installation: Option<&Installation<'_>>) -> Option<Replicas> {
    let installation = installation?;
    let service = installation.service()?;
    let bundle = installation.bundle();
    Some(replicas::read(reader, &service, bundle.as_deref()).await)
}

async fn config_maps(
    reader: &Reader,
    wanted: BTreeSet<ObjectName>,
) -> BTreeMap<ObjectName, Read<Option<Vec<String>>>> {
    let keys = async |(namespace, name): ObjectName| {
        let question = Question::of("get", "configmaps", Some(&namespace));
        let api: Api<ConfigMap> = Api::namespaced(reader.client.clone(), &namespace);
        let found = reader.get(question, api, &name).await;
        let keys = |map: ConfigMap| {
            let texts = map.data.into_iter().flatten().map(|(key, _)| key);
            let bytes = map.binary_data.into_iter().flatten().map(|(key, _)| key);
            texts.chain(bytes).collect()
        };
        ((namespace, name), found.map(|map| map.map(keys)))
    };
    stream::iter(wanted)
        .map(keys)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

async fn claims(reader: &Reader, wanted: BTreeSet<ObjectName>) -> BTreeMap<ObjectName, Read<bool>> {
    let is_there = async |(namespace, name): ObjectName| {
        let question = Question::of("get", "persistentvolumeclaims", Some(&namespace));
        let api: Api<PersistentVolumeClaim> = Api::namespaced(reader.client.clone(), &namespace);
        let found = reader.get(question, api, &name).await;
        ((namespace, name), found.map(|claim| claim.is_some()))
    };
    stream::iter(wanted)
        .map(is_there)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

async fn probes(reader: &Reader, namespaces: Vec<String>, view: &View<'_>) -> Vec<Probed> {
    let has_dind = view.policies().any(|policy| policy.dind.is_some());
    let mut kinds = vec![Kind::Other];
    kinds.extend(Kind::GENERATIONS);
    kinds.extend(has_dind.then_some(Kind::Dind));
    let send = |namespace| probe::send(reader, namespace, kinds.clone());
    let sent = stream::iter(namespaces).map(send).buffered(AT_ONCE);
    sent.concat().await
}

/// Resolves on this computer the hostnames to which policies give addresses.
async fn resolved(view: &View<'_>) -> BTreeMap<String, Vec<IpAddr>> {
    let hostnames = view.policies().flat_map(fixed_hostnames);
    let hostnames: BTreeSet<String> = hostnames.map(|(name, _)| name).collect();
    let look_up = async |hostname: String| {
        let found =
            tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((hostname.as_str(), 443)));
        let addresses = match found.await {
            Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
            _ => Vec::new(),
        };
        (hostname, addresses)
    };
    let some = hostnames.into_iter().take(MOST_HOSTNAMES);
    stream::iter(some)
        .map(look_up)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

async fn pod(reader: &Reader, namespace: &str, name: &str) -> AskedPod {
    let place = Some(namespace);
    let of_pod = Question::of("get", "pods", place);
    let of_events = Question::of("list", "events", place);
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let events: Api<Event> = Api::namespaced(reader.client.clone(), namespace);
    let params = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let (object, events) = tokio::join!(
        reader.json(of_pod, &path),
        reader.ask(of_events, events.list(&params)),
    );
    AskedPod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        object,
        events: events.map(|list| list.items),
    }
}
