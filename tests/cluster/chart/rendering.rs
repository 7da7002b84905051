//! The kustomize base and its components are rendered from the chart.

use super::{one, parse, rendered, run, template};
use crate::binaries::helm;
use crate::install::built;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Each kustomize component, and the chart value with the same effect.
pub(super) const COMPONENTS: &[(&str, &str)] = &[
    ("cert-manager", "certificates.source=cert-manager"),
    ("client-ca", "clientCA.configMap=drydock-client-ca"),
    ("fail-open", "failurePolicy=Ignore"),
    ("host-network", "hostNetwork=true"),
    ("live-addresses", "liveAddresses=true"),
    ("monitoring", "monitoring.enabled=true"),
    ("namespace-per-job", "namespacePerJob.enabled=true"),
    ("openshift", "openshift=true"),
    ("own-certificate", "certificates.source=secret"),
];

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn the_committed_files_are_the_rendered_ones() {
    let scratch = TempDir::new().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(root.join(".ci/render"))
        .arg(scratch.path())
        .env("HELM", helm())
        .status()
        .unwrap();
    assert!(status.success());
    let files = files_below(scratch.path());
    assert!(files.len() > 12, "{files:?}");
    for file in files {
        let name = file.strip_prefix(scratch.path()).unwrap();
        let committed = std::fs::read_to_string(root.join("manifests").join(name));
        assert!(
            committed.unwrap_or_default() == std::fs::read_to_string(&file).unwrap(),
            "manifests/{} is out of date; run HELM={} .ci/render",
            name.display(),
            helm().display()
        );
    }
}

/// Returns objects by kind and name. Lists whose items have a name are sorted by it.
fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let objects = objects.into_iter().map(|mut object| {
        sort(&mut object);
        let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
        (format!("{kind} {name}"), object)
    });
    objects.collect()
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.sort_keys();
            fields.values_mut().for_each(sort);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_cached_key(|item| item["name"].as_str().map(str::to_owned));
        }
        _ => {}
    }
}

/// Asserts that two values are equal. The message names the field that differs.
#[track_caller]
fn assert_same(place: &str, kustomized: &Value, rendered: &Value) {
    match (kustomized, rendered) {
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()), "{place}: {one:?}, {other:?}");
            for (name, value) in one {
                assert_same(&format!("{place}.{name}"), value, &other[name]);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (number, (one, other)) in one.iter().zip(other).enumerate() {
                assert_same(&format!("{place}[{number}]"), one, other);
            }
        }
        // kubectl prints 1.0 as 1.
        (Value::Number(one), Value::Number(other)) => {
            assert_eq!(one.as_f64(), other.as_f64(), "{place}");
        }
        _ => assert_eq!(kustomized, rendered, "{place}"),
    }
}

#[test]
fn each_component_equals_the_chart_with_one_value() {
    let mut folders: Vec<String> = std::fs::read_dir("manifests/components")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().display().to_string())
        .collect();
    folders.sort();
    let names: Vec<&str> = COMPONENTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(folders, names);
    let base = by_name(template("drydock", "drydock", &[]));
    for (component, setting) in COMPONENTS {
        let mut kustomized = by_name(built(&[component]));
        // Helm creates the namespace.
        kustomized.remove("\"Namespace\" \"drydock\"").unwrap();
        let rendered = by_name(template("drydock", "drydock", &[setting]));
        for (object, rendered) in &rendered {
            let kustomized = kustomized.get(object).unwrap_or(&Value::Null);
            assert_same(&format!("{component}: {object}"), kustomized, rendered);
        }
        let names = |objects: &BTreeMap<String, Value>| -> BTreeSet<String> {
            objects.keys().cloned().collect()
        };
        assert_eq!(names(&kustomized), names(&rendered), "{component}");
        assert_ne!(rendered, base, "{component}");
    }
}

