//! Finds the GitLab Runners in the cluster, and parses the settings that determine where their jobs
//! run.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::fmt;

/// A Deployment or StatefulSet that runs GitLab Runner.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The object as in `kubectl get`: `deployment/gitlab-runner`.
    pub object: String,
    /// The namespace of the object.
    pub namespace: String,
    /// The version in the tag of the image.
    pub version: Option<Version>,
    /// The ServiceAccount that creates job pods.
    pub service_account: String,
    /// The ConfigMaps that the runner mounts. One of them contains its configuration.
    pub config_maps: Vec<String>,
    /// The value of `KUBERNETES_NAMESPACE`, the namespace of its jobs.
    pub namespace_in_env: Option<String>,
}

/// A major and a minor version. No check needs the patch version.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The settings of a runner that `drydock doctor` checks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RunnerSettings {
    /// The `namespace` in each `[runners.kubernetes]`.
    pub namespaces: Vec<String>,
    /// Whether the runner creates a namespace for each job.
    pub namespace_per_job: bool,
    /// Whether the runner creates a pod again after the error `failed calling webhook`.
    pub retries_webhooks: bool,
}

/// Returns the Deployments and StatefulSets that run GitLab Runner: those with an image of GitLab
/// Runner or with the labels of GitLab's Helm chart.
#[must_use]
pub fn runners(deployments: &[Deployment], stateful_sets: &[StatefulSet]) -> Vec<Runner> {
    let deployments = deployments.iter().filter_map(|one| {
        let template = &one.spec.as_ref()?.template;
        runner("deployment", &one.metadata, template)
    });
    let stateful_sets = stateful_sets.iter().filter_map(|one| {
        let template = &one.spec.as_ref()?.template;
        runner("statefulset", &one.metadata, template)
    });
    deployments.chain(stateful_sets).collect()
}

fn runner(kind: &str, metadata: &ObjectMeta, template: &PodTemplateSpec) -> Option<Runner> {
    let spec = template.spec.as_ref()?;
    let images = spec
        .containers
        .iter()
        .filter_map(|container| container.image.as_deref());
    let image = images.into_iter().find(|image| is_runner_image(image));
    let mut labels = metadata.labels.iter().flatten();
    let is_of_chart = labels.any(|(key, value)| {
        let is_name = matches!(
            key.as_str(),
            "app.kubernetes.io/name" | "chart" | "helm.sh/chart"
        );
        is_name && value.starts_with("gitlab-runner")
    });
    if image.is_none() && !is_of_chart {
        return None;
    }
    let environment = spec
        .containers
        .iter()
        .flat_map(|container| container.env.iter().flatten());
    let mut namespaces = environment.filter(|variable| variable.name == "KUBERNETES_NAMESPACE");
    Some(Runner {
        object: format!("{kind}/{}", metadata.name.as_deref().unwrap_or_default()),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        version: image.and_then(version),
        service_account: spec
            .service_account_name
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        config_maps: spec
            .volumes
            .iter()
            .flatten()
            .flat_map(config_maps)
            .collect(),
        namespace_in_env: namespaces
            .next()
            .and_then(|variable| variable.value.clone()),
    })
}

fn config_maps(volume: &Volume) -> Vec<String> {
    let own = volume.config_map.iter().map(|source| source.name.clone());
    let projected = volume
        .projected
        .iter()
        .flat_map(|source| source.sources.iter().flatten());
    let projected = projected.filter_map(|source| Some(source.config_map.as_ref()?.name.clone()));
    own.chain(projected).collect()
}

/// Returns whether an image is an image of GitLab Runner, from any registry.
fn is_runner_image(image: &str) -> bool {
    let (name, _) = name_and_tag(image);
    matches!(
        name,
        "gitlab-runner" | "gitlab-runner-ocp" | "gitlab-runner-ubi"
    )
}

/// Returns the last path segment and the tag of an image reference, without its digest.
pub(super) fn name_and_tag(image: &str) -> (&str, &str) {
    let (image, _) = image.split_once('@').unwrap_or((image, ""));
    let (_, last) = image.rsplit_once('/').unwrap_or(("", image));
    last.split_once(':').unwrap_or((last, ""))
}

