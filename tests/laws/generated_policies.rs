//! Generates valid policies, and the addresses of their live sources.

use super::generated_pods::with;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const POLICY_NAMES: [&str; 3] = ["gitlab", "base", "zz"];
pub const SOURCES: [(&str, &str); 3] = [
    ("service", "lb"),
    ("ingress", "gitlab"),
    ("gateway", "edge"),
];

/// The source of a hostname's addresses.
#[derive(Clone, Copy, Debug)]
enum Address {
    V4,
    OtherV4,
    V6,
    Both,
    Live(usize),
}

/// Generates `hostAliases` of a policy, with each hostname once and one entry for each address.
fn host_aliases() -> impl Strategy<Value = Vec<Value>> {
    use Address::*;
    let hostname = select(vec![
        "gitlab.mylab.com",
        "registry.mylab.com",
        "minio.mylab.com",
        "docker",
        "postgres",
    ]);
    let address = select(vec![V4, OtherV4, V6, Both, Live(0), Live(1), Live(2)]);
    vec((hostname, address), 0..4).prop_map(|hosts| {
        let mut entries: Vec<Value> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (hostname, address) in hosts {
            if seen.contains(&hostname) {
                continue;
            }
            seen.push(hostname);
            let sources = match address {
                V4 => vec![json!({"ip": "10.0.0.232"})],
                OtherV4 => vec![json!({"ip": "10.0.0.216"})],
                V6 => vec![json!({"ip": "FD00:0::232"})],
                Both => vec![json!({"ip": "10.0.0.232"}), json!({"ip": "fd00::232"})],
                Live(index) => {
                    let (kind, name) = SOURCES[index];
                    vec![json!({"from": {kind: {"namespace": "cicd", "name": name}}})]
                }
            };
            for source in sources {
                let same = |entry: &&mut Value| {
                    entry["ip"] == source["ip"] && entry["from"] == source["from"]
                };
                match entries.iter_mut().find(same) {
                    Some(entry) => entry["hostnames"]
                        .as_array_mut()
                        .unwrap()
                        .push(json!(hostname)),
                    None => entries.push(with(source, &json!({"hostnames": [hostname]}))),
                }
            }
        }
        entries
    })
}

fn client_certs() -> impl Strategy<Value = Value> {
    let relocate = |to: &str| json!({"onConflict": "Relocate", "relocateTo": to});
    prop_oneof![
        4 => select(vec![json!({}), json!({"onConflict": "Replace", "sizeLimit": "512Ki"})]),
        3 => select(vec![json!({"onConflict": "Relocate"}), relocate("/displaced"), relocate("/cache")]),
        2 => Just(json!({"onConflict": "Deny"})),
        1 => Just(json!({"onConflict": "Report"})),
    ]
}

/// Generates volumes of a policy with unique names and paths.
fn volumes() -> impl Strategy<Value = Vec<Value>> {
    let path = select(vec![
        "/var/lib/docker",
        "/lib/modules",
        "/cache",
        "/certs/extra",
        "/certs/server",
        "/etc/docker",
        "/tls",
        "/certs/displaced",
    ]);
    let name = select(vec![
        "dind-storage",
        "dind-modules",
        "docker-certs",
        "cache",
    ]);
    let source = select(vec![
        json!({"emptyDir": {}}),
        json!({"emptyDir": {"medium": "Memory"}}),
        json!({"hostPath": {"path": "/lib/modules", "type": "DirectoryOrCreate"}}),
        json!({"persistentVolumeClaim": {"claimName": "docker-data"}}),
        json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}),
        json!({"configMap": {"name": "daemon"}}),
        json!({"nfs": {"server": "nfs.mylab.com", "path": "/docker"}}),
    ]);
    let more = select(vec![
        json!({}),
        json!({"containers": "All"}),
        json!({"readOnly": true}),
        json!({"readOnly": true, "containers": "All"}),
    ]);
    vec((name, path, source, more), 0..4).prop_map(|drawn| {
        let mut volumes: Vec<Value> = Vec::new();
        for (name, path, source, more) in drawn {
            let clashes = volumes
                .iter()
                .any(|other| other["name"] == name || other["mountPath"] == path);
            if !clashes {
                volumes.push(with(
                    with(json!({"name": name, "mountPath": path}), &source),
                    &more,
                ));
            }
        }
        volumes
    })
}

