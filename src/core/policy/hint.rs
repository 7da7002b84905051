//! Hints about valid policies, for `drydock check`.

use super::{Policy, quantity};

/// The certificates take about 20 KiB.
const MIN_SIZE_LIMIT: f64 = 32.0 * 1024.0;

/// Returns hints about a policy.
#[must_use]
pub fn hints(policy: &Policy) -> Vec<String> {
    let mut hints = Vec::new();
    let Some(dind) = &policy.dind else {
        return hints;
    };
    let mut hint = |field: String, text: &str| {
        hints.push(format!("JobPodPolicy \"{}\": {field}: {text}", policy.name))
    };
    let size_limit = &dind.client_certs.size_limit;
    if quantity::bytes(size_limit).is_some_and(|bytes| bytes < MIN_SIZE_LIMIT) {
        hint(
            "spec.dind.clientCerts.sizeLimit".to_owned(),
            &format!(
                "{size_limit} is too small for dind's certificates, which take about 20 KiB; use 1Mi"
            ),
        );
    }
    for (index, volume) in dind.volumes.iter().enumerate() {
        let is_cgroup = volume.source.is_host_path()
            && volume.source.identity.as_deref() == Some("/sys/fs/cgroup");
        if is_cgroup {
            hint(
                format!("spec.dind.volumes[{index}]"),
                "the cgroup tree of the node moves inner containers out of the pod's limits and leaks their cgroups on cgroup v1, and a privileged pod has it without a volume on v2; remove the volume unless dind fails without it",
            );
        }
    }
    hints
}
