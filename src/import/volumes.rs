//! Decides which volumes of a runner a policy replaces, which stay in the file, and which are
//! dangerous.

use super::config_value::ConfigValue;
use super::finding::{Finding, Item, Removal};
use super::messages;
use super::runner::Collected;
use super::runner_config::RunnerConfig;
use super::safe_text::{Kind, Message, SafeText, message};
use super::{certificates, registries};
use crate::core::crd::format;
use crate::core::mount_path::{clean, is_below};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The data directories of dind and of rootless dind.
const DATA_PATHS: [&str; 2] = ["/var/lib/docker", "/home/rootless/.local/share/docker"];
const MODULES_PATH: &str = "/lib/modules";
/// The directory of the configuration of dockerd.
const DAEMON_CONFIG_PATH: &str = "/etc/docker";

/// Host paths that are dangerous in a job, and why. A path that ends in a slash includes the paths
/// below it.
const DANGEROUS_HOST_PATHS: &str = "\
/ the whole file system of the node
/run/ the node's /run, which contains the sockets of its container runtime: a job can become root on the node
/var/run/ the node's /run, which contains the sockets of its container runtime: a job can become root on the node
/sys/fs/cgroup/ the node's cgroup tree: inner containers escape the pod's limits, and their cgroups leak; a privileged pod does not need this volume
/etc/kubernetes/ the node's credentials for the cluster
/etc the node's /etc
/root the home directory of root on the node
/proc/ the processes of the node
/dev all devices of the node
/sys the node's /sys
/var the node's /var
/var/lib the node's /var/lib
/var/lib/docker/ the data of the node's Docker daemon, shared by all pods: two daemons that use one directory corrupt it
/var/lib/containerd/ the data of the node's containerd
/var/lib/kubelet/ the data of the node's kubelet, with the Secrets of all its pods";

/// The tables of `[runners.kubernetes.volumes]`, and the names of their volumes in messages.
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
const STORAGE_LIMITS: &str =
    "ephemeral_storage_limit service_ephemeral_storage_limit helper_ephemeral_storage_limit";

/// A volume of a runner.
pub(super) struct Volume<'n> {
    /// The name of its table, such as `host_path`.
    pub(super) kind: &'static str,
    /// The name of the kind in messages, such as `hostPath`.
    pub(super) kind_name: &'static str,
    pub(super) table: &'n ConfigValue,
    pub(super) name: &'n str,
    /// The mount path, cleaned.
    pub(super) path: String,
    pub(super) sub_path: Option<&'n str>,
}

impl Volume<'_> {
    pub(super) fn at_or_below(&self, path: &str) -> bool {
        self.path == path || is_below(&self.path, path)
    }

    fn is_at_or_below_any(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.at_or_below(path))
    }

    pub(super) fn described(&self) -> Message {
        let path = SafeText::or_hidden(Kind::Path, &self.path);
        match SafeText::new(Kind::Name, self.name) {
            Some(name) => message!("{} {} at {}", self.kind_name, name, path),
            None => message!("{} at {}", self.kind_name, path),
        }
    }

    /// Returns the keys of `items`, by the path of their file.
    pub(super) fn items(&self) -> BTreeMap<&str, &str> {
        let items = self.table.entries_at("items").iter();
        let items = items.filter_map(|entry| Some((entry.value.as_text()?, entry.key.as_str())));
        items.collect()
    }
}

