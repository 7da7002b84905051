//! What a runner says about Docker: variables of its jobs, services, and whose daemon they call.

use super::discovery::host;
use super::located::Node;
use super::printable::{Kind, Printable};
use crate::core::mount_path::clean;
use std::collections::BTreeMap;

/// A runner, and what it has about Docker beside its volumes.
#[derive(Clone)]
pub(super) struct Facts<'n> {
    pub(super) node: &'n Node,
    pub(super) kubernetes: &'n Node,
    /// Variables of its jobs and of its dind service.
    variables: BTreeMap<&'n str, &'n str>,
    /// Names of services, as jobs resolve them.
    pub(super) service_names: Vec<String>,
    /// A service that runs dind, and whether drydock takes its image for dind by itself.
    pub(super) dind_service: Option<(&'n Node, bool)>,
    /// Whether containers are privileged; none where a template decides.
    pub(super) is_privileged: Option<bool>,
}

/// Security contexts that make a container of a job privileged.
const CONTEXTS: [&str; 2] = [
    "build_container_security_context",
    "service_container_security_context",
];

impl<'n> Facts<'n> {
    pub(super) fn of(node: &'n Node, kubernetes: &'n Node) -> Self {
        let in_context = CONTEXTS.iter().any(|context| {
            let privileged = kubernetes.find(&[context, "privileged"]);
            privileged.is_some_and(Node::is_true)
        });
        let privileged = kubernetes.at("privileged");
        let is_privileged = privileged.is_some_and(Node::is_true) || in_context;
        let is_unknown = privileged.is_some_and(Node::is_unknown) && !in_context;
        let mut facts = Self {
            node,
            kubernetes,
            variables: variables(node).collect(),
            service_names: Vec::new(),
            dind_service: None,
            is_privileged: (!is_unknown).then_some(is_privileged),
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
        // Without the port of the registry, as the runner does.
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

    /// The same with slips of its keys repaired.
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

    /// The directory that dind writes to, where the runner's variables say another one than
    /// `/certs/client`; none with TLS off.
    pub(super) fn certificates(&self) -> Option<String> {
        let parent = self.variable("DOCKER_TLS_CERTDIR").unwrap_or("/certs");
        (!parent.is_empty()).then(|| clean(&format!("{parent}/client")).into_owned())
    }

    /// Whether dind is told not to make certificates.
    pub(super) fn is_tls_off(&self) -> bool {
        self.variable("DOCKER_TLS_CERTDIR") == Some("")
    }

    /// The daemon that jobs call, where it is not one of the pod's.
    pub(super) fn remote_daemon(&self) -> Option<Printable> {
        let url = self.variable("DOCKER_HOST")?;
        let name = host(url.strip_prefix("tcp://")?);
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        let is_local = !name.contains('.')
            || name.starts_with("127.")
            || self.service_names.iter().any(|service| service == name);
        (!is_local).then(|| Printable::or_hidden(Kind::Hostname, name))
    }

    /// Whether the variables of jobs speak of Docker.
    pub(super) fn speaks_of_docker(&self) -> bool {
        // Credentials of registries are the runner's, not those of a daemon.
        let is_it = |name: &&'n str| name.starts_with("DOCKER_") && *name != "DOCKER_AUTH_CONFIG";
        self.variables.keys().any(is_it)
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

/// Variables with their values, which are known where no template or shell decides them.
fn variables(node: &Node) -> impl Iterator<Item = (&str, &str)> {
    let items = node.items_at("environment").iter();
    let texts = items.filter_map(|item| item.as_text()?.split_once('='));
    texts.map(|(name, value)| (name.trim(), value.trim()))
}
