//! The permissions that the ServiceAccount of each version of GitLab Runner needs in the namespaces
//! of its jobs.
//!
//! Source: GitLab Runner's `docs/executors/kubernetes/_index.md`, "Configure runner API
//! permissions", and its code at the versions named below.

use super::facts::Read;
use super::runner::Version;
use super::text::list;
use std::collections::BTreeMap;

/// A permission that a runner needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permission {
    /// The verb, such as `create`.
    pub verb: &'static str,
    /// The resource of the core API group, with a subresource if there is one: `pods/exec`.
    pub resource: &'static str,
    /// What the runner needs the permission for.
    pub need: Need,
}

/// The result of a SubjectAccessReview for the ServiceAccount of a runner.
#[derive(Clone, Debug)]
pub struct PermissionReview {
    /// The reviewed permission.
    pub permission: Permission,
    /// The namespace of the jobs; `None` for all namespaces.
    pub namespace: Option<String>,
    /// Whether the ServiceAccount has the permission.
    pub allowed: Read<bool>,
}

/// What a runner needs a permission for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Need {
    /// To run any job.
    Jobs,
    /// To run jobs with registry credentials.
    Credentials,
    /// To run jobs whose services have ports.
    Services,
    /// To show the Events that drydock writes for the author of a job.
    Events,
    /// To watch pods instead of polling them.
    Informer,
    /// To create a namespace for each job.
    Namespaces,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Jobs => "every job",
            Self::Credentials => "registry credentials",
            Self::Services => "services with ports",
            Self::Events => "drydock's Events",
            Self::Informer => "watching pods",
            Self::Namespaces => "a namespace per job",
        }
    }

    /// Returns the effect of a missing permission, as a sentence.
    pub(super) fn consequence(self) -> &'static str {
        match self {
            Self::Jobs => "Every job fails.",
            Self::Credentials => "Jobs with registry credentials fail: \"secrets is forbidden\".",
            Self::Services => "Jobs whose services have ports fail.",
            Self::Events => "The log of a failed job does not show drydock's Events.",
            Self::Informer => "The runner polls its pods instead of watching them.",
            Self::Namespaces => "The runner cannot create a namespace for a job.",
        }
    }

    /// Returns whether all or most jobs fail without the permission.
    pub(super) fn fails_jobs(self) -> bool {
        matches!(self, Self::Jobs | Self::Credentials | Self::Namespaces)
    }
}

/// A resource, its verbs, what a runner needs these permissions for, the first version of GitLab
/// Runner that needs them, and the first later version that does not need them.
type Row = (&'static str, &'static str, Need, Version, Version);

const FIRST: Version = Version(0, 0);
const LAST: Version = Version(u32::MAX, 0);

const ROWS: [Row; 10] = [
    ("pods", "create get delete", Need::Jobs, FIRST, LAST),
    // Since 14.0, runners attach to containers. Older runners and interactive terminals use exec.
    ("pods/attach", "create", Need::Jobs, Version(14, 0), LAST),
    ("pods/exec", "create", Need::Jobs, FIRST, LAST),
    ("pods/log", "get", Need::Jobs, Version(14, 0), LAST),
    // Up to 15.7, runners store the scripts of a job in a ConfigMap.
    (
        "configmaps",
        "create update delete",
        Need::Jobs,
        FIRST,
        Version(15, 8),
    ),
    (
        "secrets",
        "create get update delete",
        Need::Credentials,
        FIRST,
        LAST,
    ),
    ("services", "create get", Need::Services, FIRST, LAST),
    ("serviceaccounts", "get", Need::Jobs, Version(15, 0), LAST),
    ("pods", "list watch", Need::Informer, Version(17, 9), LAST),
    ("events", "list", Need::Events, Version(17, 2), LAST),
];

/// Returns the permissions that a version of GitLab Runner needs. If `version` is `None`,
/// returns the permissions that the newest version needs.
#[must_use]
pub fn needed(version: Option<Version>, namespace_per_job: bool) -> Vec<Permission> {
    let version = version.unwrap_or(Version(u32::MAX - 1, 0));
    let rows = ROWS
        .iter()
        .filter(|(_, _, _, from, before)| version >= *from && version < *before);
    let mut permissions: Vec<Permission> = rows
        .flat_map(|(resource, verbs, need, _, _)| {
            verbs.split(' ').map(|verb| Permission {
                verb,
                resource,
                need: *need,
            })
        })
        .collect();
    if namespace_per_job {
        let need = Need::Namespaces;
        let permission = |verb| Permission {
            verb,
            resource: "namespaces",
            need,
        };
        permissions.extend(["create", "delete"].map(permission));
    }
    permissions
}