/// A volume source of a policy: its field, its value and its description in messages.
type Source = (&'static str, Value, Message);

/// Reads the volumes of a runner. If the runner uses dind, adds `clientCerts`.
pub(super) fn read(config: &RunnerConfig<'_>, out: &mut Collected) {
    let volumes = all(config, out);
    let mut certificates = certificates::Certificates::of(config);
    let shows_dind = |volume: &&Volume<'_>| {
        certificates.is_for_dind(config, volume)
            || volume.is_at_or_below_any(&DATA_PATHS)
            || volume.is_at_or_below_any(&registries::DIRECTORIES)
            || volume.is_at_or_below_any(&[MODULES_PATH, DAEMON_CONFIG_PATH])
    };
    let volume = volumes.iter().find(shows_dind).map(|volume| volume.table);
    let evidence = config.dind_service.map(|(service, _)| service).or(volume);
    certificates.is_dind_used = evidence.is_some();
    for volume in &volumes {
        if certificates.includes(volume) {
            certificates.read(config, volume, out);
        } else if let Some(why) = danger(volume) {
            let message = messages::dangerous_volume(volume.described(), why);
            out.report(volume.table, message);
        } else if volume.is_at_or_below_any(&registries::DIRECTORIES) {
            registries::read(config, volume, out);
        } else {
            add_dind_volume(config, volume, out)
                .unwrap_or_else(|finding| out.report(volume.table, finding));
        }
    }
    if let Some((service, false)) = config.dind_service {
        let image = service.text_at("name").unwrap_or_default();
        if let Some(image) = SafeText::new(Kind::Image, image) {
            out.report(service, messages::image_of_dind(&image));
            out.add_comment(
                message!(
                    "line {}: drydock recognizes this image as dind only with this entry",
                    service.span.line
                ),
                Item::image(image),
            );
        }
    }
    if certificates.is_dind_used {
        certificates.add_client_certs(evidence.unwrap_or(config.kubernetes), out);
    }
}

/// Returns the volumes with a known mount path, one for each path.
fn all<'n>(config: &RunnerConfig<'n>, out: &mut Collected) -> Vec<Volume<'n>> {
    let mut volumes: Vec<Volume<'_>> = Vec::new();
    let tables = config.kubernetes.at("volumes");
    for (kind, kind_name) in KINDS {
        for table in tables.map(|it| it.items_at(kind)).unwrap_or_default() {
            let name = table.text_at("name").unwrap_or_default();
            let path = table
                .text_at("mount_path")
                .filter(|path| !path.contains('$'));
            let Some(path) = path else {
                let name = SafeText::or_hidden(Kind::Name, name);
                out.report(table, messages::volume_without_path(kind_name, name));
                continue;
            };
            let volume = Volume {
                kind,
                kind_name,
                table,
                name,
                path: clean(path).into_owned(),
                sub_path: table.text_at("sub_path"),
            };
            match volumes.iter().find(|other| other.path == volume.path) {
                Some(other) => {
                    let message = messages::two_volumes(volume.described());
                    out.findings.push(message.at(other.table).at(table));
                }
                None => volumes.push(volume),
            }
        }
    }
    volumes
}

/// Returns the name of a volume in a policy.
fn name(volume: &Volume<'_>) -> SafeText {
    let name = volume.name.to_lowercase().replace(['_', '.', ' '], "-");
    let fallback = match volume.path.as_str() {
        MODULES_PATH => "dind-modules",
        DAEMON_CONFIG_PATH => "dind-config",
        _ => "dind-storage",
    };
    let name = SafeText::new(Kind::Object, &name).filter(|_| format::LABEL.check(&name).is_ok());
    name.unwrap_or_else(|| SafeText::trusted(fallback))
}

