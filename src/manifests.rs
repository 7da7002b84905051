//! The objects of an installation as typed values, and the files under `manifests/` that are made of them.
//!
//! `kubectl apply -k manifests/` is the whole installation: what is in a file here must work without another step.
//! Nothing here talks to a cluster, and no file holds a key or a `caBundle`: [`crate::cluster`] fills that in, so a tool that
//! compares a cluster with these files sees no difference.

mod access;
mod components;
mod deployment;
mod guard;
mod kustomization;
mod namespace;
mod network;
mod webhook;
mod yaml;

use crate::core::crd;
use crate::names::NAME;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kustomization::Kustomization;
use std::collections::BTreeMap;
pub use yaml::Unwritable;

/// The image that the Deployment names, without its tag.
pub const IMAGE: &str = "drydock";

/// A file of the installation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    /// Where it lies below `manifests/`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl File {
    fn new(path: &str, text: String) -> Self {
        Self {
            path: path.to_owned(),
            text,
        }
    }
}

/// Writes the CustomResourceDefinition of `JobPodPolicy`.
///
/// # Errors
/// If YAML cannot hold it.
pub fn crd() -> Result<String, Unwritable> {
    let definition = yaml::document(&crd::definition())?;
    Ok(format!(
        "# Printed by `drydock print crd`; change src/crd.rs, not this file.\n{definition}"
    ))
}

/// Writes the objects of the installation without components, as one stream of documents for `kubectl apply -f -`.
///
/// # Errors
/// If YAML cannot hold them.
pub fn stream() -> Result<String, Unwritable> {
    let texts: Vec<String> = base()?.into_iter().map(|file| file.text).collect();
    Ok(texts.join("---\n"))
}

/// Returns every file below `manifests/` but the sample policy.
///
/// # Errors
/// If YAML cannot hold one.
pub fn files() -> Result<Vec<File>, Unwritable> {
    let mut files = base()?;
    let resources = files.iter().map(|file| file.path.clone()).collect();
    let base = Kustomization::base(resources).file(
        "kustomization.yaml",
        "The installation: `kubectl apply -k .` makes all of it, `kubectl delete -k .` takes all of it away.\n\
         The sample policy is not part of it: kubectl cannot apply an object in the same call as the definition of its kind.",
    )?;
    files.insert(0, base);
    files.extend(components::files()?);
    Ok(files)
}

/// Returns the objects of the installation, in the order in which they are to be made.
fn base() -> Result<Vec<File>, Unwritable> {
    Ok(vec![
        namespace::file()?,
        File::new("crd.yaml", crd()?),
        // Before the roles that it limits.
        guard::file()?,
        access::file()?,
        network::service()?,
        network::policy()?,
        deployment::priority_class()?,
        deployment::file()?,
        deployment::disruption_budget()?,
        // Last: from here on, pods of namespaces that opted in wait for the webhook.
        webhook::file()?,
    ])
}

/// Returns the metadata of an object that is called `name` and lies in no namespace.
fn metadata(name: &str) -> ObjectMeta {
    let version = env!("CARGO_PKG_VERSION");
    let labels = [
        ("app.kubernetes.io/name", NAME),
        ("app.kubernetes.io/part-of", NAME),
        ("app.kubernetes.io/version", version),
    ];
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(text_map(labels)),
        ..ObjectMeta::default()
    }
}

/// Returns the metadata of an object that is called `name` and lies in drydock's own namespace.
fn namespaced(name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(crate::names::NAMESPACE.to_owned()),
        ..metadata(name)
    }
}

/// Returns the labels by which drydock's own pods are found. They never change: a Deployment's selector cannot.
fn selector() -> BTreeMap<String, String> {
    text_map([("app.kubernetes.io/name", NAME)])
}

fn text_map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}
