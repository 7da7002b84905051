//! The rights that the ServiceAccount of a GitLab Runner needs where its jobs run, by its version.
//!
//! Source: GitLab Runner's `docs/executors/kubernetes/_index.md`, "Configure runner API
//! permissions", and its code at the versions named below.

use super::runner::Version;

/// A right to be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The resource, with its subresource, as in `pods/exec`; all are of the core group.
    pub resource: &'static str,
    /// What it is for.
    pub need: Need,
}

/// What a runner needs a right for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// Every job.
    Jobs,
    /// Jobs with registry credentials.
    Credentials,
    /// Jobs whose services have ports.
    Services,
    /// Reading the Events that drydock writes for the author of a job.
    Events,
    /// Being told of changes of pods, instead of asking again and again.
    Informer,
    /// A namespace for each job.
    Namespaces,
}

impl Need {
    /// Returns what becomes of jobs without it.
    #[must_use]
    pub fn without(self) -> &'static str {
        match self {
            Self::Jobs => "every job fails",
            Self::Credentials => "jobs with registry credentials fail: \"secrets is forbidden\"",
            Self::Services => "jobs whose services have ports fail",
            Self::Events => "authors never read what drydock says",
            Self::Informer => "the runner asks again and again instead",
            Self::Namespaces => "no namespace can be made for a job",
        }
    }

    /// Whether jobs fail without it.
    #[must_use]
    pub fn is_vital(self) -> bool {
        matches!(self, Self::Jobs | Self::Credentials | Self::Namespaces)
    }
}

/// A resource, its verbs, what they are for, and the versions that use them: from the first, before
/// the second.
type Row = (&'static str, &'static str, Need, Version, Version);

const FIRST: Version = Version(0, 0);
const LAST: Version = Version(u32::MAX, 0);

const ROWS: [Row; 10] = [
    ("pods", "create get delete", Need::Jobs, FIRST, LAST),
    // Attaching is the default since 14.0; before, and for terminals, it is exec.
    ("pods/attach", "create", Need::Jobs, Version(14, 0), LAST),
    ("pods/exec", "create", Need::Jobs, FIRST, LAST),
    ("pods/log", "get", Need::Jobs, Version(14, 0), LAST),
    // The scripts of a job were a ConfigMap until 15.7.
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

/// Returns the rights that a version needs; for an unknown one, those of today's.
#[must_use]
pub fn needed(version: Option<Version>, namespace_per_job: bool) -> Vec<Right> {
    let version = version.unwrap_or(Version(u32::MAX - 1, 0));
    let rows = ROWS
        .iter()
        .filter(|(_, _, _, from, before)| version >= *from && version < *before);
    let mut rights: Vec<Right> = rows
        .flat_map(|(resource, verbs, need, _, _)| {
            verbs.split(' ').map(|verb| Right {
                verb,
                resource,
                need: *need,
            })
        })
        .collect();
    if namespace_per_job {
        let need = Need::Namespaces;
        let of = |verb| Right {
            verb,
            resource: "namespaces",
            need,
        };
        rights.extend(["create", "delete"].map(of));
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(version: Option<Version>) -> Vec<String> {
        let rights = needed(version, false).into_iter();
        rights
            .map(|right| format!("{} {}", right.verb, right.resource))
            .collect()
    }

    #[test]
    fn each_version_needs_what_it_uses() {
        let (old, new) = (names(Some(Version(13, 12))), names(Some(Version(19, 3))));
        for (right, of_old, of_new) in [
            ("create pods", true, true),
            ("create secrets", true, true),
            ("create configmaps", true, false),
            ("create pods/attach", false, true),
            ("list events", false, true),
            ("watch pods", false, true),
        ] {
            assert_eq!(old.iter().any(|one| one == right), of_old, "{right}");
            assert_eq!(new.iter().any(|one| one == right), of_new, "{right}");
        }
        assert_eq!(names(None), new);
        assert_eq!(needed(None, true).len(), new.len() + 2);
    }
}
