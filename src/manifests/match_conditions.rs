//! Rules P2 and P3 in CEL, for the API server: it calls drydock for those pods that `job_pod::recognise` takes, and for no others.
//!
//! They only save calls; what is called for is looked at again. So where the two cannot agree, these let through too much.
//! None can fail: a pod that its schema or validation will refuse gets here too, so every field is asked for before it is read.
//! Needs Kubernetes 1.30. Source: <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions>

use k8s_openapi::api::admissionregistration::v1::MatchCondition;

/// Every one must hold. In this order for the reader; the API server evaluates all of them until one is false.
const CONDITIONS: [(&str, &str); 5] = [
    (
        "is-no-pause-pod",
        "!has(object.metadata.labels) || !('runner.gitlab.com/pause-pod' in object.metadata.labels)",
    ),
    (
        "is-no-mirror-pod",
        "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)",
    ),
    (
        "is-not-controlled",
        "!has(object.metadata.ownerReferences) || !object.metadata.ownerReferences.exists(owner, has(owner.controller) && owner.controller)",
    ),
    (
        "is-not-for-windows",
        r"!(has(object.spec.os) && has(object.spec.os.name) && object.spec.os.name == 'windows')
&& !(has(object.spec.nodeSelector) && 'kubernetes.io/os' in object.spec.nodeSelector && object.spec.nodeSelector['kubernetes.io/os'] == 'windows')",
    ),
    ("is-a-job-pod", JOB_POD),
];

/// The generations of GitLab Runner, one a paragraph: from 17.9; from 15.9; older, by label, shape and name.
/// A label is cut at 63 characters, so only one of that length may end within `-concurrent-`; a name carries its first 54.
const JOB_POD: &str = r"has(object.metadata.labels) && 'job.runner.gitlab.com/pod' in object.metadata.labels
|| has(object.metadata.annotations)
  && 'job.runner.gitlab.com/id' in object.metadata.annotations
  && 'project.runner.gitlab.com/id' in object.metadata.annotations
|| has(object.metadata.labels) && 'pod' in object.metadata.labels && size(object.metadata.labels.pod) <= 63
  && (object.metadata.labels.pod.matches('^runner-.+-project-[0-9]+(-concurrent-[0-9]+)?$')
    || size(object.metadata.labels.pod) == 63
      && object.metadata.labels.pod.matches('^runner-.+-project-[0-9]+(-|-c|-co|-con|-conc|-concu|-concur|-concurr|-concurre|-concurren|-concurrent|-concurrent-)$'))
  && has(object.spec.restartPolicy) && object.spec.restartPolicy == 'Never'
  && has(object.spec.containers) && object.spec.containers != null && size(object.spec.containers) > 0
  && object.spec.containers[0].name == 'build'
  && (size(object.spec.containers) > 1 && object.spec.containers[1].name == 'helper'
    || has(object.spec.initContainers) && object.spec.initContainers.exists(container, container.name == 'init-steps-bootstrap'))
  && (has(object.metadata.generateName) && object.metadata.generateName == object.metadata.labels.pod
    || has(object.metadata.name)
      && object.metadata.name.startsWith((size(object.metadata.labels.pod) > 54 ? object.metadata.labels.pod.substring(0, 54) : object.metadata.labels.pod) + '-'))";

pub(super) fn match_conditions() -> Vec<MatchCondition> {
    CONDITIONS
        .map(|(name, expression)| MatchCondition {
            name: name.to_owned(),
            expression: expression.to_owned(),
        })
        .into()
}
