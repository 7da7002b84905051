//! Folds the policies of a case by the rules M1 to M5, independently of drydock's code.

use super::case::Case;
use super::pod_model::{self, clean, list, text};
use drydock::core::policy::Mode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The name of a policy, and a value from it.
pub type FromPolicy<'c, T> = (&'c str, T);

/// The folded Enforce policies.
pub struct Desired<'c> {
    /// The name of each policy by rank, and its form in the pod's annotation.
    pub labels: Vec<(&'c str, String)>,
    /// The addresses of each hostname, empty if its live source has none (rule H7).
    pub hosts: BTreeMap<&'c str, FromPolicy<'c, BTreeSet<IpAddr>>>,
    /// `None` if no policy has `dind`.
    pub dind: Option<Dind<'c>>,
}

pub struct Dind<'c> {
    pub images: Vec<&'c str>,
    pub on_conflict: &'c str,
    pub size_limit: &'c str,
    /// Cleaned.
    pub relocate_to: String,
    /// Volumes by cleaned mount path.
    pub volumes: BTreeMap<String, FromPolicy<'c, Value>>,
    pub registry_cas: BTreeMap<&'c str, FromPolicy<'c, &'c Value>>,
    pub node_selector: BTreeMap<&'c str, FromPolicy<'c, &'c str>>,
    pub tolerations: Vec<FromPolicy<'c, &'c Value>>,
}

/// Folds the Enforce policies of a case. Returns `None` if drydock must not change the pod.
pub fn desired(case: &Case) -> Option<Desired<'_>> {
    if case.namespace_mode == Mode::Audit || !is_job_pod(&case.pod) {
        return None;
    }
    let labels = &case.pod["metadata"]["labels"];
    let mut policies: Vec<&Value> = case.policies.iter().collect();
    policies.retain(|policy| {
        let selector = policy
            .pointer("/spec/podSelector/matchLabels")
            .and_then(Value::as_object);
        let matches = selector
            .into_iter()
            .flatten()
            .all(|(key, value)| labels.get(key) == Some(value));
        matches && text(&policy["spec"], "mode") != "Audit"
    });
    policies.sort_by_key(|policy| {
        (
            -policy["spec"]["priority"].as_i64().unwrap_or(0),
            name(policy),
        )
    });
    if policies.is_empty() {
        return None;
    }
    let mut hosts = BTreeMap::new();
    for policy in &policies {
        for (hostname, addresses) in hosts_of(policy, case) {
            hosts.entry(hostname).or_insert((name(policy), addresses));
        }
    }
    Some(Desired {
        labels: policies
            .iter()
            .map(|policy| (name(policy), label(policy)))
            .collect(),
        hosts,
        dind: dind(&policies),
    })
}

fn name(policy: &Value) -> &str {
    text(&policy["metadata"], "name")
}

fn label(policy: &Value) -> String {
    match policy["metadata"]["generation"].as_i64() {
        Some(generation) => format!("{}@{generation}", name(policy)),
        None => name(policy).to_owned(),
    }
}

/// Returns whether a generated pod is a job pod that drydock may change (rules P2, P3).
fn is_job_pod(pod: &Value) -> bool {
    let metadata = &pod["metadata"];
    let owners = list(metadata, "ownerReferences");
    let has = |map: &str, key: &str| metadata[map].get(key).is_some();
    !owners.iter().any(|owner| owner["controller"] == true)
        && (has("labels", "job.runner.gitlab.com/pod")
            || has("annotations", "job.runner.gitlab.com/id")
            || has("labels", "pod"))
}

fn hosts_of<'c>(policy: &'c Value, case: &Case) -> BTreeMap<&'c str, BTreeSet<IpAddr>> {
    let mut hosts: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
    for entry in list(&policy["spec"], "hostAliases") {
        let mut addresses: Vec<IpAddr> = Vec::new();
        if let Some((kind, object)) = entry["from"]
            .as_object()
            .and_then(|from| from.iter().next())
        {
            let source = format!(
                "{kind}/{}/{}",
                text(object, "namespace"),
                text(object, "name")
            );
            for address in case.live.get(&source).into_iter().flatten() {
                let address: IpAddr = address.parse().unwrap();
                if !addresses
                    .iter()
                    .any(|other| other.is_ipv4() == address.is_ipv4())
                {
                    addresses.push(address);
                }
            }
        } else {
            addresses.push(text(entry, "ip").parse().unwrap());
        }
        for hostname in list(entry, "hostnames") {
            hosts
                .entry(hostname.as_str().unwrap())
                .or_default()
                .extend(&addresses);
        }
    }
    hosts
}

fn dind<'c>(policies: &[&'c Value]) -> Option<Dind<'c>> {
    let mut with_dind = policies
        .iter()
        .filter_map(|policy| Some((name(policy), policy["spec"].get("dind")?)))
        .peekable();
    let (_, first) = *with_dind.peek()?;
    let certs = &first["clientCerts"];
    let or = |value: &'c str, default| if value.is_empty() { default } else { value };
    let mut folded = Dind {
        images: Vec::new(),
        on_conflict: or(text(certs, "onConflict"), "Replace"),
        size_limit: or(text(certs, "sizeLimit"), "1Mi"),
        relocate_to: clean(or(text(certs, "relocateTo"), "/certs/displaced")),
        volumes: BTreeMap::new(),
        registry_cas: BTreeMap::new(),
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
    };
    for (name, dind) in with_dind {
        folded
            .images
            .extend(list(dind, "images").iter().filter_map(Value::as_str));
        let volumes = dind.get("volumes").cloned().unwrap_or_else(default_volumes);
        for volume in volumes.as_array().unwrap() {
            folded
                .volumes
                .entry(pod_model::path(volume))
                .or_insert_with(|| (name, volume.clone()));
        }
        for ca in list(dind, "registryCAs") {
            folded
                .registry_cas
                .entry(text(ca, "host"))
                .or_insert((name, ca));
        }
        let scheduling = &dind["scheduling"];
        for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
            folded
                .node_selector
                .entry(key)
                .or_insert((name, value.as_str().unwrap()));
        }
        for toleration in list(scheduling, "tolerations") {
            folded.tolerations.push((name, toleration));
        }
    }
    Some(folded)
}

/// Returns the default of `dind.volumes` in the schema.
fn default_volumes() -> Value {
    json!([
        {"name": "dind-storage", "mountPath": "/var/lib/docker", "emptyDir": {}},
        {"name": "dind-modules", "mountPath": "/lib/modules", "readOnly": true,
            "hostPath": {"path": "/lib/modules", "type": "DirectoryOrCreate"}}
    ])
}