/// Returns a table that shows for each permission whether the ServiceAccount has it.
pub(super) fn table(reviews: &[PermissionReview]) -> Vec<Vec<String>> {
    let mut rows: BTreeMap<(&str, Need, String), Vec<&str>> = BTreeMap::new();
    for one in by_permission(reviews) {
        let granted = match one.denied_in.len() {
            0 => "yes".to_owned(),
            denied if denied == one.reviews => "no".to_owned(),
            _ => format!("not in {}", list(&one.denied_in)),
        };
        let row = (one.permission.resource, one.permission.need, granted);
        rows.entry(row).or_default().push(one.permission.verb);
    }
    let headings = ["RESOURCE", "VERBS", "GRANTED", "NEEDED FOR"].map(str::to_owned);
    let rows = rows.into_iter().map(|((resource, need, granted), verbs)| {
        let verbs = verbs.join(", ");
        vec![resource.to_owned(), verbs, granted, need.name().to_owned()]
    });
    [headings.into()].into_iter().chain(rows).collect()
}

/// A permission, the number of its reviews, and the namespaces in which the ServiceAccount lacks
/// it.
pub(super) struct ReviewedPermission<'r> {
    pub(super) permission: Permission,
    reviews: usize,
    pub(super) denied_in: Vec<&'r str>,
}

/// Groups reviews by permission.
pub(super) fn by_permission(reviews: &[PermissionReview]) -> Vec<ReviewedPermission<'_>> {
    let mut permissions: Vec<ReviewedPermission<'_>> = Vec::new();
    for PermissionReview {
        permission,
        namespace,
        allowed,
    } in reviews
    {
        let denied = (allowed == &Ok(false)).then(|| namespace.as_deref().unwrap_or_default());
        if let Some(known) = permissions
            .iter_mut()
            .find(|known| known.permission == *permission)
        {
            known.reviews += 1;
            known.denied_in.extend(denied);
            continue;
        }
        permissions.push(ReviewedPermission {
            permission: *permission,
            reviews: 1,
            denied_in: denied.into_iter().collect(),
        });
    }
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(version: Option<Version>) -> Vec<String> {
        let permissions = needed(version, false).into_iter();
        permissions
            .map(|permission| format!("{} {}", permission.verb, permission.resource))
            .collect()
    }

    #[test]
    fn each_version_needs_what_it_uses() {
        let (old, new) = (names(Some(Version(13, 12))), names(Some(Version(19, 3))));
        for (permission, of_old, of_new) in [
            ("create pods", true, true),
            ("create secrets", true, true),
            ("create configmaps", true, false),
            ("create pods/attach", false, true),
            ("list events", false, true),
            ("watch pods", false, true),
        ] {
            assert_eq!(
                old.iter().any(|one| one == permission),
                of_old,
                "{permission}"
            );
            assert_eq!(
                new.iter().any(|one| one == permission),
                of_new,
                "{permission}"
            );
        }
        assert_eq!(names(None), new);
        assert_eq!(needed(None, true).len(), new.len() + 2);
    }

    #[test]
    fn a_row_has_the_verbs_that_are_granted_alike() {
        let namespaces = ["ci", "mobile"].map(str::to_owned);
        let reviews: Vec<PermissionReview> = namespaces
            .into_iter()
            .flat_map(|namespace| {
                needed(Some(Version(17, 11)), false)
                    .into_iter()
                    .map(move |permission| PermissionReview {
                        permission,
                        allowed: Ok(match permission.need {
                            Need::Events => false,
                            Need::Credentials => permission.verb != "delete" || namespace == "ci",
                            _ => true,
                        }),
                        namespace: Some(namespace.clone()),
                    })
            })
            .collect();
        let rows = table(&reviews);
        let lines: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
        assert_eq!(
            lines,
            [
                "RESOURCE | VERBS | GRANTED | NEEDED FOR",
                "events | list | no | drydock's Events",
                "pods | create, get, delete | yes | every job",
                "pods | list, watch | yes | watching pods",
                "pods/attach | create | yes | every job",
                "pods/exec | create | yes | every job",
                "pods/log | get | yes | every job",
                "secrets | delete | not in mobile | registry credentials",
                "secrets | create, get, update | yes | registry credentials",
                "serviceaccounts | get | yes | every job",
                "services | create, get | yes | services with ports",
            ]
        );
    }
}
