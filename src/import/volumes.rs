//! Volumes of a runner: which belong to dind and go into a policy, which stay in the file, and
//! which are dangerous.

use super::docker::Facts;
use super::finding::{Finding, Item, Removal};
use super::messages;
use super::node::Node;
use super::runner::Collected;
use super::safe_text::{Kind, Message, SafeText, message};
use super::{certificates, registries};
use crate::core::crd::format;
use crate::core::mount_path::{clean, is_below};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where dind and rootless dind keep images and containers.
const DATA: [&str; 2] = ["/var/lib/docker", "/home/rootless/.local/share/docker"];
const MODULES: &str = "/lib/modules";
const DAEMON: &str = "/etc/docker";

/// Directories of the node that no job should have, and why. A path that ends in a slash stands for
/// everything below it, too.
const NODE: &str = "\
/ the whole file system of the node
/run/ the node's /run, which has the sockets of its container runtime: a job can become root on the node
/var/run/ the node's /run, which has the sockets of its container runtime: a job can become root on the node
/sys/fs/cgroup/ the node's cgroup tree: inner containers escape the pod's limits, and their cgroups leak; a privileged pod does not need this volume
/etc/kubernetes/ the node's credentials for the cluster
/etc the node's /etc
/root the home directory of root on the node
/proc/ the processes of the node
/dev all devices of the node
/sys the node's /sys
/var the node's /var
/var/lib the node's /var/lib
/var/lib/docker/ the data of the node's Docker daemon, shared by all pods: two daemons in one directory destroy it
/var/lib/containerd/ the data of the node's containerd
/var/lib/kubelet/ the data of the node's kubelet, with the Secrets of all its pods";

/// Tables of `[runners.kubernetes.volumes]`, and their names in messages.
const KINDS: [(&str, &str); 7] = [
    ("host_path", "hostPath"),
    ("secret", "Secret"),
    ("pvc", "claim"),
    ("config_map", "ConfigMap"),
    ("empty_dir", "emptyDir"),
    ("csi", "CSI volume"),
    ("nfs", "NFS export"),
];

/// Settings that limit ephemeral storage. Images in an emptyDir count against these limits.
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

    pub(super) fn called(&self) -> Message {
        let path = SafeText::or_hidden(Kind::Path, &self.path);
        match SafeText::new(Kind::Name, self.name) {
            Some(name) => message!("{} {} at {}", self.word, name, path),
            None => message!("{} at {}", self.word, path),
        }
    }

    /// Files and their keys, if the volume lists them.
    pub(super) fn items(&self) -> BTreeMap<&str, &str> {
        let items = self.node.entries_at("items").iter();
        let items = items.filter_map(|entry| Some((entry.node.as_text()?, entry.key.as_str())));
        items.collect()
    }
}

/// A volume source of a policy: its field, its value and its description.
type Source = (&'static str, Value, Message);

/// Reads the volumes, and finds out whether jobs use dind.
pub(super) fn read(facts: &Facts<'_>, out: &mut Collected) {
    let volumes = all(facts, out);
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
            certificates.read(facts, volume, out);
        } else if let Some(why) = danger(volume) {
            let message = messages::dangerous_volume(volume.called(), why);
            out.report(volume.node, message);
        } else if volume.is_in(&registries::DIRECTORIES) {
            registries::read(facts, volume, out);
        } else {
            of_dind(facts, volume, out).unwrap_or_else(|finding| out.report(volume.node, finding));
        }
    }
    if let Some((service, false)) = facts.dind_service {
        let image = service.text_at("name").unwrap_or_default();
        if let Some(image) = SafeText::new(Kind::Image, image) {
            out.report(service, messages::image_of_dind(&image));
            out.comment(
                message!(
                    "line {}: drydock recognizes this image as dind only with this entry",
                    service.span.line
                ),
                Item::image(image),
            );
        }
    }
    if certificates.is_used {
        certificates.finish(evidence.unwrap_or(facts.kubernetes), out);
    }
}

