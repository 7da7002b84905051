//! dind trusts the registries of the platform (rule R1).
//!
//! # What it does
//! Mounts one key of a ConfigMap as the directory `/etc/docker/certs.d/HOST` with the file `ca.crt`, read-only, in each dind container.
//!
//! # Why
//! A registry's own authority belongs there, and not to `/certs/client`, where people put it (seed 004).
//! The directory, not a subPath: it follows changes, and a missing ConfigMap leaves an empty directory instead of keeping the job from starting.
//!
//! # Example
//! `registry.mylab.com:5000` ─► `/etc/docker/certs.d/registry.mylab.com:5000/ca.crt`; in rootless dind below `/home/rootless/.config/docker`.
//!
//! # When it does nothing
//! Something is mounted at, above or below that directory: it stays.

use super::Planner;
use super::change::{Action, NewMount, NewSource};
use super::note::Fact;
use crate::job_pod::dind::DindContainer;
use crate::mount_path;
use crate::pod::Text;
use crate::policy::RegistryCa;
use crate::policy::set::{Asked, DesiredDind};

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    containers: &[DindContainer],
) {
    for asked in &desired.registry_cas {
        add(planner, *asked, containers);
    }
}

fn add<'a>(planner: &mut Planner<'_, 'a>, asked: Asked<'a, RegistryCa>, dinds: &[DindContainer]) {
    let Asked { policy, what: ca } = asked;
    let mut name = None;
    for dind in dinds {
        let directory = dind.registry_directory(&ca.host);
        let Some(container) = planner.pod.container(dind.id) else {
            continue;
        };
        let container_name = container.name.clone().unwrap_or_default();
        let list_missing = container.volume_mounts.is_none();
        let occupant = container
            .mounts()
            .iter()
            .find(|mount| mount_path::overlap(mount.path(), &directory));
        if let Some(occupant) = occupant {
            let is_ours = occupant.path() == directory
                && planner
                    .pod
                    .volume(occupant.volume())
                    .and_then(|volume| volume.config_map())
                    == Some(&ca.config_map);
            let path = Text::from(occupant.path().to_owned());
            let (host, container) = (ca.host.as_str(), container_name);
            let fact = if is_ours {
                Fact::AuthorityRight { host, container }
            } else {
                Fact::RegistryDirectoryTaken {
                    host,
                    container,
                    path,
                }
            };
            planner.note(policy, fact);
            continue;
        }
        let volume = match &name {
            Some(name) => Text::clone(name),
            None => {
                let free = planner.free_volume_name(volume_name(&ca.host));
                let list_missing = planner.pod.spec.volumes.is_none();
                planner.change(
                    policy,
                    Action::AddVolume {
                        list_missing,
                        name: free.clone(),
                        source: NewSource::RegistryCa(ca),
                    },
                );
                name.insert(free).clone()
            }
        };
        let mount = NewMount::whole(volume, directory, true);
        planner.change(
            policy,
            Action::AddMount {
                list_missing,
                container: dind.id,
                container_name,
                mount,
                rule: "R1",
            },
        );
    }
}

/// Returns a volume name that says whose authority it holds: an RFC 1123 label.
fn volume_name(host: &str) -> String {
    let host: String = host
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    let name = format!("registry-ca-{}", host.trim_matches('-'));
    name.get(..63)
        .unwrap_or(&name)
        .trim_end_matches('-')
        .to_owned()
}

#[cfg(test)]
mod tests;
