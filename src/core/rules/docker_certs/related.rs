//! Which mounts have to do with which certificate directory (rules D4 and D5).
//!
//! A pod may have as many directories as dind containers, and one mount of `build` may be in the way
//! of all of them. So each container is read once, and such a mount is kept once: a directory has
//! positions.

use super::directory::{Directory, MountKind, Relation, SubPaths};
use super::survey::Survey;
use crate::core::mount_path::{self, Outermost};
use crate::core::pod::{Container, ContainerId, Pod, Text, Volume, VolumeMount};
use crate::core::rules::change::MountId;
use std::cmp::Reverse;
use std::collections::HashMap;

/// The mounts that have to do with directories. Their places are those before the first change.
pub(super) struct Related<'a> {
    mounts: Vec<MountKind<'a>>,
    /// For each directory positions in `mounts`: those at it, below it, and the ancestors that are
    /// in its way, in the pod's order.
    of_directories: Vec<Vec<usize>>,
}

impl<'a> Related<'a> {
    /// Reads a pod; of the directories only the outermost can be freed.
    pub(super) fn find(
        pod: &Pod<'a>,
        survey: &Survey<'a>,
        directories: &[Directory],
        outermost: &Outermost<Text<'static>>,
    ) -> Self {
        let mut search = Search {
            survey,
            outermost,
            mounts: Vec::new(),
            of_directories: vec![Vec::new(); directories.len()],
            above_for_build: None,
            written: HashMap::new(),
        };
        for (id, container) in pod.containers() {
            for (index, mount) in container.mounts().iter().enumerate() {
                let Some((directory, at)) = outermost.at_or_above(mount.path()) else {
                    continue;
                };
                let is_at = directory.len() == mount.path().len();
                let relation = if is_at { Relation::At } else { Relation::Below };
                let position = search.add((id, container), (index, mount), relation);
                search.relate(at, position);
            }
        }
        for (at, directory) in directories.iter().enumerate() {
            for id in directory.users() {
                if let Some(container) = pod.container(id) {
                    search.add_ancestors((at, directory), pod, (id, container));
                }
            }
        }
        let Search {
            mounts,
            mut of_directories,
            ..
        } = search;
        let place = |position: &usize| {
            let mount = mounts.get(*position);
            mount.map(|mount| (mount.id.container, mount.id.index))
        };
        for positions in &mut of_directories {
            positions.sort_by_key(place);
        }
        Self {
            mounts,
            of_directories,
        }
    }

    /// Returns the mounts that have to do with a directory and are still there, in the pod's order.
    pub(super) fn of_directory(
        &self,
        directory: usize,
        survey: &Survey<'a>,
    ) -> Vec<&MountKind<'a>> {
        let positions = self.of_directories.get(directory).into_iter().flatten();
        let mounts = positions.filter_map(|position| self.mounts.get(*position));
        let mut container = None;
        let mut removed: &[usize] = &[];
        // An ancestor may be one that an earlier directory had removed.
        let is_left = |mount: &&MountKind<'a>| {
            if container.replace(mount.id.container) != Some(mount.id.container) {
                removed = survey.removed_of(mount.id.container);
            }
            removed.binary_search(&mount.id.index).is_err()
        };
        mounts.filter(is_left).collect()
    }
}

/// A mount above a directory.
struct Above {
    index: usize,
    is_unwritable: bool,
    /// Whether the kubelet fills it, and makes mount points inside it.
    is_filled: bool,
    /// Its position in [`Related::mounts`], once it is in the way.
    position: Option<usize>,
}

struct Search<'s, 'a> {
    survey: &'s Survey<'a>,
    outermost: &'s Outermost<Text<'static>>,
    mounts: Vec<MountKind<'a>>,
    of_directories: Vec<Vec<usize>>,
    /// Of `build`, which uses each directory; other containers use one.
    above_for_build: Option<Vec<Above>>,
    /// How often each path is written in a container, where that was asked.
    written: HashMap<ContainerId, HashMap<Text<'a>, usize>>,
}