/// Adds a volume for dind to the settings, or returns the finding about a volume that a policy
/// cannot have. The caller handles dangerous volumes and volumes with certificates.
fn add_dind_volume(
    config: &RunnerConfig<'_>,
    volume: &Volume<'_>,
    out: &mut Collected,
) -> Result<(), Finding> {
    let not_taken = |why: &'static str| messages::volume(volume.described(), why);
    let is_data = volume.is_at_or_below_any(&DATA_PATHS);
    let (mut removal, mut remark) = (Removal::All, Message::default());
    let (kind, source, shown): Source = match (volume.kind, volume.path.as_str()) {
        ("pvc", _) if volume.name.contains('$') => {
            return Err(not_taken(
                "its name contains a variable, so each build has its own claim; a policy does not support that",
            ));
        }
        ("pvc" | "nfs" | "host_path", _) if is_data => {
            return Err(messages::shared_data(volume.described()));
        }
        _ if volume.sub_path.is_some()
            && (is_data || volume.is_at_or_below_any(&[MODULES_PATH, DAEMON_CONFIG_PATH])) =>
        {
            return Err(not_taken("a policy does not support sub_path"));
        }
        ("empty_dir", path) if DATA_PATHS.contains(&path) => {
            (removal, remark) = (data_removal(config), data_remark(volume));
            data(volume)?
        }
        ("host_path", MODULES_PATH) => {
            let path = volume.table.text_at("host_path").unwrap_or(&volume.path);
            let path = SafeText::new(Kind::MountPath, &clean(path));
            let path = path.ok_or_else(|| not_taken("its host_path is not valid in a policy"))?;
            (
                "hostPath",
                json!({"path": path.as_str()}),
                message!("the node's {}", path),
            )
        }
        ("config_map", DAEMON_CONFIG_PATH) => config_map(volume)
            .ok_or_else(|| not_taken("its name or one of its keys is not valid in a policy"))?,
        _ if is_data => {
            return Err(not_taken(
                "a policy supports only an emptyDir at Docker's data directory",
            ));
        }
        _ => {
            return Err(not_taken(
                "it is not a volume for dind, and drydock does not change it",
            ));
        }
    };
    let path = SafeText::new(Kind::MountPath, &volume.path);
    let path = path.ok_or_else(|| not_taken("its mount_path is not valid in a policy"))?;
    let read_only = volume
        .table
        .at("read_only")
        .is_some_and(ConfigValue::is_true);
    let item = Item::volume(path, name(volume), read_only, (kind, source, shown));
    out.add_setting(volume.table, item, removal, remark);
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

/// Returns the emptyDir for Docker's data directory.
fn data(volume: &Volume<'_>) -> Result<Source, Finding> {
    let medium = volume.table.at("medium").filter(|medium| medium.is_set());
    let mut source = Map::new();
    let description = match medium.map(|medium| medium.as_text()) {
        None => "an emptyDir",
        Some(Some("Memory")) => {
            source.insert("medium".to_owned(), "Memory".into());
            "a memory-backed emptyDir"
        }
        Some(_) => return Err(messages::other_medium(volume.described())),
    };
    let shown = match size(volume) {
        Some(size) => {
            source.insert("sizeLimit".to_owned(), size.as_str().into());
            message!("{} of {}", description, size)
        }
        None => message!("{}", description),
    };
    Ok(("emptyDir", source.into(), shown))
}

fn size(volume: &Volume<'_>) -> Option<SafeText> {
    SafeText::new(Kind::Size, volume.table.text_at("size_limit")?.trim())
}

fn data_remark(volume: &Volume<'_>) -> Message {
    let written = volume.table.at("size_limit").filter(|value| value.is_set());
    let text = written.and_then(ConfigValue::as_text).unwrap_or_default();
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

fn data_removal(config: &RunnerConfig<'_>) -> Removal {
    let is_set = |limit: &str| config.kubernetes.at(limit).is_some_and(ConfigValue::is_set);
    match STORAGE_LIMITS.split(' ').any(is_set) {
        true => Removal::Keep(message!(
            "keep the line: to a pod with an ephemeral-storage limit, drydock adds no emptyDir for Docker's data directory, because images would count against the limit (V7)"
        )),
        false => Removal::All,
    }
}

/// Returns why a volume is dangerous at every mount path.
fn danger(volume: &Volume<'_>) -> Option<&'static str> {
    let is_kubeconfig = |text: &str| {
        let text = text.to_ascii_lowercase();
        let has = |part: &str| text.contains(part);
        has("kubeconfig") || has("kube-config") || has("/.kube/") || text.ends_with("/.kube")
    };
    let is_host = volume.kind == "host_path";
    let has_files = is_host || matches!(volume.kind, "secret" | "config_map");
    let host = volume.table.text_at("host_path").filter(|_| is_host);
    let host = clean(host.unwrap_or(&volume.path)).into_owned();
    if volume.path == "/etc/hosts" {
        return Some(
            "it replaces the pod's /etc/hosts, so host aliases have no effect, including those of a policy",
        );
    }
    if has_files
        && [volume.name, &volume.path, &host]
            .into_iter()
            .any(is_kubeconfig)
    {
        return Some("a kubeconfig: every job has its access to the cluster");
    }
    if !is_host {
        return None;
    }
    if host.ends_with(".sock") {
        return Some(
            "a socket of the node, probably of its container runtime: a job can become root on the node",
        );
    }
    let mut rows = DANGEROUS_HOST_PATHS
        .lines()
        .filter_map(|row| row.split_once(' '));
    let row = rows.find(|(path, _)| match path.strip_suffix('/') {
        Some(path) if !path.is_empty() => host == path || is_below(&host, path),
        _ => host == *path,
    });
    row.map(|(_, why)| why)
}