fn dind() -> impl Strategy<Value = Value> {
    let registry_ca =
        |host: &str| json!([{"host": host, "configMap": {"name": "registry-ca", "key": "ca.pem"}}]);
    let fields = (
        option::weighted(0.7, client_certs()),
        option::weighted(0.6, volumes()),
        option::weighted(
            0.3,
            select(vec![
                registry_ca("registry.mylab.com"),
                registry_ca("registry.mylab.com:5000"),
            ]),
        ),
        option::weighted(
            0.2,
            select(vec![json!(["corp/*dind:*"]), json!(["*:16", "docker:2?"])]),
        ),
        option::weighted(
            0.3,
            select(vec![
                json!({"nodeSelector": {"pool": "ci", "disk": "ssd"}}),
                json!({"tolerations": [{"key": "ci", "operator": "Equal", "value": "dind", "effect": "NoSchedule"}, {"key": "gpu", "operator": "Exists"}]}),
            ]),
        ),
    );
    fields.prop_map(
        |(client_certs, volumes, registry_cas, images, scheduling)| {
            let mut dind = json!({});
            let fields = [
                ("clientCerts", client_certs),
                ("volumes", volumes.map(Value::from)),
                ("registryCAs", registry_cas),
                ("images", images),
                ("scheduling", scheduling),
            ];
            for (name, value) in fields {
                if let Some(value) = value {
                    dind[name] = value;
                }
            }
            dind
        },
    )
}

fn spec() -> impl Strategy<Value = Value> {
    let fields = (
        select(vec![0, 100, -5]),
        prop_oneof![6 => Just("Enforce"), 1 => Just("Audit")],
        prop_oneof![6 => Just(json!({})), 1 => Just(json!({"podSelector": {"matchLabels": {"tier": "gold"}}}))],
        host_aliases(),
        option::weighted(0.85, dind()),
    );
    fields.prop_map(|(priority, mode, selector, host_aliases, dind)| {
        let mut spec = with(json!({"priority": priority, "mode": mode}), &selector);
        spec["hostAliases"] = json!(host_aliases);
        if let Some(dind) = dind {
            spec["dind"] = dind;
        }
        spec
    })
}

/// Generates one to three policies.
pub fn policies() -> impl Strategy<Value = Vec<Value>> {
    let specs = prop_oneof![3 => vec(spec(), 1..2), 2 => vec(spec(), 2..4)];
    specs.prop_map(|specs| {
        let named = specs.into_iter().zip(POLICY_NAMES);
        let policy = |(spec, name): (Value, &str)| {
            let mut metadata = json!({"name": name});
            if name == "base" {
                metadata["generation"] = json!(3);
            }
            json!({"apiVersion": "drydock.dev/v1alpha1", "kind": "JobPodPolicy", "metadata": metadata, "spec": spec})
        };
        named.map(policy).collect()
    })
}

/// Generates the addresses of each live source: none, one, two of one IP family, or one of each.
pub fn live() -> impl Strategy<Value = BTreeMap<String, Vec<&'static str>>> {
    let addresses = select(vec![
        vec!["10.0.0.232"],
        vec![],
        vec!["10.0.0.216", "10.0.0.232"],
        vec!["fd00::232", "10.0.0.232", "fd00::1"],
    ]);
    vec(addresses, 3).prop_map(|all| {
        let sources = SOURCES.iter().zip(all);
        sources
            .map(|((kind, name), addresses)| (format!("{kind}/cicd/{name}"), addresses))
            .collect()
    })
}
