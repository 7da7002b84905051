//! Hints about valid policies, for `drydock check`.

use super::{Policy, quantity};
use std::fmt;

/// The certificates take about 20 KiB.
const MIN_SIZE_LIMIT: f64 = 32.0 * 1024.0;

/// A hint about a valid policy.
#[derive(Clone, Debug)]
pub struct Hint {
    /// The name of the policy.
    pub(crate) policy: String,
    /// The field, as in `spec.dind.volumes[0]`.
    pub(crate) field: String,
    /// The problem, and the alternative.
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
                "{size_limit} is too small for dind's certificates, which take about 20 KiB; use 1Mi"
            ),
        );
    }
    for (index, volume) in dind.volumes.iter().enumerate() {
        let is_cgroup = volume.source.is_host_path()
            && volume.source.identity.as_deref() == Some("/sys/fs/cgroup");
        if is_cgroup {
            add(
                format!("spec.dind.volumes[{index}]"),
                "the cgroup tree of the node moves inner containers out of the pod's limits and leaks their cgroups on cgroup v1, and a privileged pod has it without a volume on v2; remove the volume unless dind fails without it".to_owned(),
            );
        }
    }
    hints
}

/// Returns a problem of a hostname that a service of a job may have too.
fn about_hostname(hostname: &str) -> Option<String> {
    if hostname == "docker" {
        let problem = "docker is the name of the service docker:dind: a job with that service keeps its own address, every other job gets the policy's; remove it unless jobs share a daemon there";
        return Some(problem.to_owned());
    }
    (!hostname.contains('.')).then(|| {
        format!(
            "{hostname} has no dot, as the names of services of a job: a job with a service of that name keeps its own address; write the full name if there is one"
        )
    })
}
