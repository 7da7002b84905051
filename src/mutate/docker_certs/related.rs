//! Which mounts have to do with which certificate directory (rules D4 and D5).
//!
//! A pod may have as many directories as dind containers, and one mount of `build` may be in the way
//! of all of them. So each container is read once, and such a mount is kept once: a directory has
//! positions.

use super::directory::{Directory, MountKind, Relation, SubPaths};
use super::survey::Survey;
use crate::mount_path::Outermost;
use crate::mutate::change::MountId;
use crate::pod::{Container, ContainerId, Pod, Text, VolumeMount};
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
            mounts: Vec::new(),
            of_directories: vec![Vec::new(); directories.len()],
            ancestors: HashMap::new(),
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
        // An ancestor may be one that an earlier directory had removed.
        mounts
            .filter(|mount| !survey.is_removed(mount.id.container, mount.id.index))
            .collect()
    }
}

struct Search<'s, 'a> {
    survey: &'s Survey<'a>,
    mounts: Vec<MountKind<'a>>,
    of_directories: Vec<Vec<usize>>,
    /// Positions of the mounts that are in the way above a directory, by container and index.
    ancestors: HashMap<(ContainerId, usize), usize>,
    /// How often each path is written in a container, where that was asked.
    written: HashMap<ContainerId, HashMap<Text<'a>, usize>>,
}

impl<'a> Search<'_, 'a> {
    fn relate(&mut self, directory: usize, position: usize) {
        if let Some(positions) = self.of_directories.get_mut(directory) {
            positions.push(position);
        }
    }

    fn add_ancestors(
        &mut self,
        (at, directory): (usize, &Directory),
        pod: &Pod<'a>,
        (id, container): (ContainerId, &Container<'a>),
    ) {
        for index in directory.unwritable_ancestors(pod, self.survey, (id, container)) {
            let Some(mount) = container.mounts().get(index) else {
                continue;
            };
            let position = match self.ancestors.get(&(id, index)) {
                Some(position) => *position,
                None => {
                    let relation = Relation::UnwritableAncestor;
                    let position = self.add((id, container), (index, mount), relation);
                    self.ancestors.insert((id, index), position);
                    position
                }
            };
            self.relate(at, position);
        }
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
