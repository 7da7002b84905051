//! Notes in sentences: whole ones for logs and `explain`, short ones for API warnings.

use super::{Conflict, Fact, Note};
use crate::core::pod::Text;
use crate::core::shown::{list, shown};
use std::fmt::{self, Write as _};

impl Note<'_> {
    /// Returns the note in at most 120 characters, as API warnings want it (T3), after a prefix that says whose word it is.
    #[must_use]
    pub fn warning(&self, prefix: &str) -> String {
        const LIMIT: usize = 120;
        let mut text = String::with_capacity(2 * LIMIT);
        write!(text, "{prefix}: {}", Short(self)).expect("a String takes what is written");
        match text.char_indices().nth(LIMIT) {
            Some(_) => text.chars().take(LIMIT - 1).chain(['…']).collect(),
            None => text,
        }
    }
}

/// The sentence that fits a warning: the whole one where it is short.
struct Short<'n>(&'n Note<'n>);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.fact {
            Fact::Displaced {
                volume,
                kind,
                path,
                now_at: None,
                ..
            } => write!(
                f,
                "{kind} volume \"{volume}\" was taken from {path}: dind writes there"
            ),
            Fact::Displaced {
                volume,
                path,
                now_at: Some(now_at),
                ..
            } => write!(
                f,
                "volume \"{volume}\" moved from {path} to {}: dind writes there",
                shown(now_at)
            ),
            Fact::Reported(conflict) | Fact::Denied(conflict) => write!(
                f,
                "{} volume \"{}\" at {} keeps dind from writing certificates",
                conflict.kind, conflict.volume, conflict.path
            ),
            Fact::Shadowed { hostname } => write!(
                f,
                "{hostname} is a service of this job, so the policy's address is not used"
            ),
            Fact::DirectoryUnknown { container, .. } => write!(
                f,
                "DOCKER_TLS_CERTDIR of container \"{container}\" cannot be known, so nothing was changed there"
            ),
            Fact::DirectoryShared { directory, .. } => write!(
                f,
                "two dind containers write to {directory}; give each its DOCKER_TLS_CERTDIR"
            ),
            Fact::HostMismatch { tls: true, .. } => {
                f.write_str("DOCKER_HOST names port 2375, but dind listens with TLS on port 2376")
            }
            Fact::HostMismatch { tls: false, .. } => f.write_str(
                "DOCKER_HOST names port 2376, but dind listens without TLS on port 2375",
            ),
            Fact::HostIsNoAlias {
                is_docker: true, ..
            } => f.write_str(
                "DOCKER_HOST names docker, but no service has that name; give it `alias: docker`",
            ),
            Fact::HostIsNoAlias { .. } => f.write_str(
                "no service has the name in DOCKER_HOST; give the service of dind that alias",
            ),
            Fact::OwnHostsFile { .. } => {
                f.write_str("a volume at /etc/hosts hides the pod's hostAliases")
            }
            Fact::NotPrivileged { container } => write!(
                f,
                "dind container \"{container}\" is not privileged; dockerd will not start"
            ),
            Fact::HostSocket { path, .. } => {
                write!(f, "the job uses the node's Docker daemon ({path})")
            }
            _ => self.0.fmt(f),
        }
    }
}

