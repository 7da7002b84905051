//! Reads the facts: first lists of objects, then the objects to which they refer.

mod handshake;
mod replicas;
mod runners;

use super::dry_run;
use super::reader::{ApiCall, Reader};
use crate::diagnose::View;
use crate::diagnose::dry_run_pods::{DryRun, PodKind};
use crate::diagnose::facts::{Facts, InspectedPod, ObjectName, Read, Replicas};
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

/// The maximum number of concurrent requests of one kind.
pub(super) const CONCURRENCY: usize = 8;
/// The maximum number of namespaces in which pods are created as a dry run. It does not apply to
/// `--namespace`.
const MAX_NAMESPACES: usize = 32;
/// The maximum number of hostnames to resolve.
const MAX_HOSTNAMES: usize = 64;
/// The time limit for resolving one hostname.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
const CRD_NAME: &str = "jobpodpolicies.drydock.dev";

/// The namespaces or the pod to check.
pub(super) struct Scope {
    /// The namespaces. Empty means all namespaces.
    pub(super) namespaces: Vec<String>,
    pub(super) pod: Option<String>,
}

pub(super) async fn gather(reader: &Reader, scope: &Scope) -> Facts {
    let selected = &scope.namespaces;
    let (webhook_configurations, crd, namespaces, policies) = tokio::join!(
        webhook_configurations(reader),
        crd(reader),
        namespaces(reader, selected),
        policies(reader),
    );
    let mut facts = Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: Timestamp::now().as_second(),
        selected: selected.clone(),
        webhook_configurations,
        crd,
        namespaces,
        policies,
        deployments: Ok(Vec::new()),
        stateful_sets: Ok(Vec::new()),
        quotas: Ok(Vec::new()),
        limit_ranges: Ok(Vec::new()),
        admission_metrics: Ok(AdmissionMetrics::default()),
        replicas: None,
        config_map_keys: BTreeMap::new(),
        claims: BTreeMap::new(),
        runner_settings: BTreeMap::new(),
        permissions: BTreeMap::new(),
        dry_runs: Vec::new(),
        resolved: BTreeMap::new(),
        pod: None,
    };
    if let (Some(name), [namespace, ..]) = (&scope.pod, selected.as_slice()) {
        facts.pod = Some(pod(reader, namespace, name).await);
        return facts;
    }
    // A runner may run in a namespace that is not selected, so list the Deployments and
    // StatefulSets of all namespaces.
    let everywhere: &[String] = &[];
    (
        facts.deployments,
        facts.stateful_sets,
        facts.quotas,
        facts.limit_ranges,
        facts.admission_metrics,
    ) = tokio::join!(
        reader.list("deployments.apps", everywhere),
        reader.list("statefulsets.apps", everywhere),
        reader.list("resourcequotas", selected),
        reader.list("limitranges", selected),
        admission_metrics(reader),
    );
    let view = View::of(&facts);
    let opted_in = view.opted_in.iter().map(|one| one.name.to_owned());
    let max = match selected.as_slice() {
        [] => MAX_NAMESPACES,
        selected => selected.len(),
    };
    let opted_in: Vec<String> = opted_in.take(max).collect();
    (
        facts.replicas,
        facts.config_map_keys,
        facts.claims,
        (facts.runner_settings, facts.permissions),
        facts.dry_runs,
        facts.resolved,
    ) = tokio::join!(
        replicas(reader, view.installations.first()),
        config_map_keys(reader, view.wanted_config_maps()),
        claims(reader, view.wanted_claims()),
        runners::read(reader, &facts),
        dry_runs(reader, opted_in, &view),
        resolve(&view),
    );
    facts
}

async fn webhook_configurations(reader: &Reader) -> Read<Vec<MutatingWebhookConfiguration>> {
    let call = ApiCall::of("list", "mutatingwebhookconfigurations", None);
    reader.pages(call, Api::all(reader.client.clone())).await
}

async fn crd(reader: &Reader) -> Read<Option<CustomResourceDefinition>> {
    let call = ApiCall::of("get", "customresourcedefinitions", None);
    let api = Api::all(reader.client.clone());
    reader.get(call, api, CRD_NAME).await
}

/// Returns the selected namespaces or, if none are selected, all. Gets selected namespaces one by
/// one, because a user who is not allowed to list namespaces may be allowed to get them.
async fn namespaces(reader: &Reader, selected: &[String]) -> Read<Vec<Namespace>> {
    let api: Api<Namespace> = Api::all(reader.client.clone());
    if selected.is_empty() {
        let call = ApiCall::of("list", "namespaces", None);
        return reader.pages(call, api).await;
    }
    let mut all = Vec::new();
    for name in selected {
        let call = ApiCall::of("get", "namespaces", Some(name));
        all.extend(reader.get(call, api.clone(), name).await?);
    }
    Ok(all)
}

