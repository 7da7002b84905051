//! Isolates concurrent tests that share one API server, by names and a label.

use crate::api_server::ApiServer;
use crate::identity::Identity;
use crate::raw_requests;
use drydock::names::OPT_IN_LABEL;
use kube::Client;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The label by which a test's webhook configurations and policies select its namespaces. Its value
/// is the name of the scope.
pub(crate) const SCOPE_LABEL: &str = "tests.drydock.dev/scope";

/// The objects of one test in a shared API server.
pub(crate) struct Scope<'a> {
    pub(crate) api: &'a ApiServer,
    /// A prefix for the names of the test's objects.
    pub(crate) name: String,
    pub(crate) admin: Client,
}

impl ApiServer {
    /// Creates a scope. `about` becomes part of its name, so it must consist of lower-case letters
    /// and hyphens.
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
    /// Creates a namespace and returns its name. `mode` is the value of the opt-in label (rule P1).
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
