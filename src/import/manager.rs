//! Pods of a runner's manager: their aliases are not for jobs, and what they mount says where the
//! configuration is.

use super::located::Node;
use super::places::{File, Source};
use super::printable::{Kind, Printable, Sentence, say};

/// A pod of a manager.
pub(super) struct Manager {
    pub(super) file: usize,
    pub(super) spec: Node,
    pub(super) name: Printable,
    pub(super) namespace: Printable,
}
impl Manager {
    /// The names of ConfigMaps or Secrets that its pod mounts, with the volume and where it is
    /// mounted.
    fn mounted(&self, source: &str, name: &str) -> Vec<(String, String, String)> {
        let items =
            |node: &Node, key: &str| node.at(key).map(Node::items).unwrap_or_default().to_vec();
        let mut found = Vec::new();
        for volume in items(&self.spec, "volumes") {
            let volume_name = volume.text_at("name").unwrap_or_default().to_owned();
            let projected = volume
                .at("projected")
                .map(|node| items(node, "sources"))
                .unwrap_or_default();
            let names = std::iter::once(&volume)
                .chain(&projected)
                .filter_map(|node| {
                    node.at(source)?
                        .text_at(name)
                        .or(node.at(source)?.text_at("name"))
                });
            let mounts = items(&self.spec, "containers")
                .into_iter()
                .flat_map(|container| items(&container, "volumeMounts"));
            let path = mounts
                .filter(|mount| mount.text_at("name") == Some(&volume_name))
                .find_map(|mount| mount.text_at("mountPath").map(str::to_owned));
            for name in names {
                found.push((
                    name.to_owned(),
                    volume_name.clone(),
                    path.clone().unwrap_or_default(),
                ));
            }
        }
        found
    }

    /// A variable of its containers.
    fn variable(&self, name: &str) -> Option<String> {
        let containers = self
            .spec
            .at("containers")
            .map(Node::items)
            .unwrap_or_default();
        let variables = containers
            .iter()
            .filter_map(|container| container.at("env"))
            .flat_map(Node::items);
        let mut found = variables.filter(|variable| variable.text_at("name") == Some(name));
        found.find_map(|variable| variable.text_at("value").map(str::to_owned))
    }

    pub(super) fn seen(&self) -> Sentence {
        let (name, namespace) = (self.name.clone(), self.namespace.clone());
        let start = say!("is a pod of a runner's manager; ");
        let sources = [
            ("configMap", "name", "ConfigMap "),
            ("secret", "secretName", "Secret "),
        ];
        let mounted = sources.iter().find_map(|(source, key, word)| {
            self.mounted(source, key)
                .into_iter()
                .next()
                .map(|found| (*word, found))
        });
        let Some((word, (object, volume, path))) = mounted else {
            return start.and(&say!("its settings for jobs are not in it"));
        };
        let [object, volume] = [object, volume].map(|text| Printable::or_hidden(Kind::Name, &text));
        let path = Printable::or_hidden(Kind::Path, &path);
        let start = start.and(&say!(
            "its settings for jobs are in {}{}/{} (volume \"{}\", mounted at {}). Import that: ",
            word,
            namespace,
            object,
            volume,
            path
        ));
        if word == "ConfigMap " {
            return start.and(&say!(
                "kubectl -n {} get configmap {} -o yaml | drydock import -",
                namespace,
                object
            ));
        }
        start.and(&say!(
            "kubectl -n {} exec deploy/{} -- cat {}/config.toml | drydock import -",
            namespace,
            name,
            path
        ))
    }
}
impl File {
    /// The manager whose pod mounts the ConfigMap that a source is in.
    fn manager_of(&self, source: &Source) -> Option<&Manager> {
        let name = source.config_map.as_ref()?;
        self.managers.iter().find(|manager| {
            manager
                .mounted("configMap", "name")
                .iter()
                .any(|(mounted, ..)| mounted == name)
        })
    }

    /// A variable of that manager.
    pub(super) fn variable(&self, source: &Source, name: &str) -> Option<String> {
        self.manager_of(source)
            .and_then(|manager| manager.variable(name))
    }
}
