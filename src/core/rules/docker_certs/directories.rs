//! The certificate directories of a pod, and dind containers that have none (rule D2).

use super::directory::Directory;
use super::{Planner, name_of};
use crate::core::job_pod::client::Daemon;
use crate::core::job_pod::dind::{self, Certificates, DindContainer};
use crate::core::pod::{ContainerId, ContainerList, Text};
use crate::core::policy::Policy;
use crate::core::rules::note::Fact;
use std::collections::{HashMap, HashSet};

/// Returns the certificate directories of the dind containers, each once; reports those that are
/// not written or cannot be known.
pub(super) fn find<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    containers: &[DindContainer],
    daemon: &Daemon,
) -> Vec<Directory> {
    let build = build(planner);
    let reader = build.filter(|_| daemon.may_be_in_pod_with_tls());
    let mut directories: Vec<Directory> = Vec::new();
    let mut places: HashMap<Text<'static>, usize> = HashMap::new();
    let mut direct = HashSet::new();
    for dind in containers {
        let container = name_of(planner, dind.id);
        let fact = match &dind.certificates {
            Certificates::In(certdir) => {
                let path = dind::client_directory(certdir);
                let at = *places.entry(path.clone()).or_insert(directories.len());
                match directories.get_mut(at) {
                    Some(directory) => {
                        directory.dinds.push(dind.id);
                        directory.falls_back_to_plain &= dind.falls_back_to_plain;
                    }
                    None => directories.push(Directory {
                        path,
                        dinds: vec![dind.id],
                        build: reader,
                        falls_back_to_plain: dind.falls_back_to_plain,
                        is_of_direct_daemon: false,
                    }),
                }
                continue;
            }
            Certificates::NotGenerated(certdir) => {
                let directory = dind::client_directory(certdir);
                let is_blocked = is_mounted(planner, [Some(dind.id), build], &directory);
                direct.insert(directory.clone());
                Fact::NotGenerated {
                    directory,
                    container,
                    is_blocked,
                }
            }
            Certificates::TlsOff => Fact::TlsOff { container },
            Certificates::TlsOffByVersion => Fact::TlsOffByVersion { container },
            Certificates::Unknown(why) => Fact::DirectoryUnknown { container, why },
        };
        planner.note(policy, fact);
    }
    for directory in &mut directories {
        directory.is_of_direct_daemon = direct.contains(&directory.path);
    }
    let shared = directories
        .iter()
        .filter(|directory| directory.dinds.len() > 1);
    for directory in shared {
        let dinds = directory.dinds.iter();
        let containers = dinds.map(|id| name_of(planner, *id)).collect();
        let directory = directory.path.clone();
        let fact = Fact::DirectoryShared {
            directory,
            containers,
        };
        planner.note(policy, fact);
    }
    directories
}

/// Whether some of the containers mount something at a directory.
fn is_mounted(
    planner: &Planner<'_, '_>,
    containers: [Option<ContainerId>; 2],
    directory: &str,
) -> bool {
    let mut containers = containers.into_iter().flatten();
    containers.any(|id| {
        let container = planner.pod.container(id);
        container.is_some_and(|container| container.mounts_at(directory))
    })
}

fn build(planner: &Planner<'_, '_>) -> Option<ContainerId> {
    let mut containers = planner.pod.containers();
    containers
        .find(|(id, container)| id.list == ContainerList::Containers && container.name() == "build")
        .map(|(id, _)| id)
}

#[cfg(test)]
mod tests;
