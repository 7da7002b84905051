//! Recognises the pods that GitLab Runner 13.12 to 19 creates for jobs (rules P2 and P3).
//!
//! No mark is present in all these versions. So the marks are checked from the most to the least
//! reliable, and the first match decides. No mark is a security boundary: a user who can create
//! pods can forge every mark.
//! Source: GitLab Runner `executors/kubernetes/kubernetes.go` (`buildLabels`, `setupBuildPod`), in
//! the versions named below.

pub(crate) mod dind;
pub(crate) mod docker_host;

use crate::core::pod::{Pod, text};
use regex::Regex;
use std::sync::LazyLock;

/// The mark that identifies a job pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JobPodMark {
    /// Runner ≥ 17.9: the label `job.runner.gitlab.com/pod`, which job authors cannot set.
    Label,
    /// Runner 15.9–17.8: the annotations `job.runner.gitlab.com/id` and
    /// `project.runner.gitlab.com/id`.
    Annotations,
    /// Older runners: the label `pod` with a value in the runner's format, and the runner's
    /// containers.
    Shape,
}

impl JobPodMark {
    /// Returns a description that completes the sentence "it has …".
    pub fn description(self) -> &'static str {
        match self {
            Self::Label => "the label job.runner.gitlab.com/pod (GitLab Runner 17.9 or later)",
            Self::Annotations => {
                "the annotations job.runner.gitlab.com/id and project.runner.gitlab.com/id \
                 (GitLab Runner 15.9 or later)"
            }
            Self::Shape => {
                "the label pod and the containers of a job pod from GitLab Runner before 15.9"
            }
        }
    }
}

/// The reason why a pod is not treated as a job pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotJobPod {
    /// The pod has no mark of a runner.
    NotRecognised,
    /// The pod only reserves resources on a node.
    PausePod,
    /// The pod has a controlling owner, for example the ReplicaSet of the runner manager.
    Controlled,
    /// The pod is the mirror pod of a static pod.
    MirrorPod,
    /// The pod runs on Windows.
    Windows,
}

impl NotJobPod {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::NotRecognised,
        Self::PausePod,
        Self::Controlled,
        Self::MirrorPod,
        Self::Windows,
    ];

    /// Returns the name for metrics, logs and annotations, and the sentence.
    fn name_and_sentence(self) -> (&'static str, &'static str) {
        match self {
            Self::NotRecognised => (
                "not-a-job-pod",
                "it is not a GitLab Runner job pod: it lacks the labels, annotations and containers \
                 that supported runners set",
            ),
            Self::PausePod => (
                "pause-pod",
                "it is a pause pod of the runner's autoscaler (label runner.gitlab.com/pause-pod)",
            ),
            Self::Controlled => (
                "controlled",
                "it has a controlling owner (metadata.ownerReferences), unlike a job pod",
            ),
            Self::MirrorPod => (
                "mirror-pod",
                "it is the mirror pod of a static pod (annotation kubernetes.io/config.mirror)",
            ),
            Self::Windows => (
                "windows",
                "it runs on Windows, which drydock does not support; docker:dind needs Linux",
            ),
        }
    }

    /// Returns the name for metrics, logs and annotations.
    pub fn name(self) -> &'static str {
        self.name_and_sentence().0
    }

    /// Returns the reason as a sentence.
    pub fn sentence(self) -> &'static str {
        self.name_and_sentence().1
    }
}

/// Recognises a job pod by its mark.
///
/// # Errors
/// Returns the reason why the pod is not treated as a job pod.
pub fn recognise(pod: &Pod<'_>) -> Result<JobPodMark, NotJobPod> {
    if pod.label("runner.gitlab.com/pause-pod").is_some() {
        return Err(NotJobPod::PausePod);
    }
    if pod.annotation("kubernetes.io/config.mirror").is_some() {
        return Err(NotJobPod::MirrorPod);
    }
    let mut owners = pod.metadata.owner_references.iter().flatten();
    if owners.any(|owner| owner.controller == Some(true)) {
        return Err(NotJobPod::Controlled);
    }
    let mark = mark(pod).ok_or(NotJobPod::NotRecognised)?;
    if runs_on_windows(pod) {
        return Err(NotJobPod::Windows);
    }
    Ok(mark)
}

fn mark(pod: &Pod<'_>) -> Option<JobPodMark> {
    if pod.label("job.runner.gitlab.com/pod").is_some() {
        return Some(JobPodMark::Label);
    }
    let ids = ["job.runner.gitlab.com/id", "project.runner.gitlab.com/id"];
    if ids.iter().all(|key| pod.annotation(key).is_some()) {
        return Some(JobPodMark::Annotations);
    }
    has_runner_shape(pod).then_some(JobPodMark::Shape)
}

/// Returns whether the pod runs on Windows. The runner's Windows pods have a node selector, but not
/// `spec.os`.
fn runs_on_windows(pod: &Pod<'_>) -> bool {
    let os = pod.spec.os.as_ref().map(|os| text(&os.name));
    let selector = pod.spec.node_selector.as_ref();
    let selected = selector.and_then(|selector| selector.get("kubernetes.io/os"));
    os == Some("windows") || selected == Some("windows")
}

fn has_runner_shape(pod: &Pod<'_>) -> bool {
    let containers = pod.spec.containers.as_deref().unwrap_or_default();
    let is_named = |index: usize, name: &str| {
        containers
            .get(index)
            .is_some_and(|container| &*container.name == name)
    };
    pod.label("pod").is_some_and(|label| {
        is_unique_name(label)
            && text(&pod.spec.restart_policy) == "Never"
            && is_named(0, "build")
            && (is_named(1, "helper") || has_bootstrap(pod))
            && is_named_after(pod, label)
    })
}

/// Returns whether the pod has the init container that replaces the helper container if the feature
/// flag `FF_CONCRETE` is on (runner ≥ 19.2).
fn has_bootstrap(pod: &Pod<'_>) -> bool {
    let mut containers = pod.spec.init_containers.iter().flatten();
    containers.any(|container| &*container.name == "init-steps-bootstrap")
}

/// Returns whether the name of the pod starts with the label. Up to runner 16.1 the label is the
/// `generateName` of the pod. From 16.2 the runner creates the name: the first 54 characters of the
/// label, a dash, and random characters.
fn is_named_after(pod: &Pod<'_>, label: &str) -> bool {
    let prefix = label.get(..54).unwrap_or(label);
    let rest = text(&pod.metadata.name).strip_prefix(prefix);
    text(&pod.metadata.generate_name) == label || rest.is_some_and(|rest| rest.starts_with('-'))
}

/// The runner's `ProjectUniqueName`, `runner-TOKEN-project-ID-concurrent-N`.
static UNIQUE_NAME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = "(?s)^runner-.+-project-[0-9]+(-concurrent-[0-9]+)?$";
    Regex::new(pattern).expect("the pattern should be valid")
});

/// Returns whether a label is a `ProjectUniqueName`, which may be truncated to 63 characters.
fn is_unique_name(label: &str) -> bool {
    const CONCURRENT: &str = "-concurrent-0";
    let is_truncated = || {
        let mut ends = (1..CONCURRENT.len()).filter_map(|at| CONCURRENT.split_at_checked(at));
        ends.any(|(start, rest)| {
            label.ends_with(start) && UNIQUE_NAME.is_match(&format!("{label}{rest}"))
        })
    };
    UNIQUE_NAME.is_match(label) || (label.len() >= 63 && is_truncated())
}

#[cfg(test)]
mod tests;
