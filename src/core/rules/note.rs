//! What there is to say beside the changes: why a rule did nothing, and what of the author's was displaced, shadowed or left broken.

mod sentence;

use crate::core::pod::Text;
use crate::core::policy::{Policy, Source};

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
    /// D2: the version of the image has TLS off.
    TlsOffByVersion {
        /// The dind container.
        container: Text<'a>,
    },
    /// D2: `dockerd` is started directly, so the entrypoint generates no certificates.
    NotGenerated {
        /// The directory that stays as it is.
        directory: Text<'a>,
        /// The dind container.
        container: Text<'a>,
        /// Whether something is mounted at the directory.
        is_blocked: bool,
    },
    /// D3: the client calls a daemon elsewhere.
    OtherDaemon {
        /// The directory that stays as it is.
        directory: Text<'a>,
        /// Whether something is mounted at the directory.
        is_in_the_way: bool,
    },
    /// D3: the daemon runs without TLS because it cannot write there, and the client expects that.
    FallsBackToPlain {
        /// The directory that stays as it is.
        directory: Text<'a>,
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
        directory: Text<'a>,
        /// The dind containers.
        containers: Vec<Text<'a>>,
    },
    /// D2: one daemon's directory lies in another's.
    DirectoryNested {
        /// The inner directory.
        directory: Text<'a>,
        /// The outer directory.
        outer: Text<'a>,
    },
    /// D6: dind's server certificates are supplied.
    OwnAuthority {
        /// The directory.
        directory: Text<'a>,
        /// The dind container.
        container: Text<'a>,
    },
    /// D3: the directory is right already.
    CertificatesRight {
        /// The directory.
        directory: Text<'a>,
    },
    /// D5: a writable emptyDir above the directory serves it.
    ParentServes {
        /// The directory.
        directory: Text<'a>,
        /// The volume.
        volume: Text<'a>,
    },
    /// D4/D7: something of the author's no longer is where it was.
    Displaced {
        /// The volume.
        volume: Text<'a>,
        /// What it is, `secret` for one.
        kind: Text<'a>,
        /// The path that it was mounted at, as written.
        path: Text<'a>,
        /// The container that it was taken from, where others keep it.
        container: Option<Text<'a>>,
        /// The certificate directory.
        directory: Text<'a>,
        /// Where it is mounted now, with Relocate.
        now_at: Option<String>,
    },
    /// D7: a mount of the shared volume lost what kept it from being written or seen whole.
    Unrestricted {
        /// The container.
        container: Text<'a>,
        /// The mount's path, as written.
        path: Text<'a>,
        /// The fields that went.
        dropped: Vec<&'static str>,
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
    /// V7: image layers would count against a limit of local storage.
    StorageIsLimited {
        /// The policy's volume.
        volume: &'a str,
        /// The container that goes without.
        container: Text<'a>,
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
        directory: Text<'a>,
    },
    /// S1: the pod asks for the policies' nodes and tolerates their taints already.
    SchedulingRight,
    /// S1: the pod asks for another node.
    NodeSelectorDiffers {
        /// The label's key.
        key: &'a str,
        /// What the pod says.
        theirs: Text<'a>,
        /// What the policy says.
        ours: &'a str,
    },
    /// R1: dind has the registry's authority already.
    AuthorityRight {
        /// The registry.
        host: &'a str,
        /// The dind container.
        container: Text<'a>,
    },
    /// R1: something is mounted at, above or below the registry's directory.
    RegistryDirectoryTaken {
        /// The registry.
        host: &'a str,
        /// The dind container.
        container: Text<'a>,
        /// What is there.
        path: Text<'a>,
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
    /// R2: the client calls a port on which the daemon does not listen.
    HostMismatch {
        /// The host of `DOCKER_HOST`.
        host: Text<'a>,
        /// Whether dind uses TLS.
        tls: bool,
        /// Whether that follows from the variable or the version, and not from a default.
        is_known: bool,
    },
    /// R2: the client calls a host that no service of the job is called.
    HostIsNoAlias {
        /// Whether the host is `docker`; any other is the value of a variable, and not shown (T4).
        is_docker: bool,
        /// Whether services of the job have aliases, so that this one lacks its own. Without any
        /// the job may resolve names in another way.
        others_have: bool,
        /// The dind container.
        container: Text<'a>,
    },
    /// R2: the client has no `DOCKER_HOST`.
    NoDockerHost,
    /// R2: the kubelet writes no hosts file into a container that mounts its own.
    OwnHostsFile {
        /// The containers.
        containers: Vec<Text<'a>>,
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
    pub directory: Text<'a>,
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
            | Fact::TlsOffByVersion { .. }
            | Fact::NotGenerated { .. }
            | Fact::DirectoryUnknown { .. }
            | Fact::DirectoryShared { .. }
            | Fact::DirectoryNested { .. } => "D2",
            Fact::CertificatesRight { .. }
            | Fact::OtherDaemon { .. }
            | Fact::FallsBackToPlain { .. } => "D3",
            Fact::ParentServes { .. } => "D5",
            Fact::OwnAuthority { .. } => "D6",
            Fact::Displaced { .. } | Fact::Unrestricted { .. } => "D7",
            Fact::NotRelocated { .. } | Fact::Reported(_) | Fact::Denied(_) => "D8",
            Fact::LeftInvalid { .. } => "A4",
            Fact::PathTaken { .. } => "V2",
            Fact::NotForUnprivileged { .. } => "V5",
            Fact::StorageIsLimited { .. } => "V7",
            Fact::DataKeptApart { .. } | Fact::DataShared { .. } => "V3",
            Fact::InTheWay { .. } => "M6",
            Fact::SchedulingRight | Fact::NodeSelectorDiffers { .. } => "S1",
            Fact::AuthorityRight { .. } | Fact::RegistryDirectoryTaken { .. } => "R1",
            Fact::NotPrivileged { .. }
            | Fact::HostSocket { .. }
            | Fact::HostMismatch { .. }
            | Fact::HostIsNoAlias { .. }
            | Fact::NoDockerHost
            | Fact::OwnHostsFile { .. } => "R2",
        }
    }

    /// Returns the sentence, with the rule's code in brackets.
    #[must_use]
    pub fn with_rule(&self) -> String {
        format!("{self} ({})", self.rule())
    }

    /// Returns whom it concerns.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match &self.fact {
            // An emptyDir held nothing.
            Fact::Displaced { kind, .. } if &**kind == "emptyDir" => Audience::Team,
            Fact::HostAliasesRight
            | Fact::NoDind
            | Fact::TlsOff { .. }
            | Fact::TlsOffByVersion { .. }
            | Fact::NotGenerated {
                is_blocked: false, ..
            }
            | Fact::OtherDaemon {
                is_in_the_way: false,
                ..
            }
            | Fact::CertificatesRight { .. }
            | Fact::ParentServes { .. }
            | Fact::PathTaken { .. }
            | Fact::AuthorityRight { .. }
            | Fact::SchedulingRight => Audience::Curious,
            Fact::NoAddress { .. }
            | Fact::HostnamesUnknown { .. }
            | Fact::ImageUndecided { .. }
            | Fact::OwnAuthority { .. }
            | Fact::NotGenerated { .. }
            | Fact::OtherDaemon { .. }
            | Fact::FallsBackToPlain { .. }
            | Fact::StorageIsLimited { .. }
            | Fact::HostMismatch {
                is_known: false, ..
            }
            | Fact::HostIsNoAlias {
                others_have: false, ..
            }
            | Fact::NoDockerHost
            | Fact::NotForUnprivileged { .. }
            | Fact::InTheWay { .. }
            | Fact::NodeSelectorDiffers { .. }
            | Fact::RegistryDirectoryTaken { .. } => Audience::Team,
            Fact::Shadowed { .. }
            | Fact::DirectoryUnknown { .. }
            | Fact::DirectoryShared { .. }
            | Fact::DirectoryNested { .. }
            | Fact::Displaced { .. }
            | Fact::Unrestricted { .. }
            | Fact::NotRelocated { .. }
            | Fact::Reported(_)
            | Fact::Denied(_)
            | Fact::LeftInvalid { .. }
            | Fact::DataKeptApart { .. }
            | Fact::DataShared { .. }
            | Fact::NotPrivileged { .. }
            | Fact::HostSocket { .. }
            | Fact::HostMismatch { .. }
            | Fact::HostIsNoAlias { .. }
            | Fact::OwnHostsFile { .. } => Audience::Author,
        }
    }
}
