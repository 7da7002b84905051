//! The rules: desired − actual = changes.
//!
//! ```text
//! Pod + Desired ─► plan ─► Plan { changes, notes, denial }
//!                            │        └─► sentences for people (explain, warnings)
//!                            └─► patch (RFC 6902), names (metrics, annotation)
//! ```
//!
//! Each rule looks at the pod as the rules before it left it and records changes one at a time; a change is applied to that picture
//! the moment it is recorded, so positions in it are those at which its patch operations apply.
//! Nothing here waits, reads a clock, or fails: a pod that makes no sense gets fewer changes, never an error.

mod advice;
mod annotations;
pub mod change;
mod docker_certs;
mod docker_volumes;
mod host_aliases;
pub mod note;
mod patch;
mod registry_cas;
mod scheduling;

pub use change::Change;
pub use note::{Audience, Note};
pub use patch::patch;

use crate::job_pod::{client, dind};
use crate::pod::{ContainerId, Pod, Text};
use crate::policy::{Desired, Policy};
use change::{Action, MountId, NewSource};
use std::collections::{BTreeMap, BTreeSet};

/// What policies do to one pod.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// The changes, in the order in which their operations apply.
    pub changes: Vec<Change<'a>>,
    /// What there is to say beside the changes.
    pub notes: Vec<Note<'a>>,
    /// Why the pod is to be refused. Then there are no changes.
    pub denial: Option<Note<'a>>,
}

/// Plans what `desired` asks for on `pod`, which is left as the changes leave it.
#[must_use]
pub fn plan<'a>(pod: &mut Pod<'a>, desired: &Desired<'a>) -> Plan<'a> {
    let mut planner = Planner {
        pod,
        plan: Plan {
            changes: Vec::with_capacity(12),
            ..Plan::default()
        },
    };
    host_aliases::plan(&mut planner, desired);
    let mut daemon = None;
    if let Some(wanted) = &desired.dind {
        let found = dind::find(planner.pod, &wanted.images);
        let daemon = daemon.insert(client::daemon(planner.pod, &found.containers));
        planner.note_undecided(&found, wanted.client_certs.policy);
        if found.containers.is_empty() {
            if found.undecided.is_empty() {
                planner.note(wanted.client_certs.policy, note::Fact::NoDind);
            }
        } else {
            docker_certs::plan(&mut planner, wanted, &found.containers, daemon);
            docker_volumes::plan(&mut planner, wanted, &found.containers);
            registry_cas::plan(&mut planner, wanted, &found.containers);
            scheduling::plan(&mut planner, wanted);
        }
        let policy = wanted.client_certs.policy;
        advice::give(&mut planner, policy, &found.containers, daemon);
    }
    advice::on_hosts_files(&mut planner, desired, daemon.as_ref());
    let mut plan = planner.plan;
    if plan.denial.is_some() {
        plan.changes.clear();
    }
    plan
}

/// Returns the annotations that say what changed a pod (A5): key and value.
#[must_use]
pub fn annotations(
    original: &Pod<'_>,
    desired: &Desired<'_>,
    changes: &[Change<'_>],
) -> Vec<(&'static str, String)> {
    annotations::of(original, desired, changes)
}

/// The pod as the rules so far leave it, and what they recorded.
struct Planner<'p, 'a> {
    pod: &'p mut Pod<'a>,
    plan: Plan<'a>,
}

impl<'a> Planner<'_, 'a> {
    /// Records a change and applies it to the picture of the pod.
    fn change(&mut self, policy: &'a Policy, action: Action<'a>) {
        action.apply(self.pod);
        self.plan.changes.push(Change { policy, action });
    }

    /// Records the removal of mounts, in the order given: of one container, the last comes first.
    /// The picture of the pod is changed once for all of them.
    fn remove_mounts(&mut self, policy: &'a Policy, mounts: Vec<(MountId<'a>, Text<'a>)>) {
        let mut gone: BTreeMap<ContainerId, BTreeSet<usize>> = BTreeMap::new();
        for (mount, volume) in mounts {
            gone.entry(mount.container).or_default().insert(mount.index);
            let action = Action::RemoveMount { mount, volume };
            self.plan.changes.push(Change { policy, action });
        }
        for (id, gone) in gone {
            let mounts = self.pod.container_mut(id);
            if let Some(mounts) = mounts.and_then(|known| known.volume_mounts.as_mut()) {
                let mut index = 0..;
                mounts.retain(|_| !index.next().is_some_and(|index| gone.contains(&index)));
            }
        }
    }

    /// Adds a volume under a name that is free; returns the name.
    fn add_volume(
        &mut self,
        policy: &'a Policy,
        preferred: impl Into<Text<'a>>,
        source: NewSource<'a>,
    ) -> Text<'a> {
        let name = self.free_volume_name(preferred);
        let action = Action::AddVolume {
            list_missing: self.pod.spec.volumes.is_none(),
            name: name.clone(),
            source,
        };
        self.change(policy, action);
        name
    }

    fn note(&mut self, policy: &'a Policy, fact: note::Fact<'a>) {
        self.plan.notes.push(Note { policy, fact });
    }

    fn note_undecided(&mut self, found: &dind::Found, policy: &'a Policy) {
        for id in &found.undecided {
            if let Some(container) = self.pod.container(*id) {
                let (container, image) = (
                    container.name.clone().unwrap_or_default(),
                    container.image.clone().unwrap_or_default(),
                );
                self.note(policy, note::Fact::ImageUndecided { container, image });
            }
        }
    }

    /// Returns a name that no volume of the pod and no mount uses, the preferred one if possible (V4).
    /// Mounts count, because a new volume must not give one a meaning that has none: that pod is for the API server to refuse.
    fn free_volume_name(&self, preferred: impl Into<Text<'a>>) -> Text<'a> {
        let preferred: Text<'a> = preferred.into();
        let is_taken = |name: &str| {
            self.pod
                .volumes()
                .iter()
                .any(|volume| &*volume.name == name)
                || self.pod.containers().any(|(_, container)| {
                    container
                        .mounts()
                        .iter()
                        .any(|mount| mount.volume() == name)
                        || container
                            .volume_devices
                            .iter()
                            .flatten()
                            .any(|device| crate::pod::text(&device.name) == name)
                })
        };
        if !is_taken(&preferred) {
            return preferred;
        }
        let candidate = |number: usize| {
            let suffix = format!("-{number}");
            let room = 63 - suffix.len();
            format!("{}{suffix}", preferred.get(..room).unwrap_or(&preferred))
        };
        let mut names = (2..).map(candidate);
        let name = names.find(|name| !is_taken(name));
        Text::from(name.expect("a pod has finitely many volumes"))
    }
}
