//! Quotas and ranges of a namespace that a repaired pod meets: used up, or about volumes that
//! policies add.

use super::facts::Facts;
use super::namespaces::{OptedIn, opted_in};
use super::policy_set::{Stored, selected_by};
use super::report::Check;
use super::words::list;
use crate::core::policy::{DOCKER_ROOT, Policy};
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};

/// What a volume of kind `ephemeral` takes from a quota.
const OF_CLAIMS: [&str; 3] = [
    "persistentvolumeclaims",
    "count/persistentvolumeclaims",
    "requests.storage",
];

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let Ok(namespaces) = &facts.namespaces else {
        return Vec::new();
    };
    let opted_in = opted_in(facts.configurations.as_deref().ok(), namespaces);
    if opted_in.is_empty() {
        return Vec::new();
    }
    let stored: Vec<Stored> = facts.policies.iter().flatten().map(Stored::read).collect();
    let policies: Vec<&Policy> = stored
        .iter()
        .filter_map(|one| one.policy.as_ref().ok())
        .collect();
    let mut checks = Vec::new();
    match &facts.quotas {
        Ok(quotas) => {
            for quota in quotas {
                if let Some(namespace) = place(&opted_in, quota.metadata.namespace.as_deref()) {
                    checks.extend(quota_check(quota, namespace, &policies));
                }
            }
        }
        Err(unread) => {
            checks.push(unread.check("quota", "whether a quota keeps jobs from starting"))
        }
    }
    match &facts.limit_ranges {
        Ok(ranges) => {
            for range in ranges {
                if let Some(namespace) = place(&opted_in, range.metadata.namespace.as_deref()) {
                    checks.extend(range_check(range, namespace, &policies));
                }
            }
        }
        Err(unread) => {
            checks.push(unread.check("limit-range", "whether containers get limits by default"))
        }
    }
    checks
}

fn place<'o>(opted_in: &'o [OptedIn<'o>], namespace: Option<&str>) -> Option<&'o OptedIn<'o>> {
    opted_in.iter().find(|one| Some(one.name) == namespace)
}

fn quota_check(
    quota: &ResourceQuota,
    namespace: &OptedIn<'_>,
    policies: &[&Policy],
) -> Option<Check> {
    const NAME: &str = "quota";
    let title = quota.metadata.name.as_deref().unwrap_or_default();
    let (name, about) = (namespace.name, format!("resourcequota/{title}"));
    let status = quota.status.as_ref()?;
    let (hard, used) = (status.hard.as_ref()?, status.used.as_ref()?);
    let full: Vec<&str> = hard
        .iter()
        .filter(|(resource, limit)| limit.0 != "0" && used.get(*resource) == Some(*limit))
        .map(|(resource, _)| resource.as_str())
        .collect();
    let next = format!("kubectl -n {name} describe resourcequota {title}");
    if !full.is_empty() {
        let text = format!("{name}: ResourceQuota {title} is used up: {}", list(full));
        let meaning =
            "Job pods that need more of it are refused until another job ends: \"exceeded quota\".";
        return Some(Check::warning(NAME, text, meaning).next(next).about(about));
    }
    let counted: Vec<&str> = OF_CLAIMS
        .into_iter()
        .filter(|resource| hard.contains_key(*resource))
        .collect();
    let policy = policies
        .iter()
        .find(|policy| has_ephemeral(policy) && selects(policy, namespace))?;
    (!counted.is_empty()).then(|| {
        Check::warning(
            NAME,
            format!("{name}: ResourceQuota {title} counts {}, and jobs with dind take of it", list(counted)),
            format!("Policy {} gives each of them an ephemeral volume, which is a claim; the quota limits how many run at a time.", policy.name),
        )
        .next(next)
        .about(about)
    })
}

/// A default limit on ephemeral storage reaches every container before drydock sees the pod (V7).
fn range_check(range: &LimitRange, namespace: &OptedIn<'_>, policies: &[&Policy]) -> Option<Check> {
    let title = range.metadata.name.as_deref().unwrap_or_default();
    let limits = range.spec.as_ref()?.limits.iter();
    let mut by_default = limits
        .filter(|limit| limit.type_ == "Container")
        .filter_map(|limit| limit.default.as_ref());
    by_default.find(|default| default.contains_key("ephemeral-storage"))?;
    let policy = policies
        .iter()
        .find(|policy| has_data_directory(policy) && selects(policy, namespace))?;
    Some(
        Check::warning(
            "limit-range",
            format!("{}: LimitRange {title} limits ephemeral-storage of every container", namespace.name),
            format!(
                "Jobs with dind get no emptyDir at {DOCKER_ROOT} from policy {}: image layers in it would count against the limit, and the pod would be evicted (rule V7).",
                policy.name
            ),
        )
        .next("drydock rules V7")
        .next(format!("kubectl -n {} describe limitrange {title}", namespace.name))
        .about(format!("limitrange/{title}")),
    )
}

fn has_ephemeral(policy: &Policy) -> bool {
    let mut volumes = policy.dind.iter().flat_map(|dind| &dind.volumes);
    volumes.any(|volume| volume.source.field == "ephemeral")
}

fn has_data_directory(policy: &Policy) -> bool {
    let mut volumes = policy.dind.iter().flat_map(|dind| &dind.volumes);
    volumes.any(|volume| volume.source.field == "emptyDir" && volume.path == DOCKER_ROOT)
}

fn selects(policy: &Policy, namespace: &OptedIn<'_>) -> bool {
    selected_by(policy, std::slice::from_ref(namespace))
        .next()
        .is_some()
}