impl fmt::Display for Conflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            container,
            volume,
            kind,
            path,
            directory,
        } = self;
        write!(
            f,
            "container \"{container}\" mounts {kind} volume \"{volume}\" at {path}, but docker:dind must write its client certificates to {directory}"
        )
    }
}

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fact {
            Fact::HostAliasesRight => f.write_str("the policies' hostnames resolve as they should already"),
            Fact::Shadowed { hostname } => write!(f, "{hostname} is mapped to the job itself, as the runner does for services, so the policy's address is not used"),
            Fact::NoAddress { hostname, source } => write!(f, "{source} has no address now, so {hostname} is left as it is"),
            Fact::HostnamesUnknown { source } => write!(f, "the hostnames of {source} are those of its rules, and none is known: it has not been seen, or its rules name no host"),
            Fact::NoDind => f.write_str("no container runs a Docker daemon, so nothing about docker is changed"),
            Fact::ImageUndecided { container, image } => {
                write!(f, "container \"{container}\" has the image {image}, which does not say whether it runs a Docker daemon, so nothing is changed for it; if it does, add it to the policy: dind.images: [\"{}\"]", shown(without_digest(image)))
            }
            Fact::TlsOffByVersion { container } => write!(f, "dind container \"{container}\" runs without TLS, which is the default of its version, and needs no certificates"),
            Fact::NotGenerated { directory, container, .. } => write!(f, "dind container \"{container}\" starts dockerd directly, without the entrypoint that generates certificates, so {directory} is left as it is"),
            Fact::OtherDaemon { directory, .. } => write!(f, "DOCKER_HOST names a daemon that is no service of the job, so {directory} is left as it is: it may hold the certificates for that daemon"),
            Fact::FallsBackToPlain { directory } => write!(f, "dind cannot write to {directory}, so this version of it starts without TLS on port 2375, which DOCKER_HOST names; it is left as it is, but anyone who reaches the pod can use that daemon"),
            Fact::TlsOff { container } => write!(f, "dind container \"{container}\" has an empty DOCKER_TLS_CERTDIR: it runs without TLS and needs no certificates"),
            Fact::DirectoryUnknown { container, why } => {
                write!(f, "where dind container \"{container}\" writes its certificates cannot be known (DOCKER_TLS_CERTDIR: {why}), so nothing is changed there")
            }
            Fact::DirectoryShared { directory, containers } => {
                write!(f, "the dind containers {} all write to {directory}, and each overwrites the others' authority; give each its own DOCKER_TLS_CERTDIR", quoted(containers))
            }
            Fact::DirectoryNested { directory, outer } => write!(f, "the certificate directory {directory} lies in that of another dind container, {outer}, and is left to it"),
            Fact::OwnAuthority { directory, container } => {
                write!(f, "dind container \"{container}\" is given its server certificates, so it manages its own authority and {directory} is left as it is")
            }
            Fact::CertificatesRight { directory } => write!(f, "dind can write its client certificates to {directory} already"),
            Fact::ParentServes { directory, volume } => write!(f, "{directory} is served by the writable emptyDir \"{volume}\" above it"),
            Fact::Displaced { volume, kind, path, container, directory, now_at } => {
                write!(f, "{kind} volume \"{volume}\" no longer sits at {path}")?;
                if let Some(container) = container {
                    write!(f, " in container \"{container}\"")?;
                }
                if crate::core::mount_path::clean(path) == **directory {
                    f.write_str(", because docker:dind must write its client certificates there")?;
                } else {
                    write!(f, ", because docker:dind must write its client certificates to {directory}")?;
                }
                match now_at {
                    Some(path) => write!(f, "; it is mounted at {}", shown(path)),
                    None => f.write_str("; to give dind a registry's authority, use the policy's registryCAs"),
                }
            }
            Fact::Unrestricted { container, path, dropped } => write!(f, "the mount at {path} of container \"{container}\" lost {}, because docker:dind must write its client certificates there", dropped.join(", ")),
            Fact::NotRelocated { volume, container, path, why } => write!(f, "volume \"{volume}\" is not mounted at {} in container \"{container}\": {why}", shown(path)),
            Fact::Reported(conflict) => write!(f, "{conflict}; the policy only reports it (onConflict: Report)"),
            Fact::Denied(conflict) => write!(
                f,
                "{conflict} (JobPodPolicy \"{}\", onConflict: Deny); take that volume out of the runner's config.toml or mount it elsewhere, and give a registry's authority by registryCAs",
                self.policy.name
            ),
            Fact::LeftInvalid { container, path } => write!(f, "container \"{container}\" has a mount at {path} that the API server refuses; it is left as it is"),
            Fact::PathTaken { volume, container, path } => write!(f, "container \"{container}\" mounts something at {path} already, so volume \"{volume}\" is not added"),
            Fact::NotForUnprivileged { volume, container } => write!(f, "container \"{container}\" is not privileged, so the node's directory \"{volume}\" is not mounted in it"),
            Fact::StorageIsLimited { volume, container } => {
                write!(f, "container \"{container}\" gets no emptyDir \"{volume}\": image layers in it would count against the pod's ephemeral-storage limit, and the kubelet would evict the pod")
            }
            Fact::DataKeptApart { volume, container } => {
                write!(f, "dind container \"{container}\" gets no volume \"{volume}\": two daemons cannot share one data directory, and another has it")
            }
            Fact::DataShared { volume, containers } => write!(f, "the dind containers {} share volume \"{volume}\" for their data, which two daemons cannot", quoted(containers)),
            Fact::InTheWay { volume, container, directory } => {
                write!(f, "volume \"{volume}\" is not mounted in container \"{container}\": it would lie in the way of {directory}, where dind writes its certificates")
            }
            Fact::SchedulingRight => f.write_str("the pod asks for the policies' nodes and tolerates their taints already"),
            Fact::AuthorityRight { host, container } => write!(f, "container \"{container}\" has the authority of {host} already"),
            Fact::NodeSelectorDiffers { key, theirs, ours } => write!(f, "the pod asks for {key}={theirs}, which stays, though the policy says {ours}"),
            Fact::RegistryDirectoryTaken { host, container, path } => {
                write!(f, "container \"{container}\" mounts something at {path}, so the authority of {host} is not added")
            }
            Fact::NotPrivileged { container } => write!(f, "dind container \"{container}\" is not privileged; dockerd will not start (set privileged = true in the runner's config.toml)"),
            Fact::HostSocket { volume, path } => write!(f, "volume \"{volume}\" is the node's Docker socket {path}: the job's images and containers run beside the cluster, not in it"),
            Fact::HostMismatch { host, tls, is_known } => {
                let (named, how, right) = if *tls { (2375, "with TLS", 2376) } else { (2376, "without TLS", 2375) };
                let default = if *is_known { "" } else { " by default" };
                write!(f, "DOCKER_HOST names port {named}, but dind listens{default} {how} on port {right}; set DOCKER_HOST to tcp://{host}:{right}")
            }
            Fact::HostIsNoAlias { is_docker: true, container, .. } => write!(f, "DOCKER_HOST names docker, and no service of the job has that name; give the service of container \"{container}\" `alias: docker` in .gitlab-ci.yml"),
            Fact::HostIsNoAlias { container, .. } => write!(f, "DOCKER_HOST names a host that no service of the job is called; if it is the service of container \"{container}\", give that one the name as its `alias` in .gitlab-ci.yml"),
            Fact::NoDockerHost => f.write_str("the build container has no DOCKER_HOST, so unless the job's script sets it, the docker client calls unix:///var/run/docker.sock, where no daemon listens"),
            Fact::OwnHostsFile { containers } => write!(f, "{} {} a volume at /etc/hosts, where the kubelet then writes no hostAliases: neither the policy's hostnames nor the names of the job's services resolve there; take that volume out of the runner's config.toml", quoted_containers(containers), if containers.len() == 1 { "mounts" } else { "mount" }),
        }
    }
}

fn quoted(names: &[Text<'_>]) -> String {
    struct Quoted<'n, 'a>(&'n Text<'a>);
    impl fmt::Display for Quoted<'_, '_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "\"{}\"", self.0)
        }
    }
    let names: Vec<Quoted<'_, '_>> = names.iter().map(Quoted).collect();
    list(&names, " and ")
}

fn quoted_containers(names: &[Text<'_>]) -> String {
    let word = if names.len() == 1 {
        "container"
    } else {
        "containers"
    };
    format!("{word} {}", quoted(names))
}

fn without_digest(image: &str) -> &str {
    image
        .split_once('@')
        .map_or(image, |(reference, _)| reference)
}
