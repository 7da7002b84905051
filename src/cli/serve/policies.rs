//! Policy files: read at start, and again whenever their content changes.
//!
//! Content is compared, not times or events: a mounted ConfigMap changes by swapping a symbolic link.

use super::cluster::Joined;
use super::{keep_last_good, refuse, reloaded};
use crate::cli::{SAMPLE_POLICY, SAMPLE_POLICY_NAME};
use crate::core::policy::{self, LiveAddresses, Policy, PolicyError, PolicyFile, PolicySet};
use crate::server;
use crate::telemetry::metrics::{Metrics, Reloaded};
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Where policies come from.
pub(super) enum Origin {
    Files(Files),
    Cluster(Joined),
}

impl Origin {
    /// Returns where the set in force is to be seen.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<PolicySet>>> {
        match self {
            Self::Files(files) => files.set.subscribe(),
            Self::Cluster(joined) => joined.policies.clone(),
        }
    }

    /// Returns what the cluster adds to the answers.
    pub(super) fn cluster(&self) -> Option<server::Cluster> {
        match self {
            Self::Files(_) => None,
            Self::Cluster(joined) => Some(joined.for_answers.clone()),
        }
    }

    /// Returns what is in force at the start, for people.
    pub(super) fn in_force(&self) -> Vec<String> {
        match self {
            Self::Files(files) => files.in_force(),
            Self::Cluster(_) => vec!["those of the cluster".to_owned()],
        }
    }

    /// Takes the work that has to be done beside the server.
    pub(super) fn work(&mut self) -> BoxFuture<'static, ()> {
        match self {
            Self::Files(_) => Box::pin(std::future::pending()),
            Self::Cluster(joined) => {
                std::mem::replace(&mut joined.work, Box::pin(std::future::pending()))
            }
        }
    }

    /// Looks at files again.
    pub(super) fn reload(&mut self, metrics: &Metrics) {
        if let Self::Files(files) = self {
            files.reload(metrics);
        }
    }
}

/// The policy files and the set that they make.
pub(super) struct Files {
    files: Vec<File>,
    set: watch::Sender<Option<Arc<PolicySet>>>,
}

struct File {
    path: Option<PathBuf>,
    /// What was read last, good or not: the same bytes are not complained of twice.
    seen: Result<Vec<u8>, io::ErrorKind>,
    /// The last good version of each policy.
    good: Vec<Policy>,
    /// Policies that are not in force as they are written.
    refused: usize,
}

impl Files {
    /// Reads the files; without any, the built-in sample policy.
    /// A bad policy does not keep the good ones of its file from being served (F3), but a file with nothing good in it is refused.
    pub(super) fn open(paths: Vec<PathBuf>, metrics: &Metrics) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut problems = Vec::new();
        if paths.is_empty() {
            let good = policy::read(SAMPLE_POLICY_NAME, SAMPLE_POLICY).policies;
            files.push(File {
                path: None,
                seen: Ok(Vec::new()),
                good,
                refused: 0,
            });
        }
        for path in paths {
            match File::open(path) {
                Ok(file) => files.push(file),
                Err(of_file) => problems.extend(of_file),
            }
        }
        refuse(&problems)?;
        let (set, _) = watch::channel(None);
        let files = Self { files, set };
        files.publish(metrics);
        Ok(files)
    }

    /// Returns what is in force, for people: each policy and its file.
    fn in_force(&self) -> Vec<String> {
        let of = |file: &File| {
            file.good
                .iter()
                .map(|policy| format!("\"{}\" ({})", policy.name, file.name()))
                .collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of).collect()
    }

    /// Reads the files again; what changed and is good comes into force.
    fn reload(&mut self, metrics: &Metrics) {
        let changed: Vec<Vec<String>> = self.files.iter_mut().filter_map(File::reload).collect();
        if changed.is_empty() {
            return;
        }
        // In force before it is counted: who sees the count sees the policies.
        self.publish(metrics);
        for problems in &changed {
            if problems.is_empty() {
                reloaded(metrics, Reloaded::Policies);
            } else {
                keep_last_good(metrics, Reloaded::Policies, &problems.join("; "));
            }
        }
    }

    /// Of several files with a policy of one name the first counts, so that no edit of one file takes a policy of another away.
    fn publish(&self, metrics: &Metrics) {
        let mut names = BTreeSet::new();
        let mut policies = Vec::new();
        let mut refused: usize = self.files.iter().map(|file| file.refused).sum();
        for file in &self.files {
            for policy in &file.good {
                if names.insert(policy.name.as_str()) {
                    policies.push(policy.clone());
                } else {
                    refused += 1;
                    tracing::error!(
                        policy = policy.name,
                        file = file.name(),
                        "an earlier file has a policy of that name, so this one is not in force"
                    );
                }
            }
        }
        metrics.set_policies(policies.len(), refused);
        for policy in policies
            .iter()
            .filter(|policy| policy.namespace_selector.keys().next().is_some())
        {
            tracing::warn!(
                policy = policy.name,
                "without a cluster only kubernetes.io/metadata.name is known of a namespace, so a namespaceSelector on other labels matches nothing"
            );
        }
        let set = PolicySet::new(policies, &LiveAddresses::new());
        self.set.send_replace(Some(Arc::new(set)));
    }
}

impl File {
    fn open(path: PathBuf) -> Result<Self, Vec<String>> {
        let name = path.display().to_string();
        let bytes = read(&path)
            .map_err(|error| vec![format!("--policy {name} cannot be read: {error}")])?;
        let read = parse(&name, &bytes);
        let problems: Vec<String> = read.errors.iter().map(PolicyError::to_string).collect();
        if read.policies.is_empty() && !problems.is_empty() {
            return Err(problems);
        }
        for problem in &problems {
            tracing::error!("a policy is not in force: {problem}");
        }
        Ok(Self {
            path: Some(path),
            seen: Ok(bytes),
            refused: refused(&read),
            good: read.policies,
        })
    }

    fn name(&self) -> String {
        self.path.as_ref().map_or_else(
            || SAMPLE_POLICY_NAME.to_owned(),
            |path| path.display().to_string(),
        )
    }

    /// Returns the problems of a file that changed, none where all of it is good, or nothing where it is the same.
    fn reload(&mut self) -> Option<Vec<String>> {
        let bytes = read(self.path.as_ref()?);
        let seen = match &bytes {
            Ok(bytes) => Ok(bytes.clone()),
            Err(error) => Err(error.kind()),
        };
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        let name = self.name();
        let read = match bytes {
            Ok(bytes) => parse(&name, &bytes),
            Err(error) => return Some(vec![format!("{name} cannot be read: {error}")]),
        };
        let problems = read.errors.iter().map(PolicyError::to_string).collect();
        self.refused = refused(&read);
        self.good = read.or_last_good(&self.good);
        Some(problems)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}

fn parse(name: &str, bytes: &[u8]) -> PolicyFile {
    let mut read = match std::str::from_utf8(bytes) {
        Ok(text) => policy::read(name, text),
        Err(error) => PolicyFile::unreadable(name, format!("it is not UTF-8 text: {error}")),
    };
    // What has no name, or is no policy, may be what has become of any of those that were good.
    read.unreadable |= read.errors.iter().any(|error| error.policy.is_none());
    read
}

fn refused(read: &PolicyFile) -> usize {
    read.refused.len() + usize::from(read.unreadable)
}
