//! Settings of a runner about Docker: variables of jobs, services, and the daemon that jobs call.

use super::discovery::host;
use super::node::Node;
use super::runner::Outside;
use super::safe_text::{Kind, SafeText};
use crate::core::mount_path::clean;
use std::collections::BTreeMap;

/// A runner with its settings about Docker, except volumes.
#[derive(Clone)]
pub(super) struct Facts<'n> {
    pub(super) node: &'n Node,
    pub(super) kubernetes: &'n Node,
    /// Variables of its jobs and of its dind service.
    variables: BTreeMap<&'n str, &'n str>,
    /// Hostnames under which jobs reach the services.
    pub(super) service_names: Vec<String>,
    /// A service that runs dind, and whether drydock recognizes its image as dind.
    pub(super) dind_service: Option<(&'n Node, bool)>,
    /// Whether containers are privileged; none if a template sets it.
    pub(super) is_privileged: Option<bool>,
    /// The namespace of its pods, if it is known.
    pub(super) namespace: Option<SafeText>,
}

/// Variables with which a client calls a daemon. `DOCKER_AUTH_CONFIG` and `DOCKER_CONFIG` are not
/// among them: they have credentials for registries.
const VARIABLES: &str =
    "DOCKER_HOST DOCKER_TLS_CERTDIR DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_DRIVER";

/// Security contexts that make a container of a job privileged.
const CONTEXTS: [&str; 2] = [
    "build_container_security_context",
    "service_container_security_context",
];

impl<'n> Facts<'n> {
    pub(super) fn of(node: &'n Node, kubernetes: &'n Node, outside: &Outside<'_>) -> Self {
        let in_context = CONTEXTS.iter().any(|context| {
            let privileged = kubernetes.find(&[context, "privileged"]);
            privileged.is_some_and(Node::is_true)
        });
        // The runner reads this variable when it is registered.
        let in_variable =
            outside.source.is_template && outside.variable("KUBERNETES_PRIVILEGED") == Some("true");
        let privileged = kubernetes.at("privileged");
        let is_privileged = privileged.map_or(in_variable, Node::is_true) || in_context;
        let is_unknown = privileged.is_some_and(Node::is_unknown) && !in_context;
        let mut facts = Self {
            node,
            kubernetes,
            variables: variables(node).collect(),
            service_names: Vec::new(),
            dind_service: None,
            is_privileged: (!is_unknown).then_some(is_privileged),
            namespace: outside.namespace(kubernetes),
        };
        for service in kubernetes.items_at("services") {
            facts.service(service);
        }
        facts
    }

    fn service(&mut self, service: &'n Node) {
        let image = service.text_at("name").unwrap_or_default();
        let without_digest = image.split('@').next().unwrap_or_default();
        let (path, tag) = match without_digest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (without_digest, ""),
        };
        let last = path.rsplit('/').next().unwrap_or_default();
        // The runner omits the port of the registry from the hostname.
        let parts = path
            .split('/')
            .map(|part| part.split(':').next().unwrap_or_default());
        let plain: Vec<&str> = parts.collect();
        let alias = service.text_at("alias").unwrap_or_default().to_lowercase();
        let aliases = alias.split([' ', ',']).filter(|alias| !alias.is_empty());
        let aliases: Vec<String> = aliases.map(str::to_owned).collect();
        let has_dind = |text: &str| text.split(['-', '_', '.']).any(|word| word == "dind");
        let version = tag
            .split(['.', '-'])
            .next()
            .and_then(|it| it.parse::<u32>().ok());
        let is_daemon = matches!(tag, "" | "latest") || version.is_some_and(|major| major >= 23);
        let is_certain = last == "docker" && (has_dind(tag) || is_daemon && !tag.contains("cli"));
        let is_like = has_dind(last) || has_dind(tag) || last.contains("docker-in-docker");
        if is_certain || is_like || aliases.iter().any(|alias| alias == "docker") {
            self.dind_service = self.dind_service.or(Some((service, is_certain)));
            self.variables.extend(variables(service));
        }
        (self.service_names).extend([plain.join("-"), plain.join("__"), last.to_owned()]);
        self.service_names.extend(aliases);
    }

    /// The same runner with corrected keys.
    pub(super) fn corrected<'m>(&self, kubernetes: &'m Node) -> Facts<'m>
    where
        'n: 'm,
    {
        Facts {
            kubernetes,
            ..self.clone()
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&'n str> {
        self.variables.get(name).copied()
    }

    /// The directory to which dind writes the client's certificates, by `DOCKER_TLS_CERTDIR`; none
    /// if TLS is off.
    pub(super) fn certificates(&self) -> Option<String> {
        let parent = self.variable("DOCKER_TLS_CERTDIR").unwrap_or("/certs");
        (!parent.is_empty()).then(|| clean(&format!("{parent}/client")).into_owned())
    }

    /// Whether a variable switches off TLS in dind.
    pub(super) fn is_tls_off(&self) -> bool {
        self.variable("DOCKER_TLS_CERTDIR") == Some("")
    }

    /// The daemon that jobs call, if it is neither in the pod nor on the node.
    pub(super) fn remote_daemon(&self) -> Option<SafeText> {
        let (scheme, _) = self.variable("DOCKER_HOST")?.split_once("://")?;
        let name = host(self.variable("DOCKER_HOST")?);
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        let is_local = scheme == "unix"
            || !name.contains('.')
            || name.starts_with("127.")
            || self.service_names.iter().any(|service| service == name);
        (!is_local).then(|| SafeText::or_hidden(Kind::Hostname, name))
    }

    /// Whether jobs have variables with which a client calls a daemon.
    pub(super) fn has_docker_variables(&self) -> bool {
        let mut names = VARIABLES.split(' ');
        names.any(|name| self.variables.contains_key(name))
    }

    /// Whether jobs have variables for a daemon in the pod.
    pub(super) fn calls_dind(&self) -> bool {
        let url = self.variable("DOCKER_HOST").unwrap_or_default();
        let is_elsewhere = url.starts_with("unix://") || self.remote_daemon().is_some();
        self.has_docker_variables() && !is_elsewhere
    }

    /// The namespace of the pods for a command, or a placeholder.
    pub(super) fn namespace(&self) -> SafeText {
        let namespace = self.namespace.clone();
        namespace.unwrap_or_else(|| SafeText::own("NAMESPACE"))
    }

    /// Whether dind listens without TLS.
    pub(super) fn is_open(&self) -> bool {
        let words = self.dind_service.into_iter().flat_map(|(service, _)| {
            let words = service.items_at("command").iter();
            words.chain(service.items_at("entrypoint"))
        });
        let mut words = words.filter_map(Node::as_text);
        self.is_tls_off()
            || words.any(|word| word.contains("--tls=false") || word.contains("0.0.0.0:2375"))
    }
}

/// Variables whose values no template or shell sets.
fn variables(node: &Node) -> impl Iterator<Item = (&str, &str)> {
    let items = node.items_at("environment").iter();
    let texts = items.filter_map(|item| item.as_text()?.split_once('='));
    texts.map(|(name, value)| (name.trim(), value.trim()))
}
