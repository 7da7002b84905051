//! Generated job pods: small choices, simple ones first, so that a failing pod shrinks to one that can be read.

use super::volumes::{Mount, Scope, Source, VOLUME_NAMES, mount, source};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// A service of the job, dind or not.
#[derive(Clone, Debug)]
struct Service {
    image: &'static str,
    words: Value,
    env: Value,
    privileged: bool,
    is_sidecar: bool,
}

fn service() -> impl Strategy<Value = Service> {
    let image = prop_oneof![
        4 => Just("docker:28.5-dind"),
        3 => select(vec![
            "docker:dind",
            "docker:28-dind-rootless",
            "mirror.mylab.com:5000/library/docker:19.03.13-dind",
            "docker",
            "docker:latest",
            "docker:23",
            "docker:29.1.3-alpine3.22",
            "docker:25-git",
            "docker:28.0.0-rc.1",
            "docker:28-dind@sha256:00",
        ]),
        2 => select(vec![
            "postgres:16",
            "corp/ci-dind:1",
            "docker:28-cli",
            "docker:22",
            "docker@sha256:00",
            "docker:20.10-git",
            "docker:nodind",
        ]),
    ];
    let words = prop_oneof![
        5 => Just(json!({})),
        1 => select(vec![
            json!({"args": ["--mtu=1400"]}),
            json!({"args": ["dockerd", "--mtu=1400"]}),
            json!({"command": ["/usr/local/bin/dockerd-entrypoint.sh"]}),
            json!({"command": ["/bin/sh", "-c", "update-ca-certificates && exec dockerd"]}),
            json!({"command": ["tini", "--", "dockerd"], "args": ["--mtu=1400"]}),
            json!({"command": ["sleep", "dockerd"]}),
            json!({"args": ["docker", "info"]}),
            json!({"command": null, "args": null}),
        ]),
    ];
    let privileged = prop_oneof![4 => Just(true), 1 => Just(false)];
    (image, words, certdir(), privileged, bool_weighted(0.15)).prop_map(
        |(image, words, env, privileged, is_sidecar)| Service {
            image,
            words,
            env,
            privileged,
            is_sidecar,
        },
    )
}

