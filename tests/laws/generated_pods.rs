//! Generates job pods. Simple choices come first, so that a failing pod shrinks to a readable one.

use super::docker_setups;
use super::generated_volumes::{Mount, Scope, VOLUME_NAMES, mount, source, source_number};
use super::pod_model::list;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// A service of the job, such as dind.
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
        5 => Just("docker:28.5-dind"),
        4 => select(vec![
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
            "docker:18.09.7-dind",
            "docker:20.10-dind",
            "docker:20.10-dind-rootless",
        ]),
        2 => select(vec![
            "postgres:16",
            "corp/ci-dind:1",
            "custom:20.10-dind",
            "mydind:1",
            "docker:28-cli",
            "docker:22",
            "docker@sha256:00",
            "docker:20.10-git",
            "docker:nodind",
        ]),
    ];
    let privileged = prop_oneof![6 => Just(true), 1 => Just(false)];
    (image, words(), certdir(), privileged, bool_weighted(0.15)).prop_map(
        |(image, words, env, privileged, is_sidecar)| Service {
            image,
            words,
            env,
            privileged,
            is_sidecar,
        },
    )
}

/// The `command` and `args` of a service, which start the daemon or another program.
fn words() -> impl Strategy<Value = Value> {
    let entrypoint = select(vec![
        json!({"args": ["--mtu=1400"]}),
        json!({"command": ["/usr/local/bin/dockerd-entrypoint.sh"]}),
        json!({"command": ["dockerd-entrypoint.sh"], "args": ["--mtu=1400"]}),
        json!({"command": ["env", "-u", "DOCKER_HOST"], "args": ["dockerd-entrypoint.sh"]}),
        json!({"command": ["env", "-u", "DOCKER_HOST", "A=b", "dockerd-entrypoint.sh", "--mtu=1400"]}),
        json!({"command": ["tini", "--", "dockerd-entrypoint.sh"]}),
        json!({"command": ["sh", "-c", "update-ca-certificates && exec dockerd-entrypoint.sh"]}),
        json!({"command": null, "args": null}),
    ]);
    let no_entrypoint = select(vec![
        json!({"args": ["dockerd", "--mtu=1400"]}),
        json!({"args": ["dockerd", "--host=tcp://0.0.0.0:2375"]}),
        json!({"command": ["dockerd"]}),
        json!({"command": ["dockerd-entrypoint.sh", "dockerd"]}),
        json!({"command": ["/bin/sh", "-c", "update-ca-certificates && exec dockerd"]}),
        json!({"command": ["tini", "--", "dockerd"], "args": ["--mtu=1400"]}),
        json!({"command": ["env", "A=b"], "args": ["dockerd", "--host=tcp://0.0.0.0:2375"]}),
        json!({"command": ["sleep", "dockerd"]}),
        json!({"args": ["docker", "info"]}),
    ]);
    prop_oneof![6 => Just(json!({})), 1 => entrypoint, 1 => no_entrypoint]
}

