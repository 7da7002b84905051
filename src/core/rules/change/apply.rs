//! What a change does to the picture of the pod, so that the rules after it see the pod as it will be.

use super::{Action, NewMount, NewSource};
use crate::core::pod::{
    ContainerId, HostAlias, Map, MountPath, Pod, Text, Toleration, Volume, VolumeMount,
};

impl<'a> Action<'a> {
    /// Applies the change to a picture of the pod.
    pub(in crate::core::rules) fn apply(&self, pod: &mut Pod<'a>) {
        match self {
            Self::DropHostnames { entry, kept, .. } => {
                if let (Some(kept), Some(alias)) = (kept, alias_mut(pod, *entry)) {
                    alias.hostnames = Some(kept.clone());
                }
            }
            Self::ExtendHostAlias {
                entry, hostnames, ..
            } => {
                if let Some(alias) = alias_mut(pod, *entry) {
                    alias
                        .hostnames
                        .get_or_insert_default()
                        .extend(hostnames.iter().map(|name| Text::from(*name)));
                }
            }
            Self::AddHostAlias { ip, hostnames, .. } => {
                let hostnames = hostnames.iter().map(|name| Text::from(*name)).collect();
                pod.spec
                    .host_aliases
                    .get_or_insert_default()
                    .push(HostAlias {
                        ip: Some(Text::from(ip.to_string())),
                        hostnames: Some(hostnames),
                    });
            }
            Self::RemoveHostAlias { entry, .. } => {
                pod.spec.host_aliases.get_or_insert_default().remove(*entry);
            }
            Self::SwapVolume { index, name, .. } => {
                if let Some(volume) = pod.spec.volumes.get_or_insert_default().get_mut(*index) {
                    *volume = Volume::memory(name.clone());
                }
            }
            Self::AddVolume { name, source, .. } => {
                let name = name.clone();
                let volume = match source {
                    NewSource::Memory { .. } | NewSource::RootlessConfig { .. } => {
                        Volume::memory(name)
                    }
                    NewSource::RegistryCa(ca) => Volume::of_config_map(name, &ca.config_map),
                    NewSource::Policy(source) => {
                        Volume::of_source(name, source.field, source.json.get())
                    }
                };
                pod.add_volume(volume);
            }
            Self::PointMount {
                mount,
                volume,
                sub_path,
                ..
            } => {
                if let Some(known) = mounts_mut(pod, mount.container).get_mut(mount.index) {
                    *known = VolumeMount {
                        name: Some(volume.clone()),
                        mount_path: known.mount_path.take(),
                        sub_path: sub_path.clone(),
                        ..VolumeMount::default()
                    };
                }
            }
            Self::RemoveMount { mount, .. } => {
                mounts_mut(pod, mount.container).remove(mount.index);
            }
            Self::AddMount {
                container, mount, ..
            } => mounts_mut(pod, *container).push(mount.as_mount()),
            Self::AddNodeSelector { key, value, .. } => {
                pod.spec
                    .node_selector
                    .get_or_insert_with(Map::default)
                    .set(Text::from(*key), Text::from(*value));
            }
            Self::AddToleration { terms, .. } => {
                let text = |text: &'a str| Some(Text::from(text));
                pod.spec
                    .tolerations
                    .get_or_insert_default()
                    .push(Toleration {
                        key: text(&terms.key),
                        operator: text(&terms.operator),
                        value: text(&terms.value),
                        effect: text(&terms.effect),
                        toleration_seconds: terms.seconds,
                    });
            }
        }
    }
}

impl<'a> NewMount<'a> {
    fn as_mount(&self) -> VolumeMount<'a> {
        VolumeMount {
            name: Some(self.volume.clone()),
            mount_path: Some(MountPath::from(self.path.clone())),
            read_only: self.read_only.then_some(true),
            sub_path: self.sub_path.clone(),
            sub_path_expr: self.sub_path_expr.clone(),
            ..VolumeMount::default()
        }
    }
}

/// Applies removals, one after the other. Those of one list that go from its last to its first element cost one pass.
pub(in crate::core::rules) fn apply_removals<'c, 'a: 'c>(
    removals: impl Iterator<Item = &'c Action<'a>>,
    pod: &mut Pod<'a>,
) {
    let mut removals = removals.peekable();
    while let Some(first) = removals.next() {
        let Some((list, index)) = removed(first) else {
            first.apply(pod);
            continue;
        };
        let mut indices = vec![index];
        while let Some((_, index)) = removals
            .peek()
            .and_then(|next| removed(next))
            .filter(|(other, index)| *other == list && indices.last() > Some(index))
        {
            indices.push(index);
            removals.next();
        }
        match list {
            None => remove_all(pod.spec.host_aliases.get_or_insert_default(), &indices),
            Some(container) => remove_all(mounts_mut(pod, container), &indices),
        }
    }
}

/// Returns from which list a change removes an element, and its index: a container's mounts, or the pod's hostAliases.
fn removed(action: &Action<'_>) -> Option<(Option<ContainerId>, usize)> {
    match action {
        Action::RemoveHostAlias { entry, .. } => Some((None, *entry)),
        Action::RemoveMount { mount, .. } => Some((Some(mount.container), mount.index)),
        _ => None,
    }
}

/// Removes elements whose indices are given from the last to the first.
fn remove_all<T>(list: &mut Vec<T>, indices: &[usize]) {
    let mut goes = indices.iter().rev().copied().peekable();
    let mut index = 0;
    list.retain(|_| {
        let stays = goes.next_if_eq(&index).is_none();
        index += 1;
        stays
    });
}

fn alias_mut<'p, 'a>(pod: &'p mut Pod<'a>, entry: usize) -> Option<&'p mut HostAlias<'a>> {
    pod.spec.host_aliases.as_mut()?.get_mut(entry)
}

fn mounts_mut<'p, 'a>(pod: &'p mut Pod<'a>, id: ContainerId) -> &'p mut Vec<VolumeMount<'a>> {
    let container = pod
        .container_mut(id)
        .expect("a change names a container that the pod has");
    container.volume_mounts.get_or_insert_default()
}
