//! Isolates tests that run concurrently in one API server, by names and a label.

use crate::api_server::ApiServer;
use crate::identity::Identity;
use crate::raw_requests;
use drydock::names::OPT_IN_LABEL;
use kube::Client;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The label of a test's namespaces, by which webhook configurations and policies select them; its
/// value is the scope's name.
pub(crate) const SCOPE_LABEL: &str = "tests.drydock.dev/scope";

/// A test's own part of an API server.
pub(crate) struct Scope<'a> {
    pub(crate) api: &'a ApiServer,
    /// A part of the names of all that the test makes.
    pub(crate) name: String,
    pub(crate) admin: Client,
}

impl ApiServer {
    /// Begins a scope; `about` is a word or two in lower case with hyphens, for the names.
    pub(crate) async fn scope(&self, about: &str) -> Scope<'_> {
        static SCOPES: AtomicUsize = AtomicUsize::new(0);
        let number = SCOPES.fetch_add(1, Ordering::Relaxed);
        Scope {
            api: self,
            name: format!("{about}-{number}"),
            admin: self.client(Identity::Admin).await,
        }
    }
}

impl Scope<'_> {
    /// Makes a namespace and returns its name. `mode` is the value of its opt-in label (P1).
    pub(crate) async fn namespace(&self, about: &str, mode: Option<&str>) -> String {
        let name = format!("{}-{about}", self.name);
        let mut labels = json!({SCOPE_LABEL: self.name});
        if let Some(mode) = mode {
            labels[OPT_IN_LABEL] = mode.into();
        }
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        });
        let path = format!("/api/v1/namespaces/{name}");
        raw_requests::apply(&self.admin, &path, &namespace)
            .await
            .object();
        name
    }
}
