//! Reads policy files and publishes the policies in force.

use super::reload::Reloader;
use crate::cli::{SAMPLE_POLICY, SAMPLE_POLICY_NAME};
use crate::core::policy::{self, AddressesBySource, Policy, PolicyError, PolicyFile, PolicySet};
use crate::server;
use crate::telemetry::metrics::{Metrics, PolicyState, Reloaded};
use anyhow::bail;
use futures::future::{BoxFuture, pending};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

const FLAG: &str = "--policy";

/// The policies in force and their source.
pub(super) struct PolicySource {
    /// The policies in force.
    pub(super) set: watch::Receiver<Option<Arc<PolicySet>>>,
    /// The names and sources of the policies at the start, for the banner.
    pub(super) in_force: Vec<String>,
    /// The reloader of each policy file.
    pub(super) reloaders: Vec<Reloader>,
    /// The data of the cluster that reviews use, and functions that call its API server; `None` if
    /// the policies are from files.
    pub(super) cluster: Option<server::Cluster>,
    /// A background task, which runs until the process ends.
    pub(super) work: BoxFuture<'static, ()>,
}

struct LoadedFiles {
    files: Vec<LoadedFile>,
    set: watch::Sender<Option<Arc<PolicySet>>>,
    metrics: Arc<Metrics>,
    is_started: bool,
}

#[derive(Default)]
struct LoadedFile {
    name: String,
    /// The last valid version of each policy.
    good: Vec<Policy>,
    /// Number of policies whose current version is not in force.
    refused: usize,
}

/// Reads the policy files or, if there are none, the built-in sample policy.
///
/// The valid policies of a file are used even if others are invalid (rule F3). A file that contains
/// only invalid policies is an error.
pub(super) fn open(paths: &[PathBuf], metrics: &Arc<Metrics>) -> anyhow::Result<PolicySource> {
    let (sender, set) = watch::channel(None);
    let mut files = LoadedFiles {
        files: Vec::new(),
        set: sender,
        metrics: metrics.clone(),
        is_started: false,
    };
    if paths.is_empty() {
        files.files.push(LoadedFile {
            name: SAMPLE_POLICY_NAME.to_owned(),
            good: policy::read(SAMPLE_POLICY_NAME, SAMPLE_POLICY).policies,
            refused: 0,
        });
    }
    files.files.extend(paths.iter().map(|path| LoadedFile {
        name: path.display().to_string(),
        ..LoadedFile::default()
    }));
    let files = Arc::new(Mutex::new(files));
    let (mut reloaders, mut problems) = (Vec::new(), Vec::new());
    for (index, path) in paths.iter().enumerate() {
        let files = files.clone();
        let apply = move |content: &[Vec<u8>]| {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.update(index, &content.concat())
        };
        let file = vec![(FLAG, path.clone())];
        match Reloader::open(Reloaded::Policies, file, apply) {
            Ok((reloader, _)) => reloaders.push(reloader),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
    files.is_started = true;
    files.publish();
    Ok(PolicySource {
        set,
        in_force: files.in_force(),
        reloaders,
        cluster: None,
        work: Box::pin(pending()),
    })
}

impl LoadedFiles {
    /// Applies the new content of a file. Returns its problems even if some policies are valid.
    fn update(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let Some(file) = self.files.get_mut(index) else {
            return Ok(());
        };
        let read = parse(&file.name, bytes);
        let problems: Vec<String> = read.errors.iter().map(PolicyError::to_string).collect();
        if !self.is_started && read.policies.is_empty() && !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        file.refused = read.refused.len() + usize::from(read.unreadable);
        file.good = read.or_last_good(&file.good);
        if !self.is_started {
            for problem in &problems {
                tracing::error!("a policy is not in force: {problem}");
            }
            return Ok(());
        }
        self.publish();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }

    /// Publishes the policies of all files. If several policies have the same name, the first is
    /// used, so that an edit of one file cannot replace a policy of an earlier file.
    fn publish(&self) {
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
                        file = file.name,
                        "a policy is not in force, because an earlier file has a policy of the same name"
                    );
                }
            }
        }
        let counts = [
            (PolicyState::Loaded, policies.len()),
            (PolicyState::Refused, refused),
        ];
        self.metrics.set_policies(&counts);
        for policy in policies
            .iter()
            .filter(|policy| policy.namespace_selector.keys().next().is_some())
        {
            tracing::warn!(
                policy = policy.name,
                "without --cluster, only the namespace label kubernetes.io/metadata.name is known, so a namespaceSelector that uses other labels matches no namespace"
            );
        }
        let set = PolicySet::new(policies, &AddressesBySource::new());
        self.set.send_replace(Some(Arc::new(set)));
    }

    fn in_force(&self) -> Vec<String> {
        let of_file = |file: &LoadedFile| {
            let named = |policy: &Policy| format!("\"{}\" ({})", policy.name, file.name);
            file.good.iter().map(named).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of_file).collect()
    }
}

fn parse(name: &str, bytes: &[u8]) -> PolicyFile {
    let mut read = match std::str::from_utf8(bytes) {
        Ok(text) => policy::read(name, text),
        Err(error) => PolicyFile::unreadable(name, format!("the file is not UTF-8 text: {error}")),
    };
    // An invalid policy without a name may be a new version of any policy that was valid before, so
    // all these policies stay in force.
    read.unreadable |= read.errors.iter().any(|error| error.policy.is_none());
    read
}
