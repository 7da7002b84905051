//! What there is to say beside the changes: why a rule did nothing, and what of the author's was displaced, shadowed or left broken.

use crate::pod::Text;
use crate::policy::{Policy, Source};
use std::fmt;

/// Something to say, and the policy whose rule says it.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    /// Whose rule.
    pub policy: &'a Policy,
    /// What there is to say.
    pub fact: Fact<'a>,
}

/// Whom a note concerns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Audience {
    /// Whoever asks why: `explain` only.
    Curious,
    /// The platform team: logs and audit annotations too.
    Team,
    /// The job's author as well: API warnings, events.
    Author,
}

/// What there is to say.
#[derive(Clone, Debug)]
pub enum Fact<'a> {
    /// H1: every hostname resolves to the policy's addresses already, or there is none.
    HostAliasesRight,
    /// H3: the runner uses the name for a service of the job.
    Shadowed {
        /// The name.
        hostname: &'a str,
    },
    /// H7: the live source has no address.
    NoAddress {
        /// The name.
        hostname: &'a str,
        /// What should have the address.
        source: &'a Source,
    },
    /// H7: the hostnames are those of Ingress rules, which are not known here.
    HostnamesUnknown {
        /// The Ingress.
        source: &'a Source,
    },
    /// D1: no container runs a Docker daemon.
    NoDind,
    /// D1: the image is docker, but whether it runs a daemon cannot be told.
    ImageUndecided {
        /// The container.
        container: Text<'a>,
        /// Its image.
        image: Text<'a>,
    },
    /// D2: dind runs without TLS.
    TlsOff {
        /// The dind container.
        container: Text<'a>,
    },
    /// D2: where dind writes its certificates cannot be known.
    DirectoryUnknown {
        /// The dind container.
        container: Text<'a>,
        /// Why.
        why: &'static str,
    },
    /// D2: two daemons write to one directory.
    DirectoryShared {
        /// The directory.
        directory: String,
        /// The dind containers.
        containers: Vec<Text<'a>>,
    },
    /// D2: one daemon's directory lies in another's.
    DirectoryNested {
        /// The inner directory.
        directory: String,
        /// The outer directory.
        outer: String,
    },
    /// D6: dind's server certificates are supplied.
    OwnAuthority {
        /// The directory.
        directory: String,
        /// The dind container.
        container: Text<'a>,
    },
    /// D3: the directory is right already.
    CertificatesRight {
        /// The directory.
        directory: String,
    },
    /// D5: a writable emptyDir above the directory serves it.
    ParentServes {
        /// The directory.
        directory: String,
        /// The volume.
        volume: Text<'a>,
    },
    /// D4/D7: something of the author's no longer is where it was.
    Displaced {
        /// The volume.
        volume: Text<'a>,
        /// What it is, `secret` for one.
        kind: Text<'a>,
        /// The certificate directory.
        directory: String,
        /// Where it is mounted now, with Relocate.
        now_at: Option<String>,
    },
    /// D8: a displaced volume is not mounted anywhere else.
    NotRelocated {
        /// The volume.
        volume: Text<'a>,
        /// The container.
        container: Text<'a>,
        /// Where it would have gone.
        path: String,
        /// Why it did not.
        why: &'static str,
    },
    /// D8: what conflicts is left, as the policy says.
    Reported(Conflict<'a>),
    /// D8: what conflicts gets the pod refused.
    Denied(Conflict<'a>),
    /// A4: the pod breaks a rule of the API server there, which is left for it to refuse.
    LeftInvalid {
        /// The container.
        container: Text<'a>,
        /// The path, as written.
        path: Text<'a>,
    },
    /// V2: something is mounted there already.
    PathTaken {
        /// The policy's volume.
        volume: &'a str,
        /// The container.
        container: Text<'a>,
        /// The path.
        path: &'a str,
    },
    /// V5: a directory of the node for a container without privileges.
    NotForUnprivileged {
        /// The policy's volume.
        volume: &'a str,
        /// The container.
        container: Text<'a>,
    },
    /// V3: two daemons must not share their data.
    DataKeptApart {
        /// The policy's volume.
        volume: &'a str,
        /// The dind container that goes without.
        container: Text<'a>,
    },
    /// V3: two daemons share their data, as the pod says.
    DataShared {
        /// The volume.
        volume: Text<'a>,
        /// The dind containers.
        containers: Vec<Text<'a>>,
    },
    /// M6, for a directory that only the pod knows: a policy's volume would lie in the way of the certificates.
    InTheWay {
        /// The policy's volume.
        volume: &'a str,
        /// The container.
        container: Text<'a>,
        /// The certificate directory.
        directory: String,
    },
    /// S1: the pod asks for another node.
    NodeSelectorDiffers {
        /// The label's key.
        key: &'a str,
        /// What the pod says.
        theirs: String,
        /// What the policy says.
        ours: &'a str,
    },
    /// R1: something is mounted at, above or below the registry's directory.
    RegistryDirectoryTaken {
        /// The registry.
        host: &'a str,
        /// The dind container.
        container: Text<'a>,
        /// What is there.
        path: String,
    },
    /// R2: dind without privileges.
    NotPrivileged {
        /// The dind container.
        container: Text<'a>,
    },
    /// R2: the node's Docker socket.
    HostSocket {
        /// The volume.
        volume: Text<'a>,
        /// The node's path.
        path: Text<'a>,
    },
    /// R2: the client looks for the daemon where it does not listen.
    HostMismatch {
        /// Whether dind uses TLS.
        tls: bool,
    },
}

/// A conflicting mount: what a refusal names.
#[derive(Clone, Debug)]
pub struct Conflict<'a> {
    /// The container.
    pub container: Text<'a>,
    /// The volume.
    pub volume: Text<'a>,
    /// What the volume is, `secret` for one.
    pub kind: Text<'a>,
    /// The mount's path, as written.
    pub path: Text<'a>,
    /// The certificate directory.
    pub directory: String,
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

impl Note<'_> {
    /// Returns the rule of the contract that it comes from.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match &self.fact {
            Fact::HostAliasesRight => "H1",
            Fact::Shadowed { .. } => "H3",
            Fact::NoAddress { .. } | Fact::HostnamesUnknown { .. } => "H7",
            Fact::NoDind | Fact::ImageUndecided { .. } => "D1",
            Fact::TlsOff { .. }
            | Fact::DirectoryUnknown { .. }
            | Fact::DirectoryShared { .. }
            | Fact::DirectoryNested { .. } => "D2",
            Fact::CertificatesRight { .. } => "D3",
            Fact::ParentServes { .. } => "D5",
            Fact::OwnAuthority { .. } => "D6",
            Fact::Displaced { .. } => "D7",
            Fact::NotRelocated { .. } | Fact::Reported(_) | Fact::Denied(_) => "D8",
            Fact::LeftInvalid { .. } => "A4",
            Fact::PathTaken { .. } => "V2",
            Fact::NotForUnprivileged { .. } => "V5",
            Fact::DataKeptApart { .. } | Fact::DataShared { .. } => "V3",
            Fact::InTheWay { .. } => "M6",
            Fact::NodeSelectorDiffers { .. } => "S1",
            Fact::RegistryDirectoryTaken { .. } => "R1",
            Fact::NotPrivileged { .. } | Fact::HostSocket { .. } | Fact::HostMismatch { .. } => {
                "R2"
            }
        }
    }

    /// Returns whom it concerns.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match &self.fact {
            Fact::HostAliasesRight
            | Fact::NoDind
            | Fact::TlsOff { .. }
            | Fact::CertificatesRight { .. }
            | Fact::ParentServes { .. }
            | Fact::PathTaken { .. } => Audience::Curious,
            Fact::NoAddress { .. }
            | Fact::HostnamesUnknown { .. }
            | Fact::ImageUndecided { .. }
            | Fact::OwnAuthority { .. }
            | Fact::NotForUnprivileged { .. }
            | Fact::InTheWay { .. }
            | Fact::NodeSelectorDiffers { .. }
            | Fact::RegistryDirectoryTaken { .. } => Audience::Team,
            Fact::Shadowed { .. }
            | Fact::DirectoryUnknown { .. }
            | Fact::DirectoryShared { .. }
            | Fact::DirectoryNested { .. }
            | Fact::Displaced { .. }
            | Fact::NotRelocated { .. }
            | Fact::Reported(_)
            | Fact::Denied(_)
            | Fact::LeftInvalid { .. }
            | Fact::DataKeptApart { .. }
            | Fact::DataShared { .. }
            | Fact::NotPrivileged { .. }
            | Fact::HostSocket { .. }
            | Fact::HostMismatch { .. } => Audience::Author,
        }
    }

    /// Returns the note in at most 120 characters, as API warnings want it (T3), after a prefix that says whose word it is.
    #[must_use]
    pub fn warning(&self, prefix: &str) -> String {
        const LIMIT: usize = 120;
        let text = format!("{prefix}: {}", self.short());
        if text.chars().count() <= LIMIT {
            return text;
        }
        text.chars().take(LIMIT - 1).chain(['…']).collect()
    }

    /// The sentence that fits a warning: the whole one where it is short.
    fn short(&self) -> String {
        match &self.fact {
            Fact::Displaced {
                volume,
                kind,
                directory,
                now_at: None,
            } => {
                format!("{kind} volume \"{volume}\" was taken from {directory}: dind writes there")
            }
            Fact::Displaced {
                volume,
                directory,
                now_at: Some(path),
                ..
            } => format!("volume \"{volume}\" moved from {directory} to {path}: dind writes there"),
            Fact::Reported(conflict) | Fact::Denied(conflict) => {
                format!(
                    "{} volume \"{}\" at {} keeps dind from writing certificates",
                    conflict.kind, conflict.volume, conflict.path
                )
            }
            Fact::Shadowed { hostname } => {
                format!("{hostname} is a service of this job, so the policy's address is not used")
            }
            Fact::DirectoryUnknown { container, .. } => format!(
                "DOCKER_TLS_CERTDIR of container \"{container}\" cannot be known, so nothing was changed there"
            ),
            Fact::DirectoryShared { directory, .. } => format!(
                "two dind containers write to {directory}; give each its DOCKER_TLS_CERTDIR"
            ),
            Fact::HostMismatch { tls: true } => {
                "DOCKER_HOST names port 2375, but dind listens with TLS on port 2376".to_owned()
            }
            Fact::HostMismatch { tls: false } => {
                "DOCKER_HOST names port 2376, but dind listens without TLS on port 2375".to_owned()
            }
            Fact::NotPrivileged { container } => {
                format!("dind container \"{container}\" is not privileged; dockerd will not start")
            }
            Fact::HostSocket { path, .. } => {
                format!("the job uses the node's Docker daemon ({path})")
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fact {
            Fact::HostAliasesRight => f.write_str("the policies' hostnames resolve as they should already"),
            Fact::Shadowed { hostname } => write!(f, "{hostname} is mapped to the job itself, as the runner does for services, so the policy's address is not used"),
            Fact::NoAddress { hostname, source } => write!(f, "{source} has no address now, so {hostname} is left as it is"),
            Fact::HostnamesUnknown { source } => write!(f, "the hostnames of {source} are those of its rules, which are only known in a cluster"),
            Fact::NoDind => f.write_str("no container runs a Docker daemon, so nothing about docker is changed"),
            Fact::ImageUndecided { container, image } => {
                write!(f, "container \"{container}\" has the image {image}, which does not say whether it runs a daemon; list it in dind.images if it does")
            }
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
            Fact::Displaced { volume, kind, directory, now_at } => {
                write!(f, "{kind} volume \"{volume}\" no longer sits at {directory}, because docker:dind must write its client certificates there")?;
                match now_at {
                    Some(path) => write!(f, "; it is mounted at {path}"),
                    None => f.write_str("; to give dind a registry's authority, use the policy's registryCAs"),
                }
            }
            Fact::NotRelocated { volume, container, path, why } => write!(f, "volume \"{volume}\" is not mounted at {path} in container \"{container}\": {why}"),
            Fact::Reported(conflict) => write!(f, "{conflict}; the policy only reports it (onConflict: Report)"),
            Fact::Denied(conflict) => write!(
                f,
                "{conflict} (JobPodPolicy \"{}\", onConflict: Deny); take that volume out of the runner's config.toml or mount it elsewhere, and give a registry's authority by registryCAs",
                self.policy.name
            ),
            Fact::LeftInvalid { container, path } => write!(f, "container \"{container}\" has a mount at {path} that the API server refuses; it is left as it is"),
            Fact::PathTaken { volume, container, path } => write!(f, "container \"{container}\" mounts something at {path} already, so volume \"{volume}\" is not added"),
            Fact::NotForUnprivileged { volume, container } => write!(f, "container \"{container}\" is not privileged, so the node's directory \"{volume}\" is not mounted in it"),
            Fact::DataKeptApart { volume, container } => {
                write!(f, "dind container \"{container}\" gets no volume \"{volume}\": two daemons cannot share one data directory, and another has it")
            }
            Fact::DataShared { volume, containers } => write!(f, "the dind containers {} share volume \"{volume}\" for their data, which two daemons cannot", quoted(containers)),
            Fact::InTheWay { volume, container, directory } => {
                write!(f, "volume \"{volume}\" is not mounted in container \"{container}\": it would lie in the way of {directory}, where dind writes its certificates")
            }
            Fact::NodeSelectorDiffers { key, theirs, ours } => write!(f, "the pod asks for {key}={theirs}, which stays, though the policy says {ours}"),
            Fact::RegistryDirectoryTaken { host, container, path } => {
                write!(f, "container \"{container}\" mounts something at {path}, so the authority of {host} is not added")
            }
            Fact::NotPrivileged { container } => write!(f, "dind container \"{container}\" is not privileged; dockerd will not start (set privileged = true in the runner's config.toml)"),
            Fact::HostSocket { volume, path } => write!(f, "volume \"{volume}\" is the node's Docker socket {path}: the job's images and containers run beside the cluster, not in it"),
            Fact::HostMismatch { tls: true } => f.write_str("DOCKER_HOST names port 2375, but dind listens with TLS on port 2376; set DOCKER_HOST to tcp://docker:2376"),
            Fact::HostMismatch { tls: false } => f.write_str("DOCKER_HOST names port 2376, but dind listens without TLS on port 2375; set DOCKER_HOST to tcp://docker:2375"),
        }
    }
}

fn quoted(names: &[Text<'_>]) -> String {
    names
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(" and ")
}
