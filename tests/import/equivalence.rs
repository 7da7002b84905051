//! Applies an imported policy to the pod of a broken configuration. The result is the pod of the
//! corrected configuration.

use crate::imported::one;
use crate::verdict::{judge, patched};
use drydock::core::policy::{self, AddressesBySource, Mode, PolicySet};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The volume at the certificate directory of a generated configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Certs {
    Nothing,
    EmptyDir,
    /// A mistake: dind cannot write its certificates to a Secret.
    Secret,
}

#[derive(Clone, Debug)]
struct Config {
    aliases: Vec<(u8, Vec<u8>)>,
    certs: Certs,
    certs_path: &'static str,
    data: Option<Option<u8>>,
    modules: bool,
    storage_limit: bool,
}

fn config() -> impl Strategy<Value = Config> {
    let aliases =
        proptest::collection::vec((1..4u8, proptest::collection::vec(0..6u8, 1..3)), 0..4);
    let certs = prop_oneof![
        Just(Certs::Nothing),
        Just(Certs::EmptyDir),
        Just(Certs::Secret)
    ];
    let path = prop_oneof![
        Just("/certs/client"),
        Just("/certs/client/"),
        Just("//certs//client"),
        Just("certs/client")
    ];
    (
        aliases,
        certs,
        path,
        proptest::option::of(proptest::option::of(1..50u8)),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(aliases, certs, certs_path, data, modules, storage_limit)| Config {
                aliases,
                certs,
                certs_path,
                data,
                modules,
                storage_limit,
            },
        )
}

impl Config {
    fn toml(&self) -> String {
        let mut text = "[[runners]]\n  name = \"r\"\n  executor = \"kubernetes\"\n  token = \"t\"\n  [runners.kubernetes]\n    namespace = \"ci\"\n    privileged = true\n".to_owned();
        if self.storage_limit {
            text.push_str("    service_ephemeral_storage_limit = \"1Gi\"\n");
        }
        for (ip, names) in &self.aliases {
            let names: Vec<String> = names
                .iter()
                .map(|name| format!("\"h{name}.corp.example\""))
                .collect();
            text.push_str(&format!("    [[runners.kubernetes.host_aliases]]\n      ip = \"10.0.0.{ip}\"\n      hostnames = [{}]\n", names.join(", ")));
        }
        for (kind, name, path, more) in self.volumes() {
            text.push_str(&format!("    [[runners.kubernetes.volumes.{kind}]]\n      name = \"{name}\"\n      mount_path = \"{path}\"\n{more}"));
        }
        text
    }

    fn volumes(&self) -> Vec<(&'static str, &'static str, &'static str, String)> {
        let mut volumes = Vec::new();
        match self.certs {
            Certs::Nothing => {}
            Certs::EmptyDir => volumes.push((
                "empty_dir",
                "docker-certs",
                self.certs_path,
                "      medium = \"Memory\"\n".to_owned(),
            )),
            Certs::Secret => volumes.push((
                "secret",
                "corp-ca",
                self.certs_path,
                "      read_only = true\n".to_owned(),
            )),
        }
        if let Some(limit) = self.data {
            let limit = limit.map(|limit| format!("      size_limit = \"{limit}Gi\"\n"));
            volumes.push((
                "empty_dir",
                "dind-storage",
                "/var/lib/docker",
                limit.unwrap_or_default(),
            ));
        }
        if self.modules {
            volumes.push((
                "host_path",
                "modules",
                "/lib/modules",
                "      read_only = true\n".to_owned(),
            ));
        }
        volumes
    }

    /// Returns the configuration with the documented emptyDir in place of the Secret.
    fn corrected(&self) -> Self {
        let certs = if self.certs == Certs::Secret {
            Certs::EmptyDir
        } else {
            self.certs
        };
        Self {
            certs,
            certs_path: "/certs/client",
            ..self.clone()
        }
    }
}

