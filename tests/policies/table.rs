//! Invalid and valid policies for tests of `drydock check` and of the API server.

use serde_json::{Value, json};
use std::path::Path;

/// The `spec` of a policy with one mistake.
pub(crate) struct Refused {
    pub(crate) spec: Value,
    /// The error of `drydock check`, beginning with the field.
    pub(crate) error: String,
    /// The error of the API server, if it differs.
    pub(crate) server: Option<String>,
}

/// Returns a policy with a spec.
pub(crate) fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "drydock.dev/v1alpha1", "kind": "JobPodPolicy", "metadata": {"name": name}, "spec": spec})
}

/// Returns the policies of `refused.yaml`, and policies that exceed the bounds of the schema.
pub(crate) fn refused() -> Vec<Refused> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/refused.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let entries: Vec<Value> = serde_saphyr::from_str(&text).unwrap();
    let text = |entry: &Value, field: &str| entry[field].as_str().map(ToOwned::to_owned);
    let listed = entries.iter().map(|entry| Refused {
        spec: entry["spec"].clone(),
        error: text(entry, "error").unwrap(),
        server: text(entry, "server"),
    });
    listed.chain(too_large()).collect()
}

/// Returns policies that exceed one bound of the schema by one.
fn too_large() -> Vec<Refused> {
    let too_many = |spec: Value, field: &str, unit: &str, most: usize| Refused {
        spec,
        error: format!(
            "{field} has {} {unit}, but must have at most {most}",
            most + 1
        ),
        server: Some(match unit {
            "items" => format!(
                "{field}: Too many: {}: must have at most {most} items",
                most + 1
            ),
            "entries" => format!(
                "{field}: Too many: {}: must have at most {most} items",
                most + 1
            ),
            _ => format!("{field}: Too long: may not be more than {most} bytes"),
        }),
    };
    let all = "has more than 1024 hostnames in total; move some of them to a second policy";
    let labels: Value = (0..33)
        .map(|number| (format!("l{number}"), json!("a")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    vec![
        too_many(
            json!({"hostAliases": aliases(33, 1)}),
            "spec.hostAliases",
            "items",
            32,
        ),
        too_many(
            json!({"hostAliases": aliases(1, 65)}),
            "spec.hostAliases[0].hostnames",
            "items",
            64,
        ),
        too_many(
            json!({"hostAliases": [{"from": {"ingress": {"namespace": "a", "name": "b", "hostnameSuffixes": vec!["a"; 17]}}}]}),
            "spec.hostAliases[0].from.ingress.hostnameSuffixes",
            "items",
            16,
        ),
        Refused {
            spec: json!({"hostAliases": aliases(25, 41)}),
            error: format!("spec.hostAliases {all}"),
            server: None,
        },
        too_many(
            json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": [long("x", 254)]}]}),
            "spec.hostAliases[0].hostnames[0]",
            "characters",
            253,
        ),
        too_many(
            json!({"podSelector": {"matchLabels": labels}}),
            "spec.podSelector.matchLabels",
            "entries",
            32,
        ),
        too_many(
            json!({"dind": {"images": vec!["a"; 65]}}),
            "spec.dind.images",
            "items",
            64,
        ),
        too_many(
            json!({"dind": {"volumes": volumes(33)}}),
            "spec.dind.volumes",
            "items",
            32,
        ),
        too_many(
            json!({"dind": {"volumes": [{"name": "a", "mountPath": long("/", 4097), "emptyDir": {}}]}}),
            "spec.dind.volumes[0].mountPath",
            "characters",
            4096,
        ),
        too_many(
            json!({"dind": {"registryCAs": registries(65)}}),
            "spec.dind.registryCAs",
            "items",
            64,
        ),
    ]
}

/// Returns the specs of `accepted.yaml`, and the largest valid spec.
pub(crate) fn accepted() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/accepted.yaml");
    let mut specs: Vec<Value> =
        serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    specs.push(largest());
    specs
}

/// Returns a spec as large as the bounds of the schema allow, in all fields with CEL rules.
fn largest() -> Value {
    let key = |number: usize| format!("{}/{}", name(number), "k".repeat(63));
    let labels: Value = (0..32)
        .map(|number| (key(number), json!("v".repeat(63))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let expression = json!({"key": key(0), "operator": "In", "values": vec!["v".repeat(63); 64]});
    let selector = json!({"matchLabels": labels, "matchExpressions": vec![expression; 32]});
    let toleration = json!({"key": key(0), "value": "v".repeat(63), "effect": "NoExecute", "tolerationSeconds": 1});
    json!({
        "namespaceSelector": selector,
        "podSelector": selector,
        "hostAliases": aliases(32, 32),
        "dind": {
            "images": vec!["x".repeat(512); 64],
            "clientCerts": {"onConflict": "Relocate", "relocateTo": long("/", 4096)},
            "volumes": volumes(32),
            "registryCAs": registries(64),
            "scheduling": {"nodeSelector": labels, "tolerations": vec![toleration; 32]},
        },
    })
}

/// Returns hostAliases entries with different addresses and hostnames of the maximum length.
fn aliases(entries: usize, hostnames: usize) -> Vec<Value> {
    let hostnames = |entry: usize| -> Vec<String> {
        (0..hostnames)
            .map(|number| name(100 * entry + number))
            .collect()
    };
    (0..entries)
        .map(|entry| {
            let ip = format!("fd00:1111:2222:3333:4444:5555:6666:{:04x}", 0x1000 + entry);
            json!({"ip": ip, "hostnames": hostnames(entry)})
        })
        .collect()
}

fn volumes(count: usize) -> Vec<Value> {
    let item = json!({"key": "k".repeat(253), "path": long("p", 1024)});
    (0..count)
        .map(|number| {
            let path = long(&format!("/{number}/"), 4096);
            json!({"name": format!("v{number}"), "mountPath": path, "configMap": {"name": name(0), "items": vec![&item; 32]}})
        })
        .collect()
}

fn registries(count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| json!({"host": name(number), "configMap": {"name": name(0), "key": "k".repeat(253)}}))
        .collect()
}

/// Returns a DNS subdomain of the maximum length.
fn name(number: usize) -> String {
    long(&format!("n{number}."), 253)
}

/// Pads a string with `x`.
fn long(start: &str, length: usize) -> String {
    format!("{start}{}", "x".repeat(length - start.len()))
}
