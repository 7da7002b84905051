//! Volumes of a runner: which are dind's and go into a policy, which stay, and which are a danger.

use super::docker::Facts;
use super::finding::{Finding, Item, Removal};
use super::located::Node;
use super::messages;
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Read;
use super::{certificates, registries};
use crate::core::crd::format;
use crate::core::mount_path::{clean, is_below};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where dind keeps images and containers; the second is that of rootless dind.
const DATA: [&str; 2] = ["/var/lib/docker", "/home/rootless/.local/share/docker"];
const MODULES: &str = "/lib/modules";
const DAEMON: &str = "/etc/docker";

/// Directories of the node that no job should have, and why; those with a slash at the end also
/// with all that is below them.
const NODE: &str = "\
/ the whole file system of the node
/run/ the node's /run, with the sockets of its container runtime: whoever has it is root on the node
/var/run/ the node's /run, with the sockets of its container runtime: whoever has it is root on the node
/sys/fs/cgroup/ the node's cgroup tree: inner containers leave the pod's limits, and their cgroups leak; a privileged pod has what it needs without it
/etc/kubernetes/ the node's credentials of the cluster
/etc the node's /etc
/root the home of the node's root
/proc/ the node's processes
/dev all devices of the node
/sys the node's /sys
/var the node's /var
/var/lib the node's /var/lib
/var/lib/docker/ the data of the node's Docker, shared by all pods: two daemons in one directory destroy it
/var/lib/containerd/ the data of the node's containerd
/var/lib/kubelet/ the data of the node's kubelet, with the Secrets of all its pods";

/// Tables of `[runners.kubernetes.volumes]` and what sentences call them.
const KINDS: [(&str, &str); 7] = [
    ("host_path", "hostPath"),
    ("secret", "Secret"),
    ("pvc", "claim"),
    ("config_map", "ConfigMap"),
    ("empty_dir", "emptyDir"),
    ("csi", "CSI volume"),
    ("nfs", "NFS export"),
];

/// Limits of ephemeral storage that images in an emptyDir would count against.
const LIMITS: &str =
    "ephemeral_storage_limit service_ephemeral_storage_limit helper_ephemeral_storage_limit";

pub(super) struct Volume<'n> {
    pub(super) kind: &'static str,
    pub(super) word: &'static str,
    pub(super) node: &'n Node,
    pub(super) name: &'n str,
    pub(super) path: String,
    pub(super) sub_path: Option<&'n str>,
}

impl Volume<'_> {
    pub(super) fn at_or_below(&self, path: &str) -> bool {
        self.path == path || is_below(&self.path, path)
    }

    fn is_in(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.at_or_below(path))
    }

    pub(super) fn called(&self) -> Sentence {
        let path = Printable::or_hidden(Kind::Path, &self.path);
        match Printable::new(Kind::Name, self.name) {
            Some(name) => say!("{} {} at {}", self.word, name, path),
            None => say!("{} at {}", self.word, path),
        }
    }

    /// Files and the keys that they come from, where the volume names them.
    pub(super) fn items(&self) -> BTreeMap<&str, &str> {
        let items = self.node.entries_at("items").iter();
        let items = items.filter_map(|entry| Some((entry.node.as_text()?, entry.key.as_str())));
        items.collect()
    }
}

