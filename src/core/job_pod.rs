//! Which pods are GitLab Runner job pods, of every generation from 13.12 to today's main (rules P2 and P3).
//!
//! No mark is common to all generations, so they are tried from the strongest to the weakest; the first hit wins.
//! None is a security boundary: whoever may create pods can forge them.
//! Source: GitLab Runner's `executors/kubernetes/kubernetes.go` (`buildLabels`, `setupBuildPod`) at the versions named below.

pub mod client;
pub mod dind;

use crate::core::pod::{Pod, text};

/// How a pod was recognised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recognised {
    /// Runner ≥ 17.9: the label `job.runner.gitlab.com/pod`, which job authors cannot set.
    Label,
    /// Runner 15.9–17.8: the annotations `job.runner.gitlab.com/id` and `project.runner.gitlab.com/id`.
    Annotations,
    /// Older runners: the label `pod` with the runner's own pattern, on a pod of the runner's shape.
    Shape,
}

impl Recognised {
    /// Returns what gave the pod away, as the rest of "it is a job pod: it has …".
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Label => "the label job.runner.gitlab.com/pod (GitLab Runner 17.9 or later)",
            Self::Annotations => {
                "the annotations job.runner.gitlab.com/id and project.runner.gitlab.com/id (GitLab Runner 15.9 or later)"
            }
            Self::Shape => "the label pod and the containers of a GitLab Runner before 15.9",
        }
    }
}

/// Why a pod is left alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotJobPod {
    /// Nothing says that a runner made it.
    NotRecognised,
    /// It only reserves room on a node.
    PausePod,
    /// Something controls it: the runner manager, a pod of a ReplicaSet.
    Controlled,
    /// The API server's picture of a static pod.
    MirrorPod,
    /// Its containers are Windows containers.
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

    /// Returns the name that metrics, logs and annotations use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotRecognised => "not-a-job-pod",
            Self::PausePod => "pause-pod",
            Self::Controlled => "controlled",
            Self::MirrorPod => "mirror-pod",
            Self::Windows => "windows",
        }
    }

    /// Returns the reason as a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotRecognised => {
                "it is not a GitLab Runner job pod: no label, annotation or shape of a known runner"
            }
            Self::PausePod => {
                "it is a pause pod of the runner's autoscaler (label runner.gitlab.com/pause-pod)"
            }
            Self::Controlled => {
                "another object controls it (ownerReferences), which no job pod has"
            }
            Self::MirrorPod => {
                "it is the mirror of a static pod (annotation kubernetes.io/config.mirror)"
            }
            Self::Windows => {
                "it runs on Windows, where the API server refuses hostAliases and dind does not run"
            }
        }
    }
}

/// Recognises a job pod.
///
/// # Errors
/// The reason why the pod is to be left alone.
pub fn recognise(pod: &Pod<'_>) -> Result<Recognised, NotJobPod> {
    if pod.label("runner.gitlab.com/pause-pod").is_some() {
        return Err(NotJobPod::PausePod);
    }
    if pod.annotation("kubernetes.io/config.mirror").is_some() {
        return Err(NotJobPod::MirrorPod);
    }
    if pod
        .metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.controller == Some(true))
    {
        return Err(NotJobPod::Controlled);
    }
    let recognised = sign(pod).ok_or(NotJobPod::NotRecognised)?;
    if runs_on_windows(pod) {
        return Err(NotJobPod::Windows);
    }
    Ok(recognised)
}

fn sign(pod: &Pod<'_>) -> Option<Recognised> {
    if pod.label("job.runner.gitlab.com/pod").is_some() {
        return Some(Recognised::Label);
    }
    if pod.annotation("job.runner.gitlab.com/id").is_some()
        && pod.annotation("project.runner.gitlab.com/id").is_some()
    {
        return Some(Recognised::Annotations);
    }
    has_runner_shape(pod).then_some(Recognised::Shape)
}

/// The runner does not set `spec.os`; its Windows pods are known by their node selector.
fn runs_on_windows(pod: &Pod<'_>) -> bool {
    let os = pod.spec.os.as_ref().map(|os| text(&os.name));
    let selected = pod
        .spec
        .node_selector
        .as_ref()
        .and_then(|selector| selector.get("kubernetes.io/os"));
    os == Some("windows") || selected == Some("windows")
}

fn has_runner_shape(pod: &Pod<'_>) -> bool {
    let Some(label) = pod.label("pod") else {
        return false;
    };
    is_unique_name(label)
        && text(&pod.spec.restart_policy) == "Never"
        && container_name(&pod.spec.containers, 0) == Some("build")
        && (container_name(&pod.spec.containers, 1) == Some("helper") || has_bootstrap(pod))
        && is_named_after(pod, label)
}

fn container_name<'p>(
    containers: &'p Option<Vec<crate::core::pod::Container<'_>>>,
    index: usize,
) -> Option<&'p str> {
    containers
        .as_ref()?
        .get(index)
        .map(crate::core::pod::Container::name)
}

/// Runner ≥ 19.2 with `FF_CONCRETE` has no helper container but this init container.
fn has_bootstrap(pod: &Pod<'_>) -> bool {
    pod.spec
        .init_containers
        .iter()
        .flatten()
        .any(|container| container.name() == "init-steps-bootstrap")
}

/// Up to 16.1 the API server generates the name from the label, without a dash between; from 16.2 the runner does, from its first 54 characters.
fn is_named_after(pod: &Pod<'_>, label: &str) -> bool {
    if text(&pod.metadata.generate_name) == label {
        return true;
    }
    let prefix = label.get(..54).unwrap_or(label);
    text(&pod.metadata.name)
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.starts_with('-'))
}

/// Whether a label is the runner's `ProjectUniqueName`: `runner-TOKEN-project-ID-concurrent-N`, which labels cut at 63 characters.
fn is_unique_name(label: &str) -> bool {
    const PROJECT: &str = "-project-";
    let Some(rest) = label.strip_prefix("runner-") else {
        return false;
    };
    // Two of them may share a dash.
    let mut tails = rest
        .match_indices('-')
        .filter_map(|(at, _)| Some((at, rest.get(at..)?.strip_prefix(PROJECT)?)));
    tails.any(|(at, tail)| {
        let after_id = tail.trim_start_matches(|c: char| c.is_ascii_digit());
        at > 0 && after_id.len() < tail.len() && is_concurrency(after_id, label.len() >= 63)
    })
}

/// Whether a text is empty or `-concurrent-N`; a cut label may end anywhere in it.
fn is_concurrency(text: &str, cut: bool) -> bool {
    const CONCURRENT: &str = "-concurrent-";
    if text.is_empty() {
        return true;
    }
    match text.strip_prefix(CONCURRENT) {
        Some(number) => {
            (!number.is_empty() || cut) && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        None => cut && CONCURRENT.starts_with(text),
    }
}

#[cfg(test)]
mod tests;
