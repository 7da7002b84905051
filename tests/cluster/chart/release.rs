//! A release at a real API server. Because there is no kubelet, processes replace the pods of the
//! Deployment.

use super::{CHART, HelmOutput, run};
use crate::api_server::ApiServer;
use crate::drydock_process::Drydock;
use crate::endpoints::{delete_endpoints, own_address, set_endpoints};
use crate::identity::Identity;
use crate::raw_requests::get;
use kube::Client;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

/// An installed release.
pub(super) struct Release<'a> {
    pub(super) api: &'a ApiServer,
    pub(super) admin: Client,
    pub(super) namespace: &'static str,
    /// The name of the release's objects.
    pub(super) fullname: &'static str,
    files: TempDir,
}

impl<'a> Release<'a> {
    /// Installs the chart with these values.
    pub(super) async fn install(
        api: &'a ApiServer,
        (name, namespace, fullname): (&'static str, &'static str, &'static str),
        settings: &[&str],
    ) -> Self {
        let new = Self {
            api,
            admin: api.client(Identity::Admin).await,
            namespace,
            fullname,
            files: TempDir::new().unwrap(),
        };
        let mut arguments = vec!["install", name, CHART, "--create-namespace"];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        new.helm(&arguments).printed();
        new
    }

    /// Runs helm in the release's namespace.
    pub(super) fn helm(&self, arguments: &[&str]) -> HelmOutput {
        run(
            Some(self.api),
            &[arguments, &["-n", self.namespace]].concat(),
        )
    }

    /// Reads the object with the release's name of a namespaced resource.
    async fn object(&self, root: &str, plural: &str) -> Value {
        let (namespace, name) = (self.namespace, self.fullname);
        let path = format!("/{root}/namespaces/{namespace}/{plural}/{name}");
        get(&self.admin, &path).await.object()
    }

    /// Returns the path of a kubeconfig with a token of a ServiceAccount in the release's
    /// namespace.
    pub(super) fn kubeconfig(&self, account: &str) -> PathBuf {
        let admin = fs::read_to_string(self.api.kubeconfig(Identity::Admin)).unwrap();
        let mut kubeconfig: Value = serde_json::from_str(&admin).unwrap();
        let token = ["create", "token", account, "-n", self.namespace];
        let token = self.api.kubectl(&token).printed();
        kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
        let path = self.files.path().join(format!("{account}.kubeconfig"));
        fs::write(&path, kubeconfig.to_string()).unwrap();
        path
    }

    /// Starts a process like a pod of the Deployment: with its ServiceAccount, arguments and
    /// environment.
    pub(super) async fn start_pod(&self, pod: &str) -> Drydock {
        let deployment = self.object("apis/apps/v1", "deployments").await;
        let spec = &deployment["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        let arguments = container["args"].as_array().unwrap().iter();
        let arguments: Vec<&str> = arguments.map(|it| it.as_str().unwrap()).collect();
        let (serve, flags) = arguments.split_first().unwrap();
        assert_eq!(*serve, "serve");
        // All processes run on this machine, so they need free ports. Logs are in text format for
        // debugging.
        let of_pods = ["--listen", "--ops-listen", "--log-format"];
        let flags = flags.iter().filter(|flag| {
            let name = flag.split('=').next().unwrap();
            !of_pods.contains(&name)
        });
        let mut flags: Vec<&str> = flags.copied().collect();
        flags.extend(["--listen", "0.0.0.0:0", "--drain-seconds", "2"]);
        let kubeconfig = self.kubeconfig(spec["serviceAccountName"].as_str().unwrap());
        let server = Drydock::start_with(&flags, |command| {
            command.env("KUBECONFIG", kubeconfig);
            for variable in container["env"].as_array().unwrap() {
                let name = variable["name"].as_str().unwrap();
                let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str();
                let value = match field {
                    Some("metadata.namespace") => self.namespace,
                    Some("metadata.name") => pod,
                    _ => variable["value"].as_str().unwrap(),
                };
                command.env(name, value);
            }
        });
        server.ready().await;
        server
    }

    /// Sets the endpoints of the Service to these processes.
    pub(super) async fn route_to(&self, servers: &[&Drydock]) {
        let address = |server: &&Drydock| SocketAddr::new(own_address(), server.webhook.port());
        let addresses: Vec<SocketAddr> = servers.iter().map(address).collect();
        set_endpoints(&self.admin, self.namespace, self.fullname, &addresses).await;
    }

    /// Deletes the endpoints that [`Release::route_to`] created, because there is no controller
    /// that would.
    pub(super) async fn delete_endpoints(&self) {
        delete_endpoints(&self.admin, self.namespace, self.fullname).await;
    }
}
