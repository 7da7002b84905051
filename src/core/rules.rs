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
mod volume_names;

pub use change::Change;
pub use note::{Audience, Note};
pub use patch::{PatchTooLarge, patch};

use crate::core::job_pod::{client, dind};
use crate::core::pod::{Pod, Text};
use crate::core::policy::{Desired, Policy};
use change::{Action, NewSource};
use volume_names::VolumeNames;

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
        names: VolumeNames::default(),
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

/// Says which of those annotations a pod came with, if any.
#[must_use]
pub fn claims(original: &Pod<'_>) -> Option<String> {
    annotations::claims(original)
}

/// The pod as the rules so far leave it, and what they recorded.
struct Planner<'p, 'a> {
    pod: &'p mut Pod<'a>,
    plan: Plan<'a>,
    names: VolumeNames<'a>,
}

impl<'a> Planner<'_, 'a> {
    /// Records a change and applies it to the picture of the pod.
    fn change(&mut self, policy: &'a Policy, action: Action<'a>) {
        action.apply(self.pod);
        if let Action::AddVolume { name, .. } = &action {
            self.names.take(name);
        }
        self.plan.changes.push(Change { policy, action });
    }

    /// Records removals and applies them. Those that follow each other in one list, from the last to
    /// the first, cost one pass over it.
    fn remove(&mut self, removals: Vec<(&'a Policy, Action<'a>)>) {
        change::apply_removals(removals.iter().map(|(_, action)| action), self.pod);
        let changes = removals
            .into_iter()
            .map(|(policy, action)| Change { policy, action });
        self.plan.changes.extend(changes);
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

    /// Returns a name for a volume that is added, the preferred one if possible (V4).
    fn free_volume_name(&mut self, preferred: impl Into<Text<'a>>) -> Text<'a> {
        self.names.free(self.pod, preferred.into())
    }
}
