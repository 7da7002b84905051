//! The effect of a change on the pod, so that the next rule reads the pod as it will be.

use super::{Action, NewSource};
use crate::core::pod::{
    ContainerId, HostAlias, Map, MountPath, Pod, Text, Toleration, Volume, VolumeMount,
};

impl<'a> Action<'a> {
    /// Applies the action; returns whether the pod lacked the list or object to which it adds.
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
            Self::SwapVolume(index, name, ..) => {
                if let Some(volume) = spec.volumes.as_mut().and_then(|list| list.get_mut(*index)) {
                    *volume = Volume::memory(name.clone());
                }
                false
            }
            Self::AddVolume(name, source) => {
                let (is_missing, name) = (spec.volumes.is_none(), name.clone());
                pod.add_volume(match source {
                    NewSource::Memory { .. } => Volume::memory(name),
                    NewSource::RegistryCa(ca) => Volume::of_config_map(name, &ca.config_map),
                    NewSource::Policy(source) => {
                        Volume::of_source(name, source.field, source.json.get())
                    }
                });
                is_missing
            }
            Self::PointMount(mount, _, volume, _, sub_path) => {
                let mounts = mounts_mut(pod, mount.container).get_or_insert_default();
                if let Some(mount) = mounts.get_mut(mount.index) {
                    *mount = VolumeMount {
                        name: Some(volume.clone()),
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
                    name: Some(mount.name.clone()),
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
            Self::AddToleration(terms, ..) => {
                let text = |text: &'a str| Some(Text::from(text));
                let toleration = Toleration {
                    key: text(&terms.key),
                    operator: text(&terms.operator),
                    value: text(&terms.value),
                    effect: text(&terms.effect),
                    toleration_seconds: terms.seconds,
                };
                push(&mut spec.tolerations, toleration)
            }
        }
    }
}

/// Appends to a list; returns whether there was none.
fn push<T>(list: &mut Option<Vec<T>>, item: T) -> bool {
    let is_missing = list.is_none();
    list.get_or_insert_default().push(item);
    is_missing
}

/// Applies removals in order. Removals from one list, from its last to its first element, cost one
/// pass over it.
pub(in crate::core::rules) fn remove_all<'c, 'a: 'c>(
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
            None => remove_indices(&mut pod.spec.host_aliases, &indices),
            Some(container) => remove_indices(mounts_mut(pod, container), &indices),
        }
    }
}

/// Returns the list and the index of the element that an action removes: the mounts of a container,
/// or else the hostAliases.
fn removed(action: &Action<'_>) -> Option<(Option<ContainerId>, usize)> {
    match action {
        Action::RemoveHostAlias(entry, ..) => Some((None, *entry)),
        Action::RemoveMount(mount, ..) => Some((Some(mount.container), mount.index)),
        _ => None,
    }
}

/// Removes elements. The indices go from the last to the first.
fn remove_indices<T>(list: &mut Option<Vec<T>>, indices: &[usize]) {
    let mut removed = indices.iter().rev().copied().peekable();
    let mut index = 0;
    list.get_or_insert_default().retain(|_| {
        let stays = removed.next_if_eq(&index).is_none();
        index += 1;
        stays
    });
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
        .expect("a change names a container of the pod")
        .volume_mounts
}
