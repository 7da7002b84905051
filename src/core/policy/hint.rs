//! Hints about valid policies, for `drydock check`.

use super::{Policy, quantity};
use std::fmt;

/// A size limit with fewer bytes gets a hint. The certificates use about 20 KiB.
const MIN_SIZE_LIMIT: f64 = 32.0 * 1024.0;

/// A hint about a valid policy.
#[derive(Clone, Debug)]
pub struct Hint {
    /// The name of the policy.
    pub(crate) policy: String,
    /// The field, as in `spec.dind.volumes[0]`.
    pub(crate) field: String,
    /// The problem, and what to do about it.
    pub(crate) problem: String,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, field, problem) = (&self.policy, &self.field, &self.problem);
        write!(f, "JobPodPolicy \"{policy}\": {field}: {problem}")
    }
}

/// Returns hints about a policy.
pub fn hints(policy: &Policy) -> Vec<Hint> {
    let mut hints = Vec::new();
    let mut add = |field: String, problem: String| {
        hints.push(Hint {
            policy: policy.name.clone(),
            field,
            problem,
        });
    };
    for (index, alias) in policy.host_aliases.iter().enumerate() {
        for (position, hostname) in alias.hostnames.iter().enumerate() {
            if let Some(problem) = about_hostname(hostname) {
                let field = format!("spec.hostAliases[{index}].hostnames[{position}]");
                add(field, problem);
            }
        }
    }
    let Some(dind) = &policy.dind else {
        return hints;
    };
    let size_limit = &dind.client_certs.size_limit;
    if quantity::bytes(size_limit).is_some_and(|bytes| bytes < MIN_SIZE_LIMIT) {
        add(
            "spec.dind.clientCerts.sizeLimit".to_owned(),
            format!(
                "{size_limit} is too small for the certificates of dind, which use about 20 KiB; use 1Mi"
            ),
        );
    }
    for (index, volume) in dind.volumes.iter().enumerate() {
        let is_cgroup = volume.source.is_host_path()
            && volume.source.identity.as_deref() == Some("/sys/fs/cgroup");
        if is_cgroup {
            add(
                format!("spec.dind.volumes[{index}]"),
                "remove this volume unless dind fails without it. If a node uses cgroup v1 and dind mounts /sys/fs/cgroup of the node, the limits of the pod do not apply to inner containers, and their cgroups leak. On cgroup v2, a privileged container does not need the volume".to_owned(),
            );
        }
    }
    hints
}

/// Returns a hint about a hostname that a service of a job may also have.
fn about_hostname(hostname: &str) -> Option<String> {
    if hostname == "docker" {
        let problem = "docker is also the hostname of the service docker:dind. A job with that service keeps the address of the service, and every other job gets this address; remove the hostname unless jobs share a Docker daemon at this address";
        return Some(problem.to_owned());
    }
    (!hostname.contains('.')).then(|| {
        format!(
            "{hostname} has no dot, and may also be the hostname of a service of a job. A job with such a service keeps the address of the service; use the fully qualified name if there is one"
        )
    })
}
