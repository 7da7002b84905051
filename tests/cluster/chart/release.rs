//! A release at a real API server. Because there is no kubelet, processes replace the pods of the
//! Deployment.

use super::{CHART, Said, run};
use crate::api_server::ApiServer;
use crate::drydock_process::Drydock;
use crate::identity::Identity;
use crate::raw_requests::{self, get};
use kube::Client;
use serde_json::{Value, json};
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use tempfile::TempDir;

/// Starts an API server that connects to the endpoints of a Service, because there is no
/// kube-proxy.
pub(super) async fn api_server() -> ApiServer {
    ApiServer::of_ones_own_with(|_| vec!["--enable-aggregator-routing=true".to_owned()]).await
}

/// An address of this machine that may be an endpoint's, which loopback addresses may not.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent.
    let routed = socket.connect("192.0.2.1:9");
    routed.expect("this machine has a network besides loopback");
    socket.local_addr().unwrap().ip().to_string()
}

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
    pub(super) fn helm(&self, arguments: &[&str]) -> Said {
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
        let ports = servers.iter().map(|server| server.webhook.port());
        let subsets: Vec<Value> = ports
            .map(|port| {
                json!({
                    "addresses": [{"ip": own_address()}],
                    "ports": [{"name": "webhook", "port": port, "protocol": "TCP"}],
                })
            })
            .collect();
        let endpoints = json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": self.fullname, "namespace": self.namespace},
            "subsets": subsets,
        });
        self.apply("api/v1", "endpoints", self.fullname, &endpoints)
            .await;
        // One slice has one list of ports.
        for number in 0..2 {
            let name = format!("{}-{number}", self.fullname);
            let of_slice = servers.get(number).map(|server| server.webhook.port());
            let endpoint = json!({"addresses": [own_address()], "conditions": {"ready": true}});
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": self.fullname}},
                "addressType": "IPv4",
                "endpoints": of_slice.map(|_| vec![endpoint]).unwrap_or_default(),
                "ports": [{"name": "webhook", "port": of_slice.unwrap_or(1), "protocol": "TCP"}],
            });
            self.apply("apis/discovery.k8s.io/v1", "endpointslices", &name, &slice)
                .await;
        }
    }

    async fn apply(&self, root: &str, plural: &str, name: &str, object: &Value) {
        let namespace = self.namespace;
        let path = format!("/{root}/namespaces/{namespace}/{plural}/{name}");
        raw_requests::apply(&self.admin, &path, object)
            .await
            .object();
    }

    /// Deletes the endpoints that [`Release::route_to`] created, because there is no controller
    /// that would.
    pub(super) fn delete_endpoints(&self) {
        for number in 0..2 {
            let slice = format!("endpointslice/{}-{number}", self.fullname);
            let delete = ["delete", &slice, "-n", self.namespace];
            self.api.kubectl(&delete).printed();
        }
        let endpoints = format!("endpoints/{}", self.fullname);
        self.api
            .kubectl(&["delete", &endpoints, "-n", self.namespace]);
    }
}
