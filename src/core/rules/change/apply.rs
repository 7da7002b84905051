//! Applies a change to the pod, so that the next rule reads the changed pod.

use super::Action;
use crate::core::pod::{
    ContainerId, HostAlias, Map, MountPath, Pod, Text, Toleration, Volume, VolumeMount,
};

impl<'a> Action<'a> {
    /// Applies the action. Returns whether the pod lacked the list or object to which it adds.
    pub(in crate::core::rules) fn apply(&self, pod: &mut Pod<'a>) -> bool {
        let spec = &mut pod.spec;
        match self {
            Self::DropHostnames(entry, _, _, kept) => {
                if let (Some(kept), Some(alias)) = (kept, alias_mut(pod, *entry)) {
                    alias.hostnames = Some(kept.clone());
                }
                false
            }
            Self::ExtendHostAlias(entry, _, hostnames) => {
                alias_mut(pod, *entry).is_some_and(|alias| {
                    let is_missing = alias.hostnames.is_none();
                    let all = alias.hostnames.get_or_insert_default();
                    all.extend(hostnames.iter().map(|name| Text::from(*name)));
                    is_missing
                })
            }
            Self::AddHostAlias(ip, hostnames) => {
                let hostnames = hostnames.iter().map(|name| Text::from(*name)).collect();
                let ip = Some(Text::from(ip.to_string()));
                push(
                    &mut spec.host_aliases,
                    HostAlias {
                        ip,
                        hostnames: Some(hostnames),
                    },
                )
            }
            Self::RemoveHostAlias(entry, ..) => {
                spec.host_aliases.get_or_insert_default().remove(*entry);
                false
            }
            Self::SwapVolume(index, name, .., certs) => {
                if let Some(volume) = spec.volumes.as_mut().and_then(|list| list.get_mut(*index)) {
                    *volume = Volume::new(name.clone(), certs.volume.field, &certs.volume.json);
                }
                false
            }
            Self::AddVolume(name, source, ..) => {
                let volume = Volume::new(name.clone(), source.field, &source.json);
                push(&mut spec.volumes, volume)
            }
            Self::PointMount(mount, _, volume, _, sub_path) => {
                let mounts = mounts_mut(pod, mount.container).get_or_insert_default();
                if let Some(mount) = mounts.get_mut(mount.index) {
                    *mount = VolumeMount {
                        name: volume.clone(),
                        mount_path: mount.mount_path.take(),
                        sub_path: sub_path.clone(),
                        ..VolumeMount::default()
                    };
                }
                false
            }
            Self::RemoveMount(mount, ..) => {
                mounts_mut(pod, mount.container)
                    .get_or_insert_default()
                    .remove(mount.index);
                false
            }
            Self::AddMount(container, _, mount, ..) => {
                let mount = VolumeMount {
                    name: mount.name.clone(),
                    mount_path: Some(MountPath::from(mount.mount_path.clone())),
                    read_only: mount.read_only.then_some(true),
                    sub_path: mount.sub_path.clone(),
                    sub_path_expr: mount.sub_path_expr.clone(),
                    ..VolumeMount::default()
                };
                push(mounts_mut(pod, *container), mount)
            }
            Self::AddNodeSelector(key, value) => {
                let is_missing = spec.node_selector.is_none();
                let selector = spec.node_selector.get_or_insert_with(Map::default);
                selector.set(Text::from(*key), Text::from(*value));
                is_missing
            }
            Self::AddToleration(toleration) => {
                let text = |field: &'a Option<String>| field.as_deref().map(Text::from);
                let added = Toleration {
                    key: text(&toleration.key),
                    operator: text(&toleration.operator),
                    value: text(&toleration.value),
                    effect: text(&toleration.effect),
                    toleration_seconds: toleration.toleration_seconds,
                };
                push(&mut spec.tolerations, added)
            }
        }
    }
}

/// Appends to a list; returns whether the list was missing.
fn push<T>(list: &mut Option<Vec<T>>, item: T) -> bool {
    let is_missing = list.is_none();
    list.get_or_insert_default().push(item);
    is_missing
}

fn alias_mut<'p, 'a>(pod: &'p mut Pod<'a>, entry: usize) -> Option<&'p mut HostAlias<'a>> {
    pod.spec.host_aliases.as_mut()?.get_mut(entry)
}

fn mounts_mut<'p, 'a>(
    pod: &'p mut Pod<'a>,
    id: ContainerId,
) -> &'p mut Option<Vec<VolumeMount<'a>>> {
    let container = pod.container_mut(id);
    &mut container
        .expect("a change should name a container of the pod")
        .volume_mounts
}