/// Parses the version in the tag of an image, such as `alpine-v17.11.0`, `v17.11.0` or `17.11.0`.
fn version(image: &str) -> Option<Version> {
    let (_, tag) = name_and_tag(image);
    let mut words = tag.split('-').filter_map(|word| {
        let mut numbers = word.strip_prefix('v').unwrap_or(word).split('.');
        let (major, minor) = (numbers.next()?, numbers.next()?);
        Some(Version(major.parse().ok()?, minor.parse().ok()?))
    });
    // A major version below 10 is the version of the base image, not of GitLab Runner.
    words.find(|version| version.0 >= 10)
}

impl RunnerSettings {
    /// Parses a `config.toml`, or the template for it that GitLab's Helm chart puts into a
    /// ConfigMap. The template may be invalid TOML, so the text is parsed line by line.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        let mut table = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                table = header
                    .trim_matches(|c| matches!(c, '[' | ']' | ' '))
                    .to_owned();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let (key, value) = (
                key.trim(),
                value.split('#').next().unwrap_or_default().trim(),
            );
            let text = value.trim_matches(|c| matches!(c, '"' | '\''));
            match (table.as_str(), key) {
                ("runners.kubernetes", "namespace") if !text.is_empty() => {
                    settings.namespaces.push(text.to_owned());
                }
                ("runners.kubernetes", "namespace_per_job") => {
                    settings.namespace_per_job |= value == "true";
                }
                ("runners.kubernetes.retry_limits", key)
                    if key.contains("failed calling webhook") =>
                {
                    settings.retries_webhooks = true;
                }
                _ => {}
            }
        }
        settings
    }

    /// Merges the settings of two files.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        self.namespaces.extend(other.namespaces);
        self.namespace_per_job |= other.namespace_per_job;
        self.retries_webhooks |= other.retries_webhooks;
        self
    }
}

impl Runner {
    /// Returns the namespaces of the jobs. The second value is true if the configuration sets no
    /// namespace and the result is the default.
    #[must_use]
    pub fn job_namespaces(&self, settings: Option<&RunnerSettings>) -> (Vec<String>, bool) {
        let mut configured: Vec<String> = settings
            .map(|settings| settings.namespaces.clone())
            .unwrap_or_default();
        if configured.is_empty() {
            configured.extend(self.namespace_in_env.clone());
        }
        configured.sort();
        configured.dedup();
        // By default, GitLab's Helm chart uses the namespace of the runner.
        let is_default = configured.is_empty();
        if is_default {
            configured.push(self.namespace.clone());
        }
        (configured, is_default)
    }

    /// Returns the user name of the ServiceAccount.
    #[must_use]
    pub fn user(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.namespace, self.service_account
        )
    }

    /// Returns the namespace, kind and name for messages: `gitlab/deployment/gitlab-runner`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_tag() {
        for (image, wanted) in [
            (
                "registry.gitlab.com/gitlab-org/gitlab-runner:alpine-v17.11.0",
                Some(Version(17, 11)),
            ),
            ("gitlab/gitlab-runner:v13.12.0", Some(Version(13, 12))),
            (
                "mirror.corp:5000/gitlab-runner:alpine3.19-v16.2.1@sha256:00",
                Some(Version(16, 2)),
            ),
            ("gitlab/gitlab-runner:latest", None),
            ("gitlab/gitlab-runner@sha256:00", None),
        ] {
            assert!(is_runner_image(image), "{image}");
            assert_eq!(version(image), wanted, "{image}");
        }
        assert!(!is_runner_image(
            "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:x86_64-v17"
        ));
        assert!(!is_runner_image("nginx:1.27"));
    }

    #[test]
    fn settings_are_those_of_the_kubernetes_executor() {
        let text = r#"
[[runners]]
  namespace = "not this"
  [runners.kubernetes]
    namespace = "ci"  # where jobs run
    namespace_per_job = true
    [runners.kubernetes.pod_labels]
      namespace = "not this"
    [runners.kubernetes.retry_limits]
      "failed calling webhook" = 10
"#;
        let wanted = RunnerSettings {
            namespaces: vec!["ci".to_owned()],
            namespace_per_job: true,
            retries_webhooks: true,
        };
        assert_eq!(RunnerSettings::parse(text), wanted);
        assert_eq!(
            RunnerSettings::parse("concurrent = 4\n"),
            RunnerSettings::default()
        );
    }
}
