//! The configuration of one runner, with what it says about Docker: job variables, services, and
//! the Docker daemon that jobs use.

use super::config_value::ConfigValue;
use super::discovery::host;
use super::runner::RunnerContext;
use super::safe_text::{Kind, SafeText};
use crate::core::mount_path::clean;
use std::collections::BTreeMap;

/// The configuration of a runner.
#[derive(Clone)]
pub(super) struct RunnerConfig<'n> {
    /// The table `[[runners]]`.
    pub(super) table: &'n ConfigValue,
    /// The table `[runners.kubernetes]`.
    pub(super) kubernetes: &'n ConfigValue,
    /// The environment variables of its jobs and of its dind service.
    variables: BTreeMap<&'n str, &'n str>,
    /// The hostnames of its services.
    pub(super) service_names: Vec<String>,
    /// The service that runs dind, and whether drydock recognizes its image as dind.
    pub(super) dind_service: Option<(&'n ConfigValue, bool)>,
    /// Whether containers are privileged. `None` if a template expression sets the value.
    pub(super) is_privileged: Option<bool>,
    /// The namespace of its job pods, if the file contains it.
    pub(super) namespace: Option<SafeText>,
}

/// Environment variables that configure how a Docker client connects to a daemon, or the daemon
/// itself. `DOCKER_AUTH_CONFIG` and `DOCKER_CONFIG` are not in the list, because they have
/// credentials for registries.
const DOCKER_VARIABLES: &str =
    "DOCKER_HOST DOCKER_TLS_CERTDIR DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_DRIVER";

/// Fields of `[runners.kubernetes]` that make a container of a job privileged.
const PRIVILEGED_CONTEXTS: [&str; 2] = [
    "build_container_security_context.privileged",
    "service_container_security_context.privileged",
];

impl<'n> RunnerConfig<'n> {
    pub(super) fn of(
        table: &'n ConfigValue,
        kubernetes: &'n ConfigValue,
        context: &RunnerContext<'_>,
    ) -> Self {
        let is_true = |path: &&str| kubernetes.find(path).is_some_and(ConfigValue::is_true);
        let in_context = PRIVILEGED_CONTEXTS.iter().any(is_true);
        // `gitlab-runner register` reads this variable of the manager.
        let in_variable =
            context.source.is_template && context.variable("KUBERNETES_PRIVILEGED") == Some("true");
        let privileged = kubernetes.at("privileged");
        let is_privileged = privileged.map_or(in_variable, ConfigValue::is_true) || in_context;
        let is_unknown = privileged.is_some_and(ConfigValue::is_unknown) && !in_context;
        let mut config = Self {
            table,
            kubernetes,
            variables: variables(table).collect(),
            service_names: Vec::new(),
            dind_service: None,
            is_privileged: (!is_unknown).then_some(is_privileged),
            namespace: context.namespace(kubernetes),
        };
        for service in kubernetes.items_at("services") {
            config.service(service);
        }
        config
    }

    fn service(&mut self, service: &'n ConfigValue) {
        let image = service.text_at("name").unwrap_or_default();
        let without_digest = image.split('@').next().unwrap_or_default();
        let (path, tag) = match without_digest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (without_digest, ""),
        };
        let last = path.rsplit('/').next().unwrap_or_default();
        // The runner derives the hostnames of a service from its image, without the port of the
        // registry.
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

    /// Returns the same configuration with another `[runners.kubernetes]` table.
    pub(super) fn with_kubernetes<'m>(&self, kubernetes: &'m ConfigValue) -> RunnerConfig<'m>
    where
        'n: 'm,
    {
        RunnerConfig {
            kubernetes,
            ..self.clone()
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&'n str> {
        self.variables.get(name).copied()
    }

    /// Returns the directory to which dind writes the client certificates, from
    /// `DOCKER_TLS_CERTDIR`. Returns `None` if TLS is off.
    pub(super) fn client_cert_directory(&self) -> Option<String> {
        let parent = self.variable("DOCKER_TLS_CERTDIR").unwrap_or("/certs");
        (!parent.is_empty()).then(|| clean(&format!("{parent}/client")).into_owned())
    }

    /// Returns whether `DOCKER_TLS_CERTDIR` turns off TLS in dind.
    pub(super) fn is_tls_off(&self) -> bool {
        self.variable("DOCKER_TLS_CERTDIR") == Some("")
    }

    /// Returns the hostname of the daemon in `DOCKER_HOST`, if the daemon is neither in the job pod
    /// nor on its node.
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

    /// Returns whether jobs have one of [`DOCKER_VARIABLES`].
    pub(super) fn has_docker_variables(&self) -> bool {
        let mut names = DOCKER_VARIABLES.split(' ');
        names.any(|name| self.variables.contains_key(name))
    }

    /// Returns whether the environment variables of jobs configure a daemon in the job pod.
    pub(super) fn has_dind_variables(&self) -> bool {
        let url = self.variable("DOCKER_HOST").unwrap_or_default();
        let is_elsewhere = url.starts_with("unix://") || self.remote_daemon().is_some();
        self.has_docker_variables() && !is_elsewhere
    }

    /// Returns the namespace of the job pods for a command, or the placeholder `NAMESPACE`.
    pub(super) fn namespace(&self) -> SafeText {
        let namespace = self.namespace.clone();
        namespace.unwrap_or_else(|| SafeText::trusted("NAMESPACE"))
    }

    /// Returns whether dind listens without TLS.
    pub(super) fn has_dind_without_tls(&self) -> bool {
        let words = self.dind_service.into_iter().flat_map(|(service, _)| {
            let words = service.items_at("command").iter();
            words.chain(service.items_at("entrypoint"))
        });
        let mut words = words.filter_map(ConfigValue::as_text);
        self.is_tls_off()
            || words.any(|word| word.contains("--tls=false") || word.contains("0.0.0.0:2375"))
    }
}

/// Returns the environment variables of a table, except entries that contain a template expression
/// or `${…}`.
fn variables(table: &ConfigValue) -> impl Iterator<Item = (&str, &str)> {
    let items = table.items_at("environment").iter();
    let texts = items.filter_map(|item| item.as_text()?.split_once('='));
    texts.map(|(name, value)| (name.trim(), value.trim()))
}
