//! Volumes of a runner: which are dind's and go into a policy, which stay, and which are a danger.

use super::dind::Docker;
use super::facts::Facts;
use super::finding::{Content, Finding, Group, Item, Place, Removal, Want};
use super::located::Node;
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Read;
use crate::core::crd::format;
use crate::core::mount_path::{clean, is_below};
use std::collections::BTreeMap;

pub(super) const CLIENT: &str = "/certs/client";
/// Where dind keeps images and containers; the second is that of rootless dind.
pub(super) const DATA: [&str; 2] = ["/var/lib/docker", "/home/rootless/.local/share/docker"];
/// Where dind looks for the authorities of registries.
pub(super) const REGISTRIES: [&str; 2] = [
    "/etc/docker/certs.d",
    "/home/rootless/.config/docker/certs.d",
];
pub(super) const MODULES: &str = "/lib/modules";
pub(super) const DAEMON: &str = "/etc/docker";

/// Directories of the node that no job should have: at the path, or also below it.
const NODE: &[(&str, bool, &str)] = &[
    ("/", false, "the whole file system of the node"),
    (
        "/run",
        true,
        "the node's /run, with the sockets of its container runtime: whoever has it is root on the node",
    ),
    (
        "/var/run",
        true,
        "the node's /run, with the sockets of its container runtime: whoever has it is root on the node",
    ),
    (
        "/sys/fs/cgroup",
        true,
        "the node's cgroup tree: inner containers leave the pod's limits, and their cgroups leak; a privileged pod has what it needs without it",
    ),
    (
        "/etc/kubernetes",
        true,
        "the node's credentials of the cluster",
    ),
    ("/etc", false, "the node's /etc"),
    ("/root", false, "the home of the node's root"),
    ("/proc", true, "the node's processes"),
    ("/dev", false, "all devices of the node"),
    ("/sys", false, "the node's /sys"),
    ("/var", false, "the node's /var"),
    ("/var/lib", false, "the node's /var/lib"),
    (
        "/var/lib/docker",
        true,
        "the data of the node's Docker, shared by all pods: two daemons in one directory destroy it",
    ),
    (
        "/var/lib/containerd",
        true,
        "the data of the node's containerd",
    ),
    (
        "/var/lib/kubelet",
        true,
        "the data of the node's kubelet, with the Secrets of all its pods",
    ),
];

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

    pub(super) fn called(&self) -> Sentence {
        let name = if self.name.is_empty() {
            say!("")
        } else {
            say!(" {}", Printable::or_hidden(Kind::Name, self.name))
        };
        say!(
            "{}{} at {}",
            self.word,
            name,
            Printable::or_hidden(Kind::Path, &self.path)
        )
    }

    /// Files and the keys that they come from, where the volume names them.
    pub(super) fn items(&self) -> Option<BTreeMap<&str, &str>> {
        let items = self.node.at("items").map(Node::entries).unwrap_or_default();
        let items = items
            .iter()
            .filter_map(|entry| Some((entry.node.as_text()?, entry.key.as_str())));
        let items: BTreeMap<&str, &str> = items.collect();
        (!items.is_empty()).then_some(items)
    }
}

pub(super) fn read(facts: &Facts<'_>, read: &mut Read) {
    let mut volumes: Vec<Volume<'_>> = Vec::new();
    let mut paths: BTreeMap<String, Place> = BTreeMap::new();
    let table = facts.kubernetes.at("volumes");
    for (kind, word) in KINDS {
        for node in table
            .and_then(|table| table.at(kind))
            .map(Node::items)
            .unwrap_or_default()
        {
            let name = node.text_at("name").unwrap_or_default();
            let path = node
                .text_at("mount_path")
                .filter(|path| !path.contains('$'));
            let Some(path) = path else {
                let name = Printable::or_hidden(Kind::Name, name);
                read.find(
                    Group::NotTaken,
                    facts.place(node),
                    say!(
                        "{} {}: a variable or a template decides its path, or it has none",
                        word,
                        name
                    ),
                    say!("keep it in the file"),
                );
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
            let place = facts.place(node);
            if let Some(other) = paths.get(&volume.path) {
                let what = say!(
                    "{}: another volume of this runner is mounted there; the API server refuses every pod of this runner for two mounts of one path, and of two spellings the later one counts",
                    volume.called()
                );
                let places = vec![other.clone(), place];
                read.findings.push(Finding {
                    group: Group::Conflict,
                    places,
                    what,
                    todo: say!("keep one of them"),
                });
                continue;
            }
            paths.insert(volume.path.clone(), place);
            volumes.push(volume);
        }
    }
    let mut docker = Docker::of(facts, &volumes);
    for volume in &volumes {
        docker.judge(facts, volume, read);
    }
    docker.finish(facts, read);
}

pub(super) fn take(
    volume: &Volume<'_>,
    content: Content,
    fallback: &'static str,
    place: Place,
    keep: Option<Sentence>,
    remark: Sentence,
    read: &mut Read,
) {
    let Some(path) = path_of(&volume.path) else {
        return;
    };
    let name = volume.name.to_lowercase().replace(['_', '.', ' '], "-");
    let name = if format::LABEL.check(&name).is_ok() {
        name
    } else {
        fallback.to_owned()
    };
    let name = Printable::or_hidden(Kind::Name, &name);
    let read_only = volume.node.at("read_only").is_some_and(Node::is_true);
    let removal = if keep.is_some() {
        Removal::None
    } else {
        Removal::All
    };
    let item = Item::Volume {
        path,
        name,
        read_only,
        content,
    };
    read.wants.push(Want {
        item,
        place,
        keep,
        remark,
        removal,
    });
}

/// A path that a policy takes.
pub(super) fn path_of(path: &str) -> Option<Printable> {
    let path = clean(path);
    format::MOUNT_PATH
        .check(&path)
        .ok()
        .and_then(|()| Printable::new(Kind::Path, &path))
}

pub(super) fn object(name: &str) -> Option<Printable> {
    format::SUBDOMAIN
        .check(name)
        .ok()
        .and_then(|()| Printable::new(Kind::Name, name))
}

/// What makes a volume a danger wherever it is mounted.
pub(super) fn danger(volume: &Volume<'_>) -> Option<&'static str> {
    let home = |path: &str| path.ends_with("/.kube") || path.contains("/.kube/");
    let name = volume.name.to_ascii_lowercase();
    let names_kubeconfig = name.contains("kubeconfig")
        || name.contains("kube-config")
        || volume.path.ends_with("kubeconfig");
    if volume.path == "/etc/hosts" {
        return Some(
            "it takes the place of the pod's hosts file, which makes every alias void, those of a policy too",
        );
    }
    if matches!(volume.kind, "secret" | "config_map" | "host_path")
        && (home(&volume.path) || names_kubeconfig)
    {
        return Some("a kubeconfig: every job, whoever wrote it, has that access to the cluster");
    }
    if volume.kind != "host_path" {
        return None;
    }
    let host = clean(volume.node.text_at("host_path").unwrap_or(&volume.path)).into_owned();
    if host.ends_with(".sock") {
        return Some(
            "a socket of the node, most likely its container runtime's: whoever has it is root on the node",
        );
    }
    let is_in =
        |(path, below, _): &&(&str, bool, &str)| host == *path || *below && is_below(&host, path);
    NODE.iter().find(is_in).map(|(_, _, what)| *what)
}