#[test]
fn the_base_equals_the_chart_with_its_default_values() {
    let mut kustomized = by_name(built(&[]));
    kustomized.remove("\"Namespace\" \"drydock\"").unwrap();
    let rendered = by_name(template("drydock", "drydock", &[]));
    assert!(kustomized.keys().eq(rendered.keys()), "{kustomized:?}");
    for (object, rendered) in &rendered {
        assert_same(object, &kustomized[object], rendered);
    }
}

#[test]
fn helm_lint_reports_nothing() {
    let output = run(None, &["lint", "--strict", super::CHART]).printed();
    assert!(
        output.contains("1 chart(s) linted, 0 chart(s) failed"),
        "{output}"
    );
}

/// All objects of a release, and all references to them, use the release's name and namespace.
#[test]
fn objects_use_any_release_name_and_namespace() {
    let all = [
        "certificates.source=cert-manager",
        "clientCA.configMap=clients",
        "liveAddresses=true",
        "monitoring.enabled=true",
        "namespacePerJob.enabled=true",
    ];
    for settings in [&all[..], &all[1..]] {
        let text = rendered("ci", "platform", settings);
        let lines = text.lines().filter(|line| {
            let of_people = ["description: ", "# Source: ", "name: drydock-test"];
            !of_people.iter().any(|text| line.contains(text))
        });
        for line in lines {
            let line = line.replace("ci-drydock", "");
            for foreign in [
                "namespace: drydock",
                "name: drydock-",
                "drydock.drydock",
                "serviceaccount:drydock",
                "values: [kube-system, drydock]",
                "job=\"drydock-metrics\"",
                "deployment/drydock",
                "-n drydock",
            ] {
                assert!(!line.contains(foreign), "{line}");
            }
        }
        for object in parse(&text) {
            let name = object["metadata"]["name"].as_str().unwrap();
            let is_own = name.starts_with("ci-drydock") || name == "jobpodpolicies.drydock.dev";
            assert!(is_own, "{object}");
        }
    }
    let digits = template("1", "123", &[]);
    let labels = &one(&digits, "Deployment")["spec"]["selector"]["matchLabels"];
    assert_eq!(labels["app.kubernetes.io/instance"], "1");
    assert_eq!(one(&digits, "Service")["metadata"]["namespace"], "123");
}

/// The only object that two releases share is the CRD.
#[test]
fn two_releases_share_no_object() {
    let of = |name: &str, namespace: &str, value: &str| {
        let setting = format!("optIn.value={value}");
        template(name, namespace, &[&setting, "namespacePerJob.enabled=true"])
    };
    let (first, second) = (
        of("drydock", "drydock", "enforce"),
        of("canary", "drydock", "canary"),
    );
    let paths = |objects: &[Value]| -> BTreeSet<String> {
        let path = |object: &Value| {
            let metadata = &object["metadata"];
            format!(
                "{} {} {}",
                object["kind"], metadata["namespace"], metadata["name"]
            )
        };
        objects.iter().map(path).collect()
    };
    let both: Vec<String> = paths(&first)
        .intersection(&paths(&second))
        .cloned()
        .collect();
    assert_eq!(both.len(), 1, "{both:?}");
    assert!(
        both[0].starts_with("\"CustomResourceDefinition\""),
        "{both:?}"
    );
    let values = |objects: &[Value]| -> Vec<Value> {
        let webhooks = one(objects, "MutatingWebhookConfiguration")["webhooks"].clone();
        let webhooks = webhooks.as_array().unwrap().iter();
        let labelled = webhooks.map(|it| it["namespaceSelector"]["matchExpressions"][0].clone());
        labelled
            .map(|expression| expression["values"][0].clone())
            .collect()
    };
    assert_eq!(values(&first), ["enforce", "audit", "null"].map(json_text));
    assert_eq!(
        values(&second),
        ["canary", "canary-audit", "null"].map(json_text)
    );
}

fn json_text(text: &str) -> Value {
    match text {
        "null" => Value::Null,
        text => text.into(),
    }
}