/// The variables of a service: `DOCKER_TLS_CERTDIR` and others.
fn certdir() -> impl Strategy<Value = Value> {
    let set = |value: &str| json!([{"name": "DOCKER_TLS_CERTDIR", "value": value}]);
    let off = json!({"name": "DOCKER_TLS_CERTDIR"});
    prop_oneof![
        6 => Just(Value::Null),
        3 => select(vec![set("/certs"), set("/certs/"), set("//certs/../certs"), set("/tls"), set("/a/b"), set("/"), set("/builds/certs")]),
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

/// The variables of the client in `build`: the address of the daemon, and the certificates.
fn client() -> impl Strategy<Value = Value> {
    let host = prop_oneof![
        2 => Just(Value::Null),
        3 => Just(json!({"value": "tcp://docker:2376"})),
        3 => select(vec![
            json!({"value": "tcp://docker:2375"}),
            json!({"value": "tcp://DOCKER:2376/"}),
            json!({"value": "tcp://localhost:2376"}),
            json!({"value": "tcp://127.0.0.1:2375"}),
            json!({"value": "tcp://other.mylab.com:2376"}),
            json!({"value": "tcp://farm:2376"}),
            json!({"value": "tcp://10.0.0.9:2376"}),
            json!({"value": "unix:///var/run/docker.sock"}),
            json!({"value": "tcp://$(HOST):2376"}),
            json!({"value": "ssh://farm.mylab.com"}),
            json!({"value": ""}),
            json!({"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}),
        ]),
    ];
    let path = prop_oneof![
        3 => Just(Some("/certs/client")),
        1 => select(vec![None, Some("/tls/client"), Some("/builds/certs/client"), Some("/certs")]),
    ];
    (host, bool_weighted(0.7), path).prop_map(|(host, verifies, path)| {
        let mut variables = Vec::new();
        if !host.is_null() {
            variables.push(with(json!({"name": "DOCKER_HOST"}), &host));
        }
        if verifies {
            variables.push(json!({"name": "DOCKER_TLS_VERIFY", "value": "1"}));
        }
        if let Some(path) = path {
            variables.push(json!({"name": "DOCKER_CERT_PATH", "value": path}));
        }
        json!(variables)
    })
}

fn bool_weighted(probability: f64) -> impl Strategy<Value = bool> {
    proptest::bool::weighted(probability)
}

/// An entry of `hostAliases`.
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

/// The entries of `hostAliases`: often the runner's entry for a service with `alias: docker`, and
/// others.
fn aliases() -> impl Strategy<Value = Vec<Value>> {
    let others = prop_oneof![1 => Just(Vec::new()), 2 => vec(alias(), 0..4)];
    (bool_weighted(0.6), others).prop_map(|(has_docker, others)| {
        let runner = json!({"ip": "127.0.0.1", "hostnames": ["docker", "docker"]});
        let runner = has_docker.then_some(runner);
        runner.into_iter().chain(others).collect()
    })
}

/// Sets a list field. An empty list is left out, null, or empty, as `when_empty` selects.
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
    client: Value,
    /// A setup with variables and mounts that belong together.
    setup: Option<&'static Value>,
    has_init: bool,
    /// Whether a container has a limit on ephemeral storage.
    is_limited: bool,
    /// The numbers of volume sources.
    volumes: Vec<usize>,
    mounts: Vec<Mount>,
    aliases: Vec<Value>,
    /// The form of empty lists: missing, null, or empty.
    when_empty: usize,
    scheduling: Value,
    metadata: Value,
    has_future_fields: bool,
    /// A fault for which the API server rejects the pod.
    fault: Option<&'static str>,
}

/// The metadata by which drydock recognises a job pod, and by which it does not.
fn metadata() -> impl Strategy<Value = Value> {
    let label = json!({"labels": {"job.runner.gitlab.com/pod": "runner-1", "tier": "gold"}});
    prop_oneof![
        12 => Just(label.clone()),
        2 => Just(json!({"annotations": {"job.runner.gitlab.com/id": "7", "project.runner.gitlab.com/id": "4", "note": "kept"}})),
        1 => Just(json!({"labels": {"pod": "runner-x-project-4-concurrent-0"}, "generateName": "runner-x-project-4-concurrent-0"})),
        1 => Just(json!({"labels": null, "annotations": {}})),
        1 => Just(with(label, &json!({"ownerReferences": [{"kind": "ReplicaSet", "name": "x", "controller": true}]}))),
    ]
}

/// The fields of a pod that decide where and with which runtime it runs.
fn scheduling() -> impl Strategy<Value = Value> {
    let node = select(vec![
        json!({}),
        json!({"nodeSelector": {"pool": "other"}}),
        json!({"nodeSelector": null, "tolerations": null}),
        json!({"tolerations": [{"key": "ci", "value": "dind", "effect": "NoSchedule"}]}),
        json!({"tolerations": [{"operator": "Exists"}], "hostNetwork": true}),
    ]);
    let class = prop_oneof![
        8 => Just(json!({})),
        1 => select(vec![json!({"runtimeClassName": "sysbox-runc"}), json!({"runtimeClassName": "kata"})]),
    ];
    (node, class).prop_map(|(node, class)| with(node, &class))
}

prop_compose! {
    fn parts()(
        services in vec(service(), 0..4).prop_map(|mut services| {
            services.truncate(3);
            services
        }),
        client in client(),
        setup in option::weighted(0.4, (0..docker_setups::ALL.len()).prop_map(|index| &docker_setups::ALL[index])),
        has_init in bool_weighted(0.3),
        is_limited in bool_weighted(0.08),
        volumes in vec(source_number(), 0..4),
        mounts in prop_oneof![2 => Just(Vec::new()), 3 => vec(mount(), 0..5)],
        aliases in aliases(),
        when_empty in 0..3_usize,
        scheduling in scheduling(),
        metadata in metadata(),
        has_future_fields in bool_weighted(0.3),
        fault in option::weighted(0.04, select(vec!["duplicate mount", "dangling mount", "duplicate volume"])),
    ) -> Parts {
        Parts {
            services,
            client,
            setup,
            has_init,
            is_limited,
            volumes,
            mounts,
            aliases,
            when_empty,
            scheduling,
            metadata,
            has_future_fields,
            fault,
        }
    }
}

/// Generates job pods of all kinds, and a few pods that are not job pods.
pub fn pod() -> impl Strategy<Value = Value> {
    parts().prop_map(|parts| render(&parts))
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
    let setup = parts.setup.unwrap_or(&Value::Null);
    let (client, certdir) = variables(parts);
    if !client.is_empty() {
        containers[0]["env"] = json!(client);
    }
    if parts.is_limited {
        containers[0]["resources"] = json!({"limits": {"ephemeral-storage": "1Gi"}});
    }
    let mut places = Vec::new();
    for (number, service) in parts.services.iter().enumerate() {
        let is_set_up = number == 0 && parts.setup.is_some();
        let words = if is_set_up && !setup["words"].is_null() {
            &setup["words"]
        } else {
            &service.words
        };
        let mut json = with(
            json!({"name": format!("svc-{number}"), "image": service.image}),
            words,
        );
        if is_set_up && !certdir.is_empty() {
            json["env"] = json!(certdir);
        } else if !is_set_up && !service.env.is_null() {
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
    for (number, name) in parts.volumes.iter().zip(VOLUME_NAMES) {
        volumes.push(with(json!({"name": name}), &source(*number, name)));
    }
    volumes.extend_from_slice(list(setup, "volumes"));
    add_mounts(parts, &places, &mut containers, &mut inits);
    add_setup(setup, &places, &mut containers, &mut inits);
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
    let metadata = with(json!({"namespace": "ci"}), &parts.metadata);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    if parts.has_future_fields {
        add_future_fields(&mut pod);
    }
    pod
}

/// Returns the variables of `build` and of the first service, from the setup if there is one.
fn variables(parts: &Parts) -> (Vec<Value>, Vec<Value>) {
    let Some(setup) = parts.setup else {
        return (parts.client.as_array().cloned().unwrap_or_default(), vec![]);
    };
    let variable = |name: &str, value: &Value| json!({"name": name, "value": value});
    let host = json!("tcp://docker:2376");
    let host = setup.get("host").unwrap_or(&host);
    let mut client = vec![variable("DOCKER_HOST", host)];
    if setup["plain"] != true {
        client.push(variable("DOCKER_TLS_VERIFY", &json!("1")));
    }
    if let Some(path) = setup.get("path") {
        client.push(variable("DOCKER_CERT_PATH", path));
    }
    let certdir = setup.get("certdir");
    let certdir = certdir.map(|root| variable("DOCKER_TLS_CERTDIR", root));
    // The runner sets the job's variables in services, too.
    client.extend(certdir.clone());
    (client, certdir.into_iter().collect())
}

/// Adds the mounts of a setup before the other mounts.
fn add_setup(
    setup: &Value,
    places: &[(bool, usize)],
    containers: &mut [Value],
    inits: &mut [Value],
) {
    let mut put = |is_main: bool, index: usize, mounts: &[Value]| {
        let container = if is_main {
            &mut containers[index]
        } else {
            &mut inits[index]
        };
        let mut all = mounts.to_vec();
        let is_free = |mount: &&Value| {
            mounts
                .iter()
                .all(|own| own["mountPath"] != mount["mountPath"])
        };
        all.extend(
            list(container, "volumeMounts")
                .iter()
                .filter(is_free)
                .cloned(),
        );
        if !mounts.is_empty() {
            container["volumeMounts"] = json!(all);
        }
    };
    let of = |scope: &str| -> Vec<Value> {
        let mounts = list(setup, "all").iter().chain(list(setup, scope));
        mounts.cloned().collect()
    };
    put(true, 0, &of("build"));
    put(true, 1, list(setup, "all"));
    for (number, (is_main, index)) in places.iter().enumerate() {
        let mounts = if number == 0 {
            of("dind")
        } else {
            list(setup, "all").to_vec()
        };
        put(*is_main, *index, &mounts);
    }
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

/// Adds an unknown field, as of a future Kubernetes version, to every object. Excluded are maps of
/// strings, and volumes without a source, whose source the field would be.
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