/// Returns the policies as JSON, so that an invalid policy does not prevent parsing the others.
async fn policies(reader: &Reader) -> Read<Vec<Value>> {
    let call = ApiCall::of("list", CRD_NAME, None);
    let path = "/apis/drydock.dev/v1alpha1/jobpodpolicies";
    let list = reader.json(call, path).await?;
    let items = list.as_ref().and_then(|list| list.get("items"));
    let items = items.and_then(Value::as_array);
    Ok(items.cloned().unwrap_or_default())
}

async fn admission_metrics(reader: &Reader) -> Read<AdmissionMetrics> {
    let call = ApiCall::of("get", "/metrics", None);
    let text = reader.text(call, "/metrics").await?;
    Ok(AdmissionMetrics::parse(&text))
}

/// Returns the versions of the replicas. Empty if the cluster has no webhook of drydock.
pub(super) async fn versions(reader: &Reader) -> Read<BTreeSet<String>> {
    let configurations = webhook_configurations(reader).await?;
    let installations = installations(&configurations);
    let Some(replicas) = replicas(reader, installations.first()).await else {
        return Ok(BTreeSet::new());
    };
    let versions = replicas.versions();
    match replicas.pods {
        Err(error) if versions.is_empty() => Err(error),
        _ => Ok(versions),
    }
}

async fn replicas(reader: &Reader, installation: Option<&Installation<'_>>) -> Option<Replicas> {
    let installation = installation?;
    let service = installation.service()?;
    let bundle = installation.ca_bundle();
    Some(replicas::read(reader, &service, bundle.as_deref()).await)
}

async fn config_map_keys(
    reader: &Reader,
    wanted: BTreeSet<ObjectName>,
) -> BTreeMap<ObjectName, Read<Option<Vec<String>>>> {
    let keys = async |(namespace, name): ObjectName| {
        let call = ApiCall::of("get", "configmaps", Some(&namespace));
        let api: Api<ConfigMap> = Api::namespaced(reader.client.clone(), &namespace);
        let found = reader.get(call, api, &name).await;
        let keys = |map: ConfigMap| {
            let texts = map.data.into_iter().flatten().map(|(key, _)| key);
            let bytes = map.binary_data.into_iter().flatten().map(|(key, _)| key);
            texts.chain(bytes).collect()
        };
        ((namespace, name), found.map(|map| map.map(keys)))
    };
    stream::iter(wanted)
        .map(keys)
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

async fn claims(reader: &Reader, wanted: BTreeSet<ObjectName>) -> BTreeMap<ObjectName, Read<bool>> {
    let exists = async |(namespace, name): ObjectName| {
        let call = ApiCall::of("get", "persistentvolumeclaims", Some(&namespace));
        let api: Api<PersistentVolumeClaim> = Api::namespaced(reader.client.clone(), &namespace);
        let found = reader.get(call, api, &name).await;
        ((namespace, name), found.map(|claim| claim.is_some()))
    };
    stream::iter(wanted)
        .map(exists)
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

async fn dry_runs(reader: &Reader, namespaces: Vec<String>, view: &View<'_>) -> Vec<DryRun> {
    let has_dind = view.policies().any(|policy| policy.dind.is_some());
    let mut kinds = vec![PodKind::Other];
    kinds.extend(PodKind::GENERATIONS);
    kinds.extend(has_dind.then_some(PodKind::Dind));
    let send = |namespace| dry_run::send(reader, namespace, kinds.clone());
    let sent = stream::iter(namespaces).map(send).buffered(CONCURRENCY);
    sent.concat().await
}

/// Resolves the hostnames of the policies with the resolver of this computer.
async fn resolve(view: &View<'_>) -> BTreeMap<String, Vec<IpAddr>> {
    let hostnames = view.policies().flat_map(fixed_hostnames);
    let hostnames: BTreeSet<String> = hostnames.map(|(name, _)| name).collect();
    let look_up = async |hostname: String| {
        let found = tokio::time::timeout(
            RESOLVE_TIMEOUT,
            tokio::net::lookup_host((hostname.as_str(), 443)),
        );
        let addresses = match found.await {
            Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
            _ => Vec::new(),
        };
        (hostname, addresses)
    };
    let some = hostnames.into_iter().take(MAX_HOSTNAMES);
    stream::iter(some)
        .map(look_up)
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

async fn pod(reader: &Reader, namespace: &str, name: &str) -> InspectedPod {
    let pod_call = ApiCall::of("get", "pods", Some(namespace));
    let events_call = ApiCall::of("list", "events", Some(namespace));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let events: Api<Event> = Api::namespaced(reader.client.clone(), namespace);
    let params = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let (object, events) = tokio::join!(
        reader.json(pod_call, &path),
        reader.ask(events_call, events.list(&params)),
    );
    InspectedPod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        object,
        events: events.map(|list| list.items),
    }
}