/// Returns the volumes with a known path, one for each path.
fn all<'n>(facts: &Facts<'n>, out: &mut Collected) -> Vec<Volume<'n>> {
    let mut volumes: Vec<Volume<'_>> = Vec::new();
    let table = facts.kubernetes.at("volumes");
    for (kind, word) in KINDS {
        for node in table.map(|table| table.items_at(kind)).unwrap_or_default() {
            let name = node.text_at("name").unwrap_or_default();
            let path = node
                .text_at("mount_path")
                .filter(|path| !path.contains('$'));
            let Some(path) = path else {
                let name = SafeText::or_hidden(Kind::Name, name);
                out.report(node, messages::volume_without_path(word, name));
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
                    out.findings.push(message.at(other.node).at(node));
                }
                None => volumes.push(volume),
            }
        }
    }
    volumes
}

/// The name of a volume in a policy.
fn name(volume: &Volume<'_>) -> SafeText {
    let name = volume.name.to_lowercase().replace(['_', '.', ' '], "-");
    let fallback = match volume.path.as_str() {
        MODULES => "dind-modules",
        DAEMON => "dind-config",
        _ => "dind-storage",
    };
    let name = SafeText::new(Kind::Object, &name).filter(|_| format::LABEL.check(&name).is_ok());
    name.unwrap_or_else(|| SafeText::own(fallback))
}

/// Adds a volume to the policy if it belongs to dind, or returns why not. Dangerous volumes and
/// volumes with certificates were handled by the caller.
fn of_dind(facts: &Facts<'_>, volume: &Volume<'_>, out: &mut Collected) -> Result<(), Finding> {
    let left = |why: &'static str| messages::volume(volume.called(), why);
    let is_data = volume.is_in(&DATA);
    let (mut removal, mut remark) = (Removal::All, Message::default());
    let (kind, source, shown): Source = match (volume.kind, volume.path.as_str()) {
        ("pvc", _) if volume.name.contains('$') => {
            return Err(left("a claim for each build, which a policy cannot have"));
        }
        ("pvc" | "nfs" | "host_path", _) if is_data => {
            return Err(messages::shared_data(volume.called()));
        }
        _ if volume.sub_path.is_some() && (is_data || volume.is_in(&[MODULES, DAEMON])) => {
            return Err(left("volumes of a policy have no sub_path"));
        }
        ("empty_dir", path) if DATA.contains(&path) => {
            (removal, remark) = (data_removal(facts), data_remark(volume));
            data(volume)?
        }
        ("host_path", MODULES) => {
            let path = volume.node.text_at("host_path").unwrap_or(&volume.path);
            let path = SafeText::new(Kind::MountPath, &clean(path));
            let path = path.ok_or_else(|| left("a variable sets the path on the node"))?;
            (
                "hostPath",
                json!({"path": path.as_str()}),
                message!("the node's {}", path),
            )
        }
        ("config_map", DAEMON) => config_map(volume)
            .ok_or_else(|| left("its name or one of its keys is not valid in a policy"))?,
        _ if is_data => return Err(left("a policy takes only an emptyDir at the data path")),
        _ => {
            return Err(left(
                "it does not belong to dind; drydock does not change it",
            ));
        }
    };
    let path = SafeText::new(Kind::MountPath, &volume.path);
    let path = path.ok_or_else(|| left("its path is not valid in a policy"))?;
    let read_only = volume.node.at("read_only").is_some_and(Node::is_true);
    let item = Item::volume(path, name(volume), read_only, (kind, source, shown));
    out.take(volume.node, item, removal, remark);
    Ok(())
}