/// Returns the pod that a runner creates for a job with dind: every container mounts every volume,
/// and the runner's own alias is the first one.
fn pod(text: &str, storage_limit: bool) -> Value {
    let table: Vec<&str> = text.lines().collect();
    let (mut volumes, mut mounts, mut aliases) = (
        Vec::new(),
        Vec::new(),
        vec![json!({"ip": "127.0.0.1", "hostnames": ["docker"]})],
    );
    let value = |line: &str| {
        line.split_once(" = ")
            .map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    for (at, line) in table.iter().enumerate() {
        let of = |key: &str| {
            let rest = table[at + 1..]
                .iter()
                .take_while(|line| !line.trim().starts_with('['));
            rest.clone()
                .find(|line| line.trim().starts_with(&format!("{key} =")))
                .and_then(|line| value(line))
        };
        let Some(kind) = line.trim().strip_prefix("[[runners.kubernetes.") else {
            continue;
        };
        if kind.starts_with("host_aliases") {
            let names: Value = serde_json::from_str(
                &of("hostnames")
                    .map(|names| {
                        if names.starts_with('[') {
                            names
                        } else {
                            format!("[\"{names}")
                        }
                    })
                    .unwrap(),
            )
            .unwrap();
            aliases.push(json!({"ip": of("ip"), "hostnames": names}));
            continue;
        }
        let name = of("name").unwrap();
        let read_only = of("read_only").is_some();
        let source = match kind {
            "volumes.empty_dir]]" => {
                let mut source = json!({});
                if let Some(medium) = of("medium") {
                    source["medium"] = medium.into();
                }
                if let Some(limit) = of("size_limit") {
                    source["sizeLimit"] = limit.into();
                }
                json!({"name": name, "emptyDir": source})
            }
            "volumes.secret]]" => json!({"name": name, "secret": {"secretName": name}}),
            _ => json!({"name": name, "hostPath": {"path": of("mount_path")}}),
        };
        volumes.push(source);
        let mut mount = json!({"name": name, "mountPath": of("mount_path")});
        if read_only {
            mount["readOnly"] = true.into();
        }
        mounts.push(mount);
    }
    let container = |name: &str, image: &str| {
        let mut container = json!({
            "name": name, "image": image, "securityContext": {"privileged": true}, "volumeMounts": mounts,
            "env": [{"name": "DOCKER_HOST", "value": "tcp://docker:2376"}, {"name": "DOCKER_TLS_CERTDIR", "value": "/certs"}],
        });
        if storage_limit && name == "docker" {
            container["resources"] = json!({"limits": {"ephemeral-storage": "1Gi"}});
        }
        container
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "runner-a-project-1-concurrent-0-b", "namespace": "ci", "labels": {"job.runner.gitlab.com/pod": "runner-a", "pod": "runner-a"}},
        "spec": {
            "restartPolicy": "Never", "hostAliases": aliases, "volumes": volumes,
            "containers": [container("build", "docker:28-cli"), container("helper", "helper"), container("docker", "docker:28-dind")],
        },
    })
}

fn repaired(pod: &Value, policies: &str) -> Value {
    if policies.is_empty() {
        return pod.clone();
    }
    let read = policy::read("imported", policies);
    assert!(read.errors.is_empty(), "{:?}", read.errors);
    let set = PolicySet::new(read.policies, &AddressesBySource::new());
    let patch = judge(pod, &set, Mode::Enforce, |verdict| verdict.patch.clone());
    patched(pod, patch.as_deref())
}

/// Returns what a job can observe: the address of each hostname, and the volumes of the dind and
/// the build container.
fn effect(pod: &Value) -> BTreeMap<String, String> {
    let mut effect = BTreeMap::new();
    for alias in pod["spec"]["hostAliases"].as_array().into_iter().flatten() {
        for name in alias["hostnames"].as_array().unwrap() {
            effect
                .entry(name.as_str().unwrap().to_owned())
                .or_insert_with(|| alias["ip"].as_str().unwrap().to_owned());
        }
    }
    for container in pod["spec"]["containers"].as_array().unwrap() {
        let name = container["name"].as_str().unwrap();
        for mount in container["volumeMounts"].as_array().unwrap() {
            let path =
                drydock::core::mount_path::clean(mount["mountPath"].as_str().unwrap()).into_owned();
            let counts = path == "/certs/client" && name != "helper" || name == "docker";
            let volume = pod["spec"]["volumes"]
                .as_array()
                .unwrap()
                .iter()
                .find(|volume| volume["name"] == mount["name"])
                .unwrap();
            let mut source = volume.clone();
            source.as_object_mut().unwrap().remove("name");
            if path == "/certs/client" {
                // drydock adds a size limit (D9); the documented volume has none.
                source["emptyDir"]
                    .as_object_mut()
                    .map(|source| source.remove("sizeLimit"));
            }
            if counts {
                effect.insert(
                    format!("{name} {path}"),
                    format!("{source} {}", mount["readOnly"] == true),
                );
            }
        }
    }
    effect
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200,
        failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_imported_policy_makes_the_pod_of_the_corrected_configuration(config in config()) {
        let text = config.toml();
        let it = one("config.toml", &text);
        let by_hand = pod(&config.corrected().toml(), config.storage_limit);
        let by_policy = repaired(&pod(&text, config.storage_limit), &it.policies);
        let mut expected = effect(&by_hand);
        if config.certs == Certs::Nothing && (config.data.is_some() || config.modules) {
            // The volumes show the use of dind, so the policy adds the missing certificate volume.
            expected.insert("docker /certs/client".to_owned(), "{\"emptyDir\":{\"medium\":\"Memory\"}} false".to_owned());
            expected.insert("build /certs/client".to_owned(), "{\"emptyDir\":{\"medium\":\"Memory\"}} false".to_owned());
        }
        prop_assert_eq!(effect(&by_policy), expected, "{}\n{}", text, it.policies);
    }

    /// The lines that the diff removes are redundant: without them the repaired pod is the same.
    #[test]
    fn lines_of_the_diff_do_not_change_the_pod(config in config()) {
        let text = config.toml();
        let it = one("config.toml", &text);
        let reduced = crate::diffs::applied(&text, it.report["diff"].as_str().unwrap());
        let before = repaired(&pod(&text, config.storage_limit), &it.policies);
        let after = repaired(&pod(&reduced, config.storage_limit), &it.policies);
        prop_assert_eq!(effect(&after), effect(&before), "{}\n{}", it.report["diff"].as_str().unwrap(), it.policies);
    }
}
