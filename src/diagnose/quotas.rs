//! Finds ResourceQuotas that have reached a limit, and ResourceQuotas and LimitRanges that affect
//! the volumes that policies add.

use super::finding::jobs as finding;
use super::report::Check;
use super::text::list;
use super::view::{OptedInNamespace, View};
use crate::core::policy::{DOCKER_ROOT, Policy};
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The resources of a ResourceQuota that limit `ephemeral` volumes.
const CLAIM_RESOURCES: [&str; 3] = [
    "persistentvolumeclaims",
    "count/persistentvolumeclaims",
    "requests.storage",
];

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    if view.opted_in.is_empty() {
        return Vec::new();
    }
    let namespace_of = |metadata: &ObjectMeta| view.opted_in(metadata.namespace.as_deref()?);
    let mut checks = Vec::new();
    match &view.facts.quotas {
        Ok(quotas) => checks.extend(quotas.iter().filter_map(|quota| {
            let check = quota_check(view, quota, namespace_of(&quota.metadata)?)?;
            Some(check.about(format!("resourcequota/{}", name_of(&quota.metadata))))
        })),
        Err(error) => checks.push(error.check("whether a ResourceQuota refuses job pods")),
    }
    match &view.facts.limit_ranges {
        Ok(ranges) => checks.extend(ranges.iter().filter_map(|range| {
            let check = range_check(view, range, namespace_of(&range.metadata)?)?;
            Some(check.about(format!("limitrange/{}", name_of(&range.metadata))))
        })),
        Err(error) => checks
            .push(error.check("whether a LimitRange sets a default limit on ephemeral-storage")),
    }
    checks
}

fn name_of(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

fn quota_check(
    view: &View<'_>,
    quota: &ResourceQuota,
    namespace: &OptedInNamespace<'_>,
) -> Option<Check> {
    let quota_name = name_of(&quota.metadata);
    let status = quota.status.as_ref()?;
    let (hard, used) = (status.hard.as_ref()?, status.used.as_ref()?);
    let is_full = |resource: &str| {
        let limit = hard.get(resource).filter(|limit| limit.0 != "0");
        limit.is_some() && used.get(resource) == limit
    };
    let mut full = hard.keys().filter(|resource| is_full(resource)).peekable();
    if full.peek().is_some() {
        return Some(finding::quota_used_up(
            namespace.name,
            quota_name,
            list(full),
        ));
    }
    let mut counted = CLAIM_RESOURCES
        .into_iter()
        .filter(|resource| hard.contains_key(*resource))
        .peekable();
    counted.peek()?;
    let policy = policy_with(view, namespace, |field, _| field == "ephemeral")?;
    Some(finding::quota_counts_claims(
        namespace.name,
        quota_name,
        list(counted),
        &policy.name,
    ))
}

/// Returns a finding if a LimitRange sets a default limit on ephemeral storage and a policy has an
/// emptyDir at [`DOCKER_ROOT`]. The API server sets the defaults before it calls drydock (rule V7).
fn range_check(
    view: &View<'_>,
    range: &LimitRange,
    namespace: &OptedInNamespace<'_>,
) -> Option<Check> {
    let limits = range.spec.as_ref()?.limits.iter();
    let mut by_default = limits
        .filter(|limit| limit.type_ == "Container")
        .filter_map(|limit| limit.default.as_ref());
    by_default.find(|default| default.contains_key("ephemeral-storage"))?;
    let is_data = |field: &str, path: &str| field == "emptyDir" && path == DOCKER_ROOT;
    let policy = policy_with(view, namespace, is_data)?;
    Some(finding::limits_storage(
        namespace.name,
        name_of(&range.metadata),
        DOCKER_ROOT,
        &policy.name,
    ))
}

/// Returns a policy that selects the namespace and has a volume for which `matches` is true. The
/// arguments of `matches` are the field of the volume source and the mount path.
fn policy_with<'v>(
    view: &'v View<'_>,
    namespace: &OptedInNamespace<'_>,
    matches: impl Fn(&str, &str) -> bool,
) -> Option<&'v Policy> {
    let mut policies = view.policies();
    policies.find(|policy| {
        let mut volumes = policy.dind.iter().flat_map(|dind| &dind.volumes);
        volumes.any(|volume| matches(volume.source.field, &volume.path))
            && view
                .selected_by(policy)
                .any(|one| one.name == namespace.name)
    })
}