fn config_map(volume: &Volume<'_>) -> Option<Source> {
    let name = SafeText::new(Kind::Object, volume.name)?;
    let items = volume.items().into_iter().map(|(path, key)| {
        let [key, path] = [key, path].map(|text| SafeText::new(Kind::Key, text));
        Some(json!({"key": key?.as_str(), "path": path?.as_str()}))
    });
    let items = items.collect::<Option<Vec<Value>>>()?;
    let source = match items.is_empty() {
        true => json!({"name": name.as_str()}),
        false => json!({"name": name.as_str(), "items": items}),
    };
    Some(("configMap", source, message!("ConfigMap {}", name)))
}

/// The emptyDir of the daemon's data.
fn data(volume: &Volume<'_>) -> Result<Source, Finding> {
    let medium = volume.node.at("medium").filter(|medium| medium.is_set());
    let mut source = Map::new();
    let word = match medium.map(|medium| medium.as_text()) {
        None => "an emptyDir",
        Some(Some("Memory")) => {
            source.insert("medium".to_owned(), "Memory".into());
            "a memory-backed emptyDir"
        }
        Some(_) => return Err(messages::other_medium(volume.called())),
    };
    let shown = match size(volume) {
        Some(size) => {
            source.insert("sizeLimit".to_owned(), size.as_str().into());
            message!("{} of {}", word, size)
        }
        None => message!("{}", word),
    };
    Ok(("emptyDir", source.into(), shown))
}

fn size(volume: &Volume<'_>) -> Option<SafeText> {
    SafeText::new(Kind::Size, volume.node.text_at("size_limit")?.trim())
}

fn data_remark(volume: &Volume<'_>) -> Message {
    let written = volume.node.at("size_limit").filter(|node| node.is_set());
    let text = written.and_then(Node::as_text).unwrap_or_default();
    match (written, size(volume)) {
        (Some(_), Some(size)) if text != text.trim() => message!(
            "its size_limit contains white space, so the runner sets no limit; the policy sets {}",
            size
        ),
        (Some(_), None) => {
            message!("its size_limit is not a quantity, so the policy sets no limit either")
        }
        _ => Message::default(),
    }
}

fn data_removal(facts: &Facts<'_>) -> Removal {
    let is_set = |limit: &str| facts.kubernetes.at(limit).is_some_and(Node::is_set);
    match LIMITS.split(' ').any(is_set) {
        true => Removal::Keep(message!(
            "keep the line: drydock adds no emptyDir at the data path to a pod with an ephemeral-storage limit, because images would count against the limit (V7)"
        )),
        false => Removal::All,
    }
}

/// Why a volume is dangerous wherever it is mounted.
fn danger(volume: &Volume<'_>) -> Option<&'static str> {
    let is_kubeconfig = |text: &str| {
        let text = text.to_ascii_lowercase();
        let has = |part: &str| text.contains(part);
        has("kubeconfig") || has("kube-config") || has("/.kube/") || text.ends_with("/.kube")
    };
    let is_host = volume.kind == "host_path";
    let has_files = is_host || matches!(volume.kind, "secret" | "config_map");
    let host = volume.node.text_at("host_path").filter(|_| is_host);
    let host = clean(host.unwrap_or(&volume.path)).into_owned();
    if volume.path == "/etc/hosts" {
        return Some(
            "it replaces the pod's hosts file, so no alias works, not even one of a policy",
        );
    }
    if has_files
        && [volume.name, &volume.path, &host]
            .into_iter()
            .any(is_kubeconfig)
    {
        return Some("a kubeconfig: every job, whoever wrote it, has its access to the cluster");
    }
    if !is_host {
        return None;
    }
    if host.ends_with(".sock") {
        return Some(
            "a socket of the node, probably of its container runtime: a job can become root on the node",
        );
    }
    let mut rows = NODE.lines().filter_map(|row| row.split_once(' '));
    let row = rows.find(|(path, _)| match path.strip_suffix('/') {
        Some(path) if !path.is_empty() => host == path || is_below(&host, path),
        _ => host == *path,
    });
    row.map(|(_, why)| why)
}
