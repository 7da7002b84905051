//! The Helm chart, with the real helm: the rendered objects, the accepted values, and releases at
//! a real API server.

mod dry_run;
mod release;
mod releases;
mod rendering;
mod values;

use crate::api_server::{ApiServer, Kubectl};
use crate::binaries::helm;
use crate::identity::Identity;
use drydock::core::document;
use serde_json::Value;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const CHART: &str = "manifests/chart";

/// The output of helm, which prints the same warnings as kubectl.
type HelmOutput = Kubectl;

/// Runs helm, without a cluster or as the administrator of one.
fn run(api: Option<&ApiServer>, arguments: &[&str]) -> HelmOutput {
    let home = TempDir::new().unwrap();
    let mut command = Command::new(helm());
    command
        .args(arguments)
        .env_remove("KUBECONFIG")
        // helm writes its cache, configuration and data there.
        .env("HOME", home.path())
        .env("XDG_CACHE_HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    if let Some(api) = api {
        command.env("KUBECONFIG", api.kubeconfig(Identity::Admin));
    }
    let output = command.output().unwrap();
    HelmOutput {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Returns the rendered text of a release.
#[track_caller]
fn rendered(name: &str, namespace: &str, settings: &[&str]) -> String {
    let mut arguments = vec!["template", name, CHART, "-n", namespace, "--include-crds"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    run(None, &arguments).printed()
}

/// Returns the rendered objects of a release, without its tests.
#[track_caller]
fn template(name: &str, namespace: &str, settings: &[&str]) -> Vec<Value> {
    let objects = parse(&rendered(name, namespace, settings)).into_iter();
    let is_test = |object: &Value| {
        let annotations = &object["metadata"]["annotations"];
        annotations["helm.sh/hook"] == "test"
    };
    objects.filter(|object| !is_test(object)).collect()
}

fn parse(text: &str) -> Vec<Value> {
    let documents = document::split(text).into_iter();
    let contents = documents.map(|document| document.content.unwrap());
    contents.filter(|content| !content.is_null()).collect()
}

fn one<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    found.next().unwrap_or_else(|| panic!("there is no {kind}"))
}