/// What becomes of a volume.
pub(super) enum Fate {
    /// It is a volume of a policy: the kind of its source, the source, and how sentences call it.
    Taken((&'static str, Value, Sentence), Removal, Sentence),
    Told(Finding),
}

/// Reads the volumes, and whether jobs use dind.
pub(super) fn read(facts: &Facts<'_>, read: &mut Read) {
    let volumes = all(facts, read);
    let mut certificates = certificates::Certificates::of(facts);
    let speaks = |volume: &&Volume<'_>| {
        certificates.is_for_dind(facts, volume)
            || volume.is_in(&DATA)
            || volume.is_in(&registries::DIRECTORIES)
            || volume.is_in(&[MODULES, DAEMON])
    };
    let volume = volumes.iter().find(speaks).map(|volume| volume.node);
    let evidence = facts.dind_service.map(|(service, _)| service).or(volume);
    certificates.is_used = evidence.is_some();
    for volume in &volumes {
        if certificates.concern(volume) {
            certificates.read(facts, volume, read);
            continue;
        }
        if let Some(why) = danger(volume) {
            read.find(
                volume.node,
                messages::dangerous_volume(volume.called(), why),
            );
            continue;
        }
        if volume.is_in(&registries::DIRECTORIES) {
            registries::read(facts, volume, read);
            continue;
        }
        match fate(facts, volume) {
            Fate::Told(finding) => read.find(volume.node, finding),
            Fate::Taken(source, removal, remark) => {
                if let Some(path) = Printable::new(Kind::MountPath, &volume.path) {
                    let read_only = volume.node.at("read_only").is_some_and(Node::is_true);
                    let item = Item::volume(path, name(volume), read_only, source);
                    read.want(volume.node, item, removal, remark);
                }
            }
        }
    }
    if let Some((service, false)) = facts.dind_service {
        let image = service.text_at("name").unwrap_or_default();
        if let Some(image) = Printable::new(Kind::Image, image) {
            read.find(service, messages::image_of_dind(&image));
            read.comment(
                say!(
                    "line {}: without it drydock does not take this image for dind",
                    service.span.line
                ),
                Item::image(image),
            );
        }
    }
    if certificates.is_used {
        certificates.finish(evidence.unwrap_or(facts.kubernetes), read);
    }
}

/// The volumes whose path is known, each path once.
fn all<'n>(facts: &Facts<'n>, read: &mut Read) -> Vec<Volume<'n>> {
    let mut volumes: Vec<Volume<'_>> = Vec::new();
    let table = facts.kubernetes.at("volumes");
    for (kind, word) in KINDS {
        for node in table.map(|table| table.items_at(kind)).unwrap_or_default() {
            let name = node.text_at("name").unwrap_or_default();
            let path = node
                .text_at("mount_path")
                .filter(|path| !path.contains('$'));
            let Some(path) = path else {
                let name = Printable::or_hidden(Kind::Name, name);
                read.find(node, messages::volume_without_path(word, name));
                continue;
            };
            let volume = Volume {
                kind,
                word,
                node,
                name,
                path: clean(path).into_owned(),
                sub_path: node.text_at("sub_path"),
            };
            match volumes.iter().find(|other| other.path == volume.path) {
                Some(other) => {
                    let message = messages::two_volumes(volume.called());
                    read.findings.push(message.at(other.node).at(node));
                }
                None => volumes.push(volume),
            }
        }
    }
    volumes
}

/// A name that a policy takes.
fn name(volume: &Volume<'_>) -> Printable {
    let name = volume.name.to_lowercase().replace(['_', '.', ' '], "-");
    let fallback = match volume.path.as_str() {
        MODULES => "dind-modules",
        DAEMON => "dind-config",
        _ => "dind-storage",
    };
    let name = Printable::new(Kind::Object, &name).filter(|_| format::LABEL.check(&name).is_ok());
    name.unwrap_or_else(|| Printable::own(fallback))
}

/// What becomes of a volume that is neither certificates nor a danger.
fn fate(facts: &Facts<'_>, volume: &Volume<'_>) -> Fate {
    let left = |why: &'static str| Fate::Told(messages::volume(volume.called(), why));
    let taken = |source| Fate::Taken(source, Removal::All, Sentence::default());
    match (volume.kind, volume.path.as_str()) {
        ("pvc", _) if volume.name.contains('$') => {
            left("a claim for each build, which no policy can have")
        }
        ("pvc" | "nfs" | "host_path", _) if volume.is_in(&DATA) => {
            Fate::Told(messages::shared_data(volume.called()))
        }
        _ if volume.sub_path.is_some()
            && (volume.is_in(&DATA) || volume.is_in(&[MODULES, DAEMON])) =>
        {
            left("a policy's volumes have no sub_path")
        }
        ("empty_dir", path) if DATA.contains(&path) => data(facts, volume),
        ("host_path", MODULES) => {
            let path = volume.node.text_at("host_path").unwrap_or(&volume.path);
            match Printable::new(Kind::MountPath, &clean(path)) {
                Some(path) => taken((
                    "hostPath",
                    json!({"path": path.as_str()}),
                    say!("the node's {}", path),
                )),
                None => left("a variable decides the path of the node"),
            }
        }
        ("config_map", DAEMON) => match config_map(volume) {
            Some(source) => taken(source),
            None => left("its name or a key is none that a policy takes"),
        },
        _ if volume.is_in(&DATA) => left("no volume for a policy"),
        _ => left("it is not dind's; drydock leaves it as it is"),
    }
}