impl<'a> Search<'_, 'a> {
    fn relate(&mut self, directory: usize, position: usize) {
        if let Some(positions) = self.of_directories.get_mut(directory) {
            positions.push(position);
        }
    }

    /// Finds the mounts of a user's container that keep a directory from being written or mounted
    /// although they lie above it (D4): the nearest mounted ancestor, and whatever the removal of
    /// that one reveals. The kubelet makes mount points inside a volume that it fills itself, so in
    /// `build` such a volume stays and the directory is mounted on top (D7).
    fn add_ancestors(
        &mut self,
        (at, directory): (usize, &Directory),
        pod: &Pod<'a>,
        (id, container): (ContainerId, &Container<'a>),
    ) {
        let is_build = directory.build == Some(id);
        let known = self.above_for_build.take_if(|_| is_build);
        let mut above = known.unwrap_or_else(|| self.above(pod, container));
        let is_written = directory.is_written_by(id);
        for ancestor in &mut above {
            let index = ancestor.index;
            let Some(mount) = container.mounts().get(index) else {
                continue;
            };
            if !mount_path::is_below(&directory.path, mount.path()) {
                continue;
            }
            if !ancestor.is_unwritable || (ancestor.is_filled && !is_written) {
                break;
            }
            let position = *ancestor.position.get_or_insert_with(|| {
                let relation = Relation::UnwritableAncestor;
                self.add((id, container), (index, mount), relation)
            });
            self.relate(at, position);
        }
        if is_build {
            self.above_for_build = Some(above);
        }
    }

    /// Returns the mounts of a container above any directory that can be freed, the nearest first; of
    /// several at one place, the last.
    fn above(&self, pod: &Pod<'a>, container: &Container<'a>) -> Vec<Above> {
        let mounts = container.mounts();
        let indices = mounts.iter().enumerate();
        let mut above: Vec<Above> = indices
            .filter(|(_, mount)| self.outermost.below(mount.path()).is_some())
            .map(|(index, mount)| {
                let volume = self.survey.volume(pod, mount.volume());
                Above {
                    index,
                    is_unwritable: mount.is_read_only() || volume.is_some_and(Volume::is_read_only),
                    is_filled: volume.is_some_and(Volume::is_filled_by_kubelet),
                    position: None,
                }
            })
            .collect();
        let length = |above: &Above| mounts.get(above.index).map(|mount| mount.path().len());
        above.sort_by_key(|above| Reverse((length(above), above.index)));
        above
    }

    /// Adds a mount; returns its position.
    fn add(
        &mut self,
        (container_id, container): (ContainerId, &Container<'a>),
        (index, mount): (usize, &VolumeMount<'a>),
        relation: Relation,
    ) -> usize {
        let exists = self.survey.volume_index(mount.volume()).is_some();
        // Counted only where a mount is to be removed.
        let is_repeated = relation != Relation::At && {
            let written = self.written.entry(container_id);
            let written = written.or_insert_with(|| written_paths(container));
            let number = written.get(&mount.written_path());
            number.is_some_and(|number| *number > 1)
        };
        self.mounts.push(MountKind {
            id: MountId {
                container: container_id,
                container_name: container.name.clone().unwrap_or_default(),
                index,
                path: mount.written_path(),
            },
            volume: mount.name.clone().unwrap_or_default(),
            relation: if exists && !is_repeated {
                relation
            } else {
                Relation::LeftInvalid
            },
            is_at_directory: relation == Relation::At,
            read_only: mount.is_read_only(),
            sub_paths: SubPaths::of(mount),
        });
        self.mounts.len() - 1
    }
}

fn written_paths<'a>(container: &Container<'a>) -> HashMap<Text<'a>, usize> {
    let mut texts = HashMap::new();
    for mount in container.mounts() {
        *texts.entry(mount.written_path()).or_default() += 1;
    }
    texts
}
