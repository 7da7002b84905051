//! The rules: desired − actual = changes.
//!
//! ```text
//! Pod + Desired ─► plan ─► Plan { changes, findings, denial }
//!                            │        └─► sentences (explain, warnings, log)
//!                            └─► JSON Patch (RFC 6902), names (metrics, annotation)
//! ```
//!
//! A change is applied to the pod when it is recorded. So each rule reads the result of the
//! previous rules, and the indices in a change are valid when the API server applies its patch
//! operations. A rule never fails: a malformed pod gets fewer changes.

mod advice;
pub(crate) mod annotations;
pub(crate) mod change;
mod docker_certs;
mod docker_volumes;
pub(crate) mod finding;
mod host_aliases;
mod patch;
mod registry_cas;
mod scheduling;
mod volume_names;

pub use change::Change;
pub use finding::{Audience, Finding};
pub use patch::PatchTooLarge;
pub(crate) use patch::patch;

use crate::core::job_pod::dind::DindContainers;
use crate::core::job_pod::docker_host::DockerHost;
use crate::core::pod::{ContainerId, Pod, Text};
use crate::core::policy::{Desired, Policy, VolumeSource};
use change::{Action, NewMount};
use finding::FindingKind;
use volume_names::VolumeNames;

/// The effect of policies on one pod.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// The changes, in the order of their patch operations.
    pub changes: Vec<Change<'a>>,
    /// The findings of the rules.
    pub findings: Vec<Finding<'a>>,
    /// The reason to refuse the pod. A refused pod has no changes.
    pub denial: Option<Finding<'a>>,
}

/// Plans the changes from `pod` to `desired`, and applies them to `pod`.
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
    let mut docker_host = None;
    if let Some(wanted) = &desired.dind {
        let policy = wanted.client_certs.0;
        let DindContainers { dinds, undecided } = DindContainers::of(planner.pod, &wanted.images);
        let docker_host = docker_host.insert(DockerHost::of(planner.pod, &dinds));
        if dinds.is_empty() && undecided.is_empty() {
            planner.report(policy, FindingKind::NoDind);
        }
        for (container, image, reference) in undecided {
            let kind = FindingKind::UndecidedImage(container, image, reference);
            planner.report(policy, kind);
        }
        if !dinds.is_empty() {
            docker_certs::plan(&mut planner, wanted, &dinds, docker_host);
            docker_volumes::plan(&mut planner, wanted, &dinds);
            registry_cas::plan(&mut planner, wanted, &dinds);
            scheduling::plan(&mut planner, wanted);
        }
        advice::plan(&mut planner, policy, &dinds, docker_host);
    }
    advice::report_hosts_files(&mut planner, desired, docker_host.as_ref());
    let mut plan = planner.plan;
    if plan.denial.is_some() {
        plan.changes.clear();
    }
    plan
}

/// The plan, and the pod with the changes so far.
struct Planner<'p, 'a> {
    pod: &'p mut Pod<'a>,
    plan: Plan<'a>,
    names: VolumeNames<'a>,
}

impl<'a> Planner<'_, 'a> {
    /// Records a change and applies it to the pod.
    fn change(&mut self, policy: &'a Policy, action: Action<'a>) {
        let is_list_missing = action.apply(self.pod);
        self.plan.changes.push(Change {
            policy,
            action,
            is_list_missing,
        });
    }

    /// Adds a volume. Returns its name, which is `preferred` if that name is unused (V4).
    /// `purpose` is the end of the sentence that describes the change.
    fn add_volume(
        &mut self,
        policy: &'a Policy,
        preferred: impl Into<Text<'a>>,
        source: &'a VolumeSource,
        rule: &'static str,
        purpose: String,
    ) -> Text<'a> {
        let name = self.names.take(self.pod, preferred.into());
        let action = Action::AddVolume(name.clone(), source, rule, purpose);
        self.change(policy, action);
        name
    }

    fn add_mount(
        &mut self,
        policy: &'a Policy,
        rule: &'static str,
        container: ContainerId,
        mount: NewMount<'a>,
    ) {
        let container_name = self.name_of(container);
        let action = Action::AddMount(container, container_name, mount, rule);
        self.change(policy, action);
    }

    fn report(&mut self, policy: &'a Policy, kind: FindingKind<'a>) {
        self.plan.findings.push(Finding { policy, kind });
    }

    fn name_of(&self, id: ContainerId) -> Text<'a> {
        let container = self.pod.container(id);
        container.map_or_else(Text::default, |container| container.name.clone())
    }
}