/// The variable `DOCKER_TLS_CERTDIR`, among others.
fn certdir() -> impl Strategy<Value = Value> {
    let set = |value: &str| json!([{"name": "DOCKER_TLS_CERTDIR", "value": value}]);
    let off = json!({"name": "DOCKER_TLS_CERTDIR"});
    prop_oneof![
        5 => Just(Value::Null),
        3 => select(vec![set("/certs"), set("/certs/"), set("//certs/../certs"), set("/tls"), set("/a/b"), set("/")]),
        2 => select(vec![
            set(""),
            json!([off]),
            json!([{"name": "DOCKER_TLS_CERTDIR", "value": null}]),
            json!([off, {"name": "A", "value": "b"}, {"name": "DOCKER_TLS_CERTDIR", "value": "/certs"}]),
            json!([{"name": "DOCKER_TLS_CERTDIR", "value": "/certs"}, off]),
            json!([{"name": "DOCKER_TLS_CERTDIR", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            set("/$(JOB)/certs"),
            set("certs"),
            set("/certs/client"),
        ]),
    ]
}

fn bool_weighted(probability: f64) -> impl Strategy<Value = bool> {
    proptest::bool::weighted(probability)
}

/// One entry of `hostAliases`.
fn alias() -> impl Strategy<Value = Value> {
    let ip = select(vec![
        "10.0.0.216",
        "10.0.0.232",
        "127.0.0.1",
        "fd00::232",
        "FD00:0::232",
        "::1",
        "127.9.9.9",
        "::ffff:10.0.0.232",
    ]);
    let hostname = select(vec![
        "gitlab.mylab.com",
        "registry.mylab.com",
        "docker",
        "other.mylab.com",
        "GitLab.mylab.COM",
        "postgres",
    ]);
    let hostnames = prop_oneof![
        8 => vec(hostname, 1..4).prop_map(|names| json!({"hostnames": names})),
        1 => select(vec![json!({"hostnames": []}), json!({"hostnames": null}), json!({})]),
    ];
    (ip, hostnames).prop_map(|(ip, hostnames)| with(json!({"ip": ip}), &hostnames))
}

/// A list that may be missing or null instead of empty.
fn put_list(object: &mut Value, field: &str, items: &[Value], when_empty: usize) {
    match (items.is_empty(), when_empty) {
        (true, 0) => {}
        (true, 1) => object[field] = Value::Null,
        _ => object[field] = json!(items),
    }
}

/// Adds the fields of `more` to an object.
pub fn with(mut object: Value, more: &Value) -> Value {
    let fields = object.as_object_mut().unwrap();
    fields.extend(more.as_object().cloned().unwrap_or_default());
    object
}

#[derive(Clone, Debug)]
struct Parts {
    services: Vec<Service>,
    has_init: bool,
    volumes: Vec<Source>,
    mounts: Vec<Mount>,
    aliases: Vec<Value>,
    /// What stands for an empty list: nothing, null, or the list.
    when_empty: usize,
    scheduling: Value,
    recognised_by: Value,
    has_future_fields: bool,
    /// Something that the API server refuses.
    fault: Option<&'static str>,
}

/// Job pods of every kind, now and then one that is none.
pub fn pod() -> impl Strategy<Value = Value> {
    let label = json!({"labels": {"job.runner.gitlab.com/pod": "runner-1", "tier": "gold"}});
    let recognised_by = prop_oneof![
        12 => Just(label.clone()),
        2 => Just(json!({"annotations": {"job.runner.gitlab.com/id": "7", "project.runner.gitlab.com/id": "4", "note": "kept"}})),
        1 => Just(json!({"labels": {"pod": "runner-x-project-4-concurrent-0"}, "generateName": "runner-x-project-4-concurrent-0"})),
        1 => Just(json!({"labels": null, "annotations": {}})),
        1 => Just(with(label, &json!({"ownerReferences": [{"kind": "ReplicaSet", "name": "x", "controller": true}]}))),
    ];
    let scheduling = select(vec![
        json!({}),
        json!({"nodeSelector": {"pool": "other"}}),
        json!({"nodeSelector": null, "tolerations": null}),
        json!({"tolerations": [{"key": "ci", "value": "dind", "effect": "NoSchedule"}]}),
        json!({"tolerations": [{"operator": "Exists"}], "hostNetwork": true}),
    ]);
    let parts = (
        vec(service(), 0..4).prop_map(|mut services| {
            services.truncate(3);
            services
        }),
        bool_weighted(0.3),
        vec(source(), 0..4),
        vec(mount(), 0..5),
        vec(alias(), 0..4),
        0..3_usize,
        scheduling,
        recognised_by,
        bool_weighted(0.3),
        option::weighted(
            0.04,
            select(vec![
                "duplicate mount",
                "dangling mount",
                "duplicate volume",
            ]),
        ),
    );
    parts.prop_map(
        |(
            services,
            has_init,
            volumes,
            mounts,
            aliases,
            when_empty,
            scheduling,
            recognised_by,
            has_future_fields,
            fault,
        )| {
            render(&Parts {
                services,
                has_init,
                volumes,
                mounts,
                aliases,
                when_empty,
                scheduling,
                recognised_by,
                has_future_fields,
                fault,
            })
        },
    )
}

fn render(parts: &Parts) -> Value {
    let mut containers = vec![
        json!({"name": "build", "image": "docker:28.5-cli", "command": ["sh", "-c", "dockerd"]}),
        json!({"name": "helper", "image": "gitlab-runner-helper", "securityContext": null}),
    ];
    let mut inits = Vec::new();
    if parts.has_init {
        inits.push(json!({"name": "init-permissions", "image": "gitlab-runner-helper"}));
    }
    let mut places = Vec::new();
    for (number, service) in parts.services.iter().enumerate() {
        let mut json = with(
            json!({"name": format!("svc-{number}"), "image": service.image}),
            &service.words,
        );
        if !service.env.is_null() {
            json["env"] = service.env.clone();
        }
        if service.privileged {
            json["securityContext"] = json!({"privileged": true});
        }
        if service.is_sidecar {
            json["restartPolicy"] = json!("Always");
            inits.push(json);
            places.push((false, inits.len() - 1));
        } else {
            containers.push(json);
            places.push((true, containers.len() - 1));
        }
    }
    let mut volumes: Vec<Value> = Vec::new();
    for (source, name) in parts.volumes.iter().zip(VOLUME_NAMES) {
        volumes.push(with(json!({"name": name}), &source.json(name)));
    }
    add_mounts(parts, &places, &mut containers, &mut inits);
    match parts.fault {
        Some("dangling mount") => {
            let mounts = json!([{"name": "ghost", "mountPath": "/certs/client"}]);
            containers[1]["volumeMounts"] = mounts;
        }
        Some("duplicate volume") if !volumes.is_empty() => volumes.push(volumes[0].clone()),
        _ => {}
    }
    let mut spec = with(json!({"restartPolicy": "Never"}), &parts.scheduling);
    put_list(&mut spec, "volumes", &volumes, parts.when_empty);
    put_list(&mut spec, "initContainers", &inits, parts.when_empty);
    put_list(&mut spec, "hostAliases", &parts.aliases, parts.when_empty);
    spec["containers"] = json!(containers);
    let metadata = with(json!({"namespace": "ci"}), &parts.recognised_by);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    if parts.has_future_fields {
        add_future_fields(&mut pod);
    }
    pod
}

fn add_mounts(
    parts: &Parts,
    places: &[(bool, usize)],
    containers: &mut [Value],
    inits: &mut [Value],
) {
    let service = |number: usize| places.get(number).copied();
    for mount in &parts.mounts {
        if parts.volumes.is_empty() {
            break;
        }
        let name = VOLUME_NAMES[mount.volume % parts.volumes.len()];
        let json = with(json!({"name": name, "mountPath": mount.path}), &mount.flags);
        let main = containers.iter_mut().enumerate();
        let main = main.map(|(index, container)| (true, index, container));
        let init = inits.iter_mut().enumerate();
        let init = init.map(|(index, container)| (false, index, container));
        for (is_main, index, container) in main.chain(init) {
            let is_meant = match mount.scope {
                Scope::Everywhere => true,
                Scope::Containers => is_main,
                Scope::Build => is_main && index == 0,
                Scope::Helper => is_main && index == 1,
                Scope::Init => !is_main,
                Scope::Service(number) => service(number) == Some((is_main, index)),
            };
            let taken = container["volumeMounts"].as_array().is_some_and(|mounts| {
                mounts
                    .iter()
                    .any(|other| other["mountPath"] == json["mountPath"])
            });
            if !is_meant || (taken && parts.fault != Some("duplicate mount")) {
                continue;
            }
            if !container["volumeMounts"].is_array() {
                container["volumeMounts"] = json!([]);
            }
            container["volumeMounts"]
                .as_array_mut()
                .unwrap()
                .push(json.clone());
        }
    }
    if parts.when_empty > 0 {
        for container in containers.iter_mut().chain(inits) {
            if container["volumeMounts"].is_null() {
                put_list(container, "volumeMounts", &[], parts.when_empty);
            }
        }
    }
}

/// Adds a field that no Kubernetes has today to every object, but for maps of text and volumes whose source it would be.
fn add_future_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if !matches!(name.as_str(), "labels" | "annotations" | "nodeSelector") {
                    add_future_fields(field);
                }
            }
            if !lacks_a_source(fields) {
                let odd = json!({"tilde~slash/": [1, 1.5, null, "é\u{2028}<&>"]});
                fields.insert("futureField".to_owned(), odd);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(add_future_fields),
        _ => {}
    }
}

fn lacks_a_source(fields: &Map<String, Value>) -> bool {
    let name = fields.get("name").and_then(Value::as_str);
    let is_volume =
        name.is_some_and(|name| VOLUME_NAMES.contains(&name)) && !fields.contains_key("mountPath");
    is_volume && (fields.len() == 1 || fields.contains_key("hologram"))
}
