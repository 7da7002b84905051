//! Pods of runner managers. Their `hostAliases` do not apply to job pods. Their volumes show which
//! ConfigMap or Secret has the configuration of the runner.

use super::config_value::ConfigValue;
use super::discovery::Source;
use super::finding::Finding;
use super::messages;
use super::safe_text::{Kind, SafeText};

/// A runner manager: a pod, or an object with a pod template.
pub(super) struct Manager {
    /// The pod spec.
    pub(super) spec: ConfigValue,
    /// The kind of the object.
    kind: &'static str,
    name: SafeText,
    namespace: SafeText,
}

/// A ConfigMap or Secret that the pod mounts.
struct Mounted<'n> {
    is_secret: bool,
    name: &'n str,
    volume: &'n str,
    mount_path: Option<&'n str>,
}

impl Manager {
    /// Reads a pod or an object with a pod template. Returns `None` if it is not a runner manager.
    pub(super) fn of(object: &ConfigValue, kind: &'static str, source: &Source) -> Option<Self> {
        let spec = match kind {
            "Pod" => object.at("spec"),
            _ => object.find("spec.template.spec"),
        }?;
        let name = object.find("metadata.name").and_then(ConfigValue::as_text);
        let name = name.unwrap_or("gitlab-runner");
        let is_image = |container: &ConfigValue| {
            let image = container.text_at("image");
            image.is_some_and(|image| image.contains("gitlab-runner"))
        };
        let is_manager =
            name.contains("runner") || spec.items_at("containers").iter().any(is_image);
        let namespace = source.namespace.clone();
        is_manager.then(|| Self {
            spec: spec.clone(),
            kind,
            name: SafeText::or_hidden(Kind::Name, name),
            namespace: namespace.unwrap_or_else(|| SafeText::trusted("NAMESPACE")),
        })
    }

    fn mounted(&self) -> Vec<Mounted<'_>> {
        let mut found = Vec::new();
        for volume in self.spec.items_at("volumes") {
            let volume_name = volume.text_at("name").unwrap_or_default();
            let containers = self.spec.items_at("containers").iter();
            let mut mounts = containers.flat_map(|container| container.items_at("volumeMounts"));
            let mount = mounts.find(|mount| mount.text_at("name") == Some(volume_name));
            let projected = volume.at("projected").map(|it| it.items_at("sources"));
            for source in std::iter::once(volume).chain(projected.unwrap_or_default()) {
                for (key, is_secret) in [("configMap", false), ("secret", true)] {
                    let source = source.at(key);
                    let name =
                        source.and_then(|it| it.text_at("secretName").or(it.text_at("name")));
                    found.extend(name.map(|name| Mounted {
                        is_secret,
                        name,
                        volume: volume_name,
                        mount_path: mount.and_then(|mount| mount.text_at("mountPath")),
                    }));
                }
            }
        }
        found
    }

    /// Returns whether the pod mounts the ConfigMap of a source.
    pub(super) fn mounts(&self, source: &Source) -> bool {
        let is_source =
            |it: &Mounted<'_>| !it.is_secret && source.config_map.as_deref() == Some(it.name);
        self.mounted().iter().any(is_source)
    }

    /// Returns the value of an environment variable of the pod's containers.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let containers = self.spec.items_at("containers").iter();
        let mut variables = containers.flat_map(|container| container.items_at("env"));
        let variable = variables.find(|variable| variable.text_at("name") == Some(name));
        variable?.text_at("value")
    }

    /// Returns the finding for a file that contains the manager but no configuration of runners.
    pub(super) fn finding_without_config(&self) -> Finding {
        let mut mounted = self.mounted();
        mounted.sort_by_key(|it| it.is_secret);
        let Some(it) = mounted.first() else {
            return messages::manager_alone(self.kind);
        };
        let (manager, namespace) = (&self.name, &self.namespace);
        let [object, volume] =
            [it.name, it.volume].map(|text| SafeText::or_hidden(Kind::Name, text));
        let path = it.mount_path.unwrap_or("/etc/gitlab-runner");
        let path = path.strip_suffix("/config.toml").unwrap_or(path);
        let path = SafeText::or_hidden(Kind::Path, path);
        if it.is_secret {
            messages::manager_with_secret(self.kind, manager, namespace, object, volume, path)
        } else {
            messages::manager_with_config_map(self.kind, namespace, object, volume, path)
        }
    }
}
