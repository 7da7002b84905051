//! Decides which volumes of a runner a policy replaces, which stay in the file, and which are
//! dangerous.

use super::certificates::Certificates;
use super::config_value::ConfigValue;
use super::finding::{Finding, Item, Removal, without_nulls};
use super::messages;
use super::registries;
use super::runner::Collected;
use super::runner_config::RunnerConfig;
use super::safe_text::{Kind, Message, SafeText, message};
use crate::core::crd::format;
use crate::core::mount_path::{clean, is_below};
use crate::core::policy::DOCKER_ROOT;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What dind uses a directory for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Purpose {
    /// The CA certificates of registries.
    RegistryCas,
    /// Images and containers.
    Data,
    /// The kernel modules of the node.
    Modules,
    /// The configuration of dockerd.
    Configuration,
}

/// The directories of dind and of rootless dind, except the certificate directory. A directory
/// precedes its parent.
const DIND_DIRECTORIES: [(&str, Purpose); 6] = [
    ("/etc/docker/certs.d", Purpose::RegistryCas),
    (
        "/home/rootless/.config/docker/certs.d",
        Purpose::RegistryCas,
    ),
    (DOCKER_ROOT, Purpose::Data),
    ("/home/rootless/.local/share/docker", Purpose::Data),
    ("/lib/modules", Purpose::Modules),
    ("/etc/docker", Purpose::Configuration),
];

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
    ("pvc", "PersistentVolumeClaim"),
    ("config_map", "ConfigMap"),
    ("empty_dir", "emptyDir"),
    ("csi", "CSI volume"),
    ("nfs", "NFS volume"),
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

    /// Returns the directory of dind that contains the mount path, and its purpose.
    fn dind_directory(&self) -> Option<(&'static str, Purpose)> {
        let mut directories = DIND_DIRECTORIES.into_iter();
        directories.find(|(path, _)| self.at_or_below(path))
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
    let mut certificates = Certificates::of(config);
    let shows_dind = |volume: &&Volume<'_>| {
        certificates.is_written_by_dind(volume) || volume.dind_directory().is_some()
    };
    let volume = volumes.iter().find(shows_dind).map(|volume| volume.table);
    let evidence = config.dind_service.map(|(service, _)| service).or(volume);
    certificates.is_dind_used = evidence.is_some();
    for volume in &volumes {
        if certificates.includes(volume) {
            certificates.read(volume, out);
        } else if let Some(why) = danger(volume) {
            let finding = messages::dangerous_volume(volume.described(), why);
            out.report(volume.table, finding);
        } else if let Some((directory, Purpose::RegistryCas)) = volume.dind_directory() {
            registries::read(config, volume, directory, out);
        } else {
            match policy_volume(config, volume) {
                Ok((item, removal, remark)) => out.add_setting(volume.table, item, removal, remark),
                Err(finding) => out.report(volume.table, finding),
            }
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
    certificates.add_client_certs(evidence, out);
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

/// Returns the volume of a policy that replaces a volume for dind, or the finding about a volume
/// that a policy cannot have. The caller handles dangerous volumes and volumes with certificates.
fn policy_volume(
    config: &RunnerConfig<'_>,
    volume: &Volume<'_>,
) -> Result<(Item, Removal, Message), Finding> {
    let not_taken = |why: &'static str| messages::volume(volume.described(), why);
    let not_for_dind = || not_taken("it is not a volume for dind, and drydock does not change it");
    let (directory, purpose) = volume.dind_directory().ok_or_else(not_for_dind)?;
    let is_exact = volume.path == directory;
    let (mut removal, mut remark) = (Removal::All, Message::default());
    let (source, default_name) = match (purpose, volume.kind) {
        (_, "pvc") if volume.name.contains('$') => {
            return Err(not_taken(
                "its name contains a variable, so each build has its own PersistentVolumeClaim; a policy does not support that",
            ));
        }
        (Purpose::Data, "pvc" | "nfs" | "host_path") => {
            return Err(messages::shared_data(volume.described()));
        }
        _ if volume.sub_path.is_some() => {
            return Err(not_taken("a policy does not support sub_path"));
        }
        (Purpose::Data, "empty_dir") if is_exact => {
            removal = data_removal(config);
            let source;
            (source, remark) = data_source(volume)?;
            (source, "dind-storage")
        }
        (Purpose::Data, _) => {
            return Err(not_taken(
                "a policy supports only an emptyDir at Docker's data directory",
            ));
        }
        (Purpose::Modules, "host_path") if is_exact => {
            let path = volume.table.text_at("host_path").unwrap_or(directory);
            let path = SafeText::new(Kind::MountPath, &clean(path));
            let path = path.ok_or_else(|| not_taken("its host_path is not valid in a policy"))?;
            let source = json!({"path": path.as_str()});
            let shown = message!("the node's {}", path);
            (("hostPath", source, shown), "dind-modules")
        }
        (Purpose::Configuration, "config_map") if is_exact => {
            let problem = "its name or one of its keys is not valid in a policy";
            let source = config_map_source(volume).ok_or_else(|| not_taken(problem))?;
            (source, "dind-config")
        }
        _ => return Err(not_for_dind()),
    };
    let name = volume.name.to_lowercase().replace(['_', '.', ' '], "-");
    let name = SafeText::new(Kind::Object, &name).filter(|_| format::LABEL.check(&name).is_ok());
    let name = name.unwrap_or_else(|| SafeText::trusted(default_name));
    let read_only = volume
        .table
        .at("read_only")
        .is_some_and(ConfigValue::is_true);
    let item = Item::volume(SafeText::trusted(directory), name, read_only, source);
    Ok((item, removal, remark))
}

fn config_map_source(volume: &Volume<'_>) -> Option<Source> {
    let name = SafeText::new(Kind::Object, volume.name)?;
    let items = volume.items().into_iter().map(|(path, key)| {
        let [key, path] = [key, path].map(|text| SafeText::new(Kind::Key, text));
        Some(json!({"key": key?.as_str(), "path": path?.as_str()}))
    });
    let items = items.collect::<Option<Vec<Value>>>()?;
    let items = Some(items).filter(|items| !items.is_empty());
    let source = without_nulls(json!({"name": name.as_str(), "items": items}));
    Some(("configMap", source.into(), message!("ConfigMap {}", name)))
}

/// Returns the emptyDir for Docker's data directory, and a remark about its size limit.
fn data_source(volume: &Volume<'_>) -> Result<(Source, Message), Finding> {
    let medium = volume.table.set_at("medium").map(ConfigValue::as_text);
    let (medium, mut shown) = match medium {
        None => (None, message!("an emptyDir")),
        Some(Some("Memory")) => (Some("Memory"), message!("a memory-backed emptyDir")),
        Some(_) => return Err(messages::other_medium(volume.described())),
    };
    let limit = volume.table.set_at("size_limit");
    let text = limit.and_then(ConfigValue::as_text).unwrap_or_default();
    let size = SafeText::new(Kind::Size, text.trim());
    if let Some(size) = &size {
        shown = message!("{} of {}", shown, size);
    }
    let source = json!({"medium": medium, "sizeLimit": size.as_ref().map(SafeText::as_str)});
    let remark = match &size {
        Some(size) if text != text.trim() => message!(
            "its size_limit contains white space, so the runner sets no limit; the policy sets {}",
            size
        ),
        None if limit.is_some() => {
            message!(
                "its size_limit is not a quantity, so neither the runner nor the policy sets a limit"
            )
        }
        _ => Message::default(),
    };
    Ok((("emptyDir", without_nulls(source).into(), shown), remark))
}

fn data_removal(config: &RunnerConfig<'_>) -> Removal {
    let is_set = |limit: &str| config.kubernetes.set_at(limit).is_some();
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
        return Some(
            "it probably contains a kubeconfig, which gives every job access to the cluster",
        );
    }
    if !is_host {
        return None;
    }
    if host.ends_with(".sock") {
        return Some(
            "it is a socket of the node, probably of its container runtime: a job can become root on the node",
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