fn config_map(volume: &Volume<'_>) -> Option<(&'static str, Value, Sentence)> {
    let name = Printable::new(Kind::Object, volume.name)?;
    let items = volume.items().into_iter().map(|(path, key)| {
        let [key, path] = [key, path].map(|text| Printable::new(Kind::Key, text));
        Some(json!({"key": key?.as_str(), "path": path?.as_str()}))
    });
    let items = items.collect::<Option<Vec<Value>>>()?;
    let source = match items.is_empty() {
        true => json!({"name": name.as_str()}),
        false => json!({"name": name.as_str(), "items": items}),
    };
    Some(("configMap", source, say!("ConfigMap {}", name)))
}

/// The emptyDir of the daemon's data.
fn data(facts: &Facts<'_>, volume: &Volume<'_>) -> Fate {
    let medium = volume
        .node
        .at("medium")
        .map(|node| node.as_text().unwrap_or("?"));
    let in_memory = match medium.unwrap_or_default() {
        "" => false,
        "Memory" => true,
        _ => return Fate::Told(messages::other_medium(volume.called())),
    };
    let written = volume.node.at("size_limit").filter(|node| node.is_set());
    let text = written.and_then(Node::as_text).unwrap_or_default();
    let size = Printable::new(Kind::Size, text.trim());
    let remark = match (written, &size) {
        (Some(_), Some(size)) if text != text.trim() => say!(
            "its size_limit has a blank, so the runner has set no limit; the policy has {}",
            size
        ),
        (Some(_), None) => say!("its size_limit is no quantity, so there is no limit, as today"),
        _ => Sentence::default(),
    };
    let mut source = json!({});
    if let (true, Some(fields)) = (in_memory, source.as_object_mut()) {
        fields.insert("medium".to_owned(), "Memory".into());
    }
    if let (Some(size), Some(fields)) = (&size, source.as_object_mut()) {
        fields.insert("sizeLimit".to_owned(), size.as_str().into());
    }
    let word = if in_memory {
        "a memory-backed emptyDir"
    } else {
        "an emptyDir"
    };
    let shown = match size {
        Some(size) => say!("{} of {}", word, size),
        None => say!("{}", word),
    };
    let is_set = |limit: &str| facts.kubernetes.at(limit).is_some_and(Node::is_set);
    let has_limit = LIMITS.split(' ').any(is_set);
    let removal = match has_limit {
        true => Removal::Keep(say!(
            "keep the line: in a pod with an ephemeral-storage limit drydock adds no emptyDir at the data path (V7), because images would count against the limit"
        )),
        false => Removal::All,
    };
    Fate::Taken(("emptyDir", source, shown), removal, remark)
}

/// What makes a volume a danger wherever it is mounted.
fn danger(volume: &Volume<'_>) -> Option<&'static str> {
    let is_kubeconfig = |text: &str| {
        let text = text.to_ascii_lowercase();
        let has = |part: &str| text.contains(part);
        has("kubeconfig") || has("kube-config") || has("/.kube/") || text.ends_with("/.kube")
    };
    let is_file = matches!(volume.kind, "secret" | "config_map" | "host_path");
    let host = volume.node.text_at("host_path").unwrap_or(&volume.path);
    let host = clean(host).into_owned();
    let is_host = volume.kind == "host_path";
    if volume.path == "/etc/hosts" {
        return Some(
            "it takes the place of the pod's hosts file, which makes every alias void, those of a policy too",
        );
    }
    if is_file && [volume.name, &volume.path].into_iter().any(is_kubeconfig)
        || is_host && is_kubeconfig(&host)
    {
        return Some("a kubeconfig: every job, whoever wrote it, has that access to the cluster");
    }
    if is_host && host.ends_with(".sock") {
        return Some(
            "a socket of the node, most likely its container runtime's: whoever has it is root on the node",
        );
    }
    let mut rows = NODE.lines().filter_map(|row| row.split_once(' '));
    let row = rows.find(|(path, _)| match path.strip_suffix('/') {
        Some(path) if !path.is_empty() => host == path || is_below(&host, path),
        _ => host == *path,
    });
    row.filter(|_| is_host).map(|(_, why)| why)
}
