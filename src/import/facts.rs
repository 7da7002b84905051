//! What a runner says beside its volumes that decides whether its jobs use Docker, and whose
//! daemon.

use super::finding::Place;
use super::located::{Node, Value};
use super::places::host;
use super::printable::{Kind, Printable};
use std::collections::BTreeMap;

/// What a runner has about Docker, and what it says beside its volumes.
pub(super) struct Facts<'n> {
    pub(super) kubernetes: &'n Node,
    /// Variables of its jobs; a value that a template decides is `None`.
    pub(super) variables: BTreeMap<String, Option<String>>,
    /// Names of services, as jobs resolve them.
    pub(super) service_names: Vec<String>,
    /// The place of a service that runs dind.
    pub(super) dind_service: Option<&'n Node>,
    pub(super) is_privileged: Option<bool>,
    pub(super) file: usize,
}
pub(super) fn facts<'n>(file: usize, node: &Node, kubernetes: &'n Node) -> Facts<'n> {
    let mut variables = BTreeMap::new();
    for item in node.at("environment").map(Node::items).unwrap_or_default() {
        if let Some((name, value)) = item.as_text().and_then(|text| text.split_once('=')) {
            variables.insert(name.trim().to_owned(), Some(value.trim().to_owned()));
        }
    }
    let services = kubernetes
        .at("services")
        .map(Node::items)
        .unwrap_or_default();
    let mut names = Vec::new();
    let mut dind_service = None;
    for service in services {
        let image = service.text_at("name").unwrap_or_default();
        let without_digest = image.split('@').next().unwrap_or_default();
        let (path, tag) = match without_digest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (without_digest, ""),
        };
        let last = path.rsplit('/').next().unwrap_or_default();
        // Without the port of the registry, as the runner does.
        let plain: Vec<&str> = path
            .split('/')
            .map(|part| part.split(':').next().unwrap_or_default())
            .collect();
        names.extend([plain.join("-"), plain.join("__"), last.to_owned()]);
        let aliases = service.text_at("alias").unwrap_or_default();
        names.extend(
            aliases
                .split([' ', ','])
                .filter(|alias| !alias.is_empty())
                .map(str::to_lowercase),
        );
        let words = |text: &str| text.split(['-', '_', '.', '/']).any(|word| word == "dind");
        if words(tag) || words(last) || last == "docker" && (tag.is_empty() || tag == "latest") {
            dind_service = dind_service.or(Some(service));
            // Such a service may set what the daemon reads.
            for item in service
                .at("environment")
                .map(Node::items)
                .unwrap_or_default()
            {
                if let Some((name, value)) = item.as_text().and_then(|text| text.split_once('=')) {
                    variables.insert(name.to_owned(), Some(value.to_owned()));
                }
            }
        }
    }
    let contexts = [
        "build_container_security_context",
        "service_container_security_context",
    ];
    let in_context = contexts.iter().any(|context| {
        kubernetes
            .find(&[context, "privileged"])
            .is_some_and(Node::is_true)
    });
    let is_privileged = match kubernetes.at("privileged").map(|node| &node.value) {
        Some(Value::Unknown) => None,
        Some(Value::Bool(true)) => Some(true),
        _ => Some(in_context),
    };
    Facts {
        kubernetes,
        variables,
        service_names: names,
        dind_service,
        is_privileged,
        file,
    }
}
impl Facts<'_> {
    pub(super) fn place(&self, node: &Node) -> Place {
        Place::of(self.file, node)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).and_then(Option::as_deref)
    }

    /// The directory that dind writes to, where the runner's variables say another one than
    /// `/certs/client`; none with TLS off.
    pub(super) fn certificates(&self) -> Option<String> {
        let parent = self.variable("DOCKER_TLS_CERTDIR").unwrap_or("/certs");
        (!parent.is_empty())
            .then(|| crate::core::mount_path::clean(&format!("{parent}/client")).into_owned())
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
        self.variables
            .keys()
            .any(|name| name.starts_with("DOCKER_"))
    }

    /// Whether dind listens without TLS.
    pub(super) fn is_open(&self) -> bool {
        let is_off = self
            .variable("DOCKER_TLS_CERTDIR")
            .is_some_and(str::is_empty);
        let words = |key: &str| {
            self.dind_service
                .and_then(|service| service.at(key))
                .map(Node::items)
                .unwrap_or_default()
        };
        let commands = || {
            words("command")
                .iter()
                .chain(words("entrypoint"))
                .filter_map(Node::as_text)
        };
        is_off
            || commands().any(|word| word.contains("--tls=false") || word.contains("0.0.0.0:2375"))
    }
}
