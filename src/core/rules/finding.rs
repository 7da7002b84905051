//! Findings: the reports of a rule, for example why it changed nothing, or which volume it
//! displaced.

use crate::core::pod::Text;
use crate::core::policy::{AddressSource, Policy};
use crate::core::quote::join_names;
use Audience::{Author, Explain, Team};
use std::fmt::{self, Write as _};

/// The audience of a finding. Each audience also receives the findings for the following ones.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Audience {
    /// Readers of `drydock mutate -o explain` only.
    Explain,
    /// The platform team: logs and audit annotations.
    Team,
    /// The author of the job: API warnings and Events.
    Author,
}

/// A finding, and the policy whose rule reports it.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) kind: FindingKind<'a>,
}

/// Declares the kinds of findings. A row has the fields, the rule, the audience, the sentence,
/// advice that only the platform team can follow, and a shorter sentence if the sentence exceeds
/// the length of an API warning.
macro_rules! findings {
    ($(#[$meta:meta])* enum $enum:ident<$life:lifetime> { $(
        $(#[$doc:meta])*
        $kind:ident $(($($field:ident: $type:ty),*))? => $rule:literal, $audience:expr,
        ($($sentence:tt)+) $(, team: $advice:expr)? $(, short: ($($short:tt)+))?;
    )+ }) => {
        $(#[$meta])*
        pub(crate) enum $enum<$life> { $($(#[$doc])* $kind $(($($type),*))?),+ }

        #[allow(unused_variables, reason = "a row uses some of the fields of its kind")]
        impl $enum<'_> {
            fn rule(&self) -> &'static str {
                match self { $(Self::$kind { .. } => $rule),+ }
            }

            fn audience(&self) -> Audience {
                match self { $(Self::$kind $(($($field),*))? => $audience),+ }
            }

            fn team_advice(&self) -> Option<&'static str> {
                match self {
                    $(Self::$kind $(($($field),*))? => findings!(@advice $($advice)?)),+
                }
            }

            fn write_short(&self, f: &mut impl fmt::Write) -> fmt::Result {
                match self {
                    $(Self::$kind $(($($field),*))? => findings!(@short self f $($($short)+)?)),+
                }
            }
        }

        #[allow(unused_variables, reason = "a row uses some of the fields of its kind")]
        impl fmt::Display for $enum<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$kind $(($($field),*))? => write!(f, $($sentence)+)),+ }
            }
        }
    };
    (@advice) => { None };
    (@advice $advice:expr) => { $advice };
    (@short $self:ident $f:ident) => { write!($f, "{}", $self) };
    (@short $self:ident $f:ident $($short:tt)+) => { write!($f, $($short)+) };
}

findings! {
/// The report of a finding.
#[derive(Clone, Debug)]
enum FindingKind<'a> {
    HostAliasesCorrect => "H1", Explain,
        ("every hostname of the policies already has the right addresses");
    HostnameShadowed(hostname: &'a str) => "H3", Author,
        ("{hostname} is mapped to the job itself, as the runner does for services, so the \
          policy's address is not used"),
        short: ("{hostname} is a service of this job, so the policy's address is not used");
    SourceWithoutAddress(hostname: &'a str, source: &'a AddressSource) => "H7", Team,
        ("{source} has no address now, so {hostname} is unchanged");
    SourceWithoutHostnames(source: &'a AddressSource) => "H7", Team,
        ("the hostnames of {source} come from its rules, and none is available: drydock has not \
          read it, or its rules name no host");

    NoDind => "D1", Explain,
        ("no container runs a Docker daemon, so nothing about docker is changed");
    /// `reference` is the image without its digest.
    UndecidedImage(container: Text<'a>, image: Text<'a>, reference: Text<'a>) => "D1", Team,
        ("container \"{container}\" has the image {image}, which does not show whether it runs a \
          Docker daemon, so nothing is changed for it; if it does, add it to the policy: \
          dind.images: [\"{reference}\"]");
    TlsOff(container: Text<'a>) => "D2", Explain,
        ("dind container \"{container}\" has an empty DOCKER_TLS_CERTDIR: it runs without TLS and \
          needs no certificates");
    TlsOffByVersion(container: Text<'a>) => "D2", Explain,
        ("dind container \"{container}\" runs without TLS, which is the default of its version, \
          and needs no certificates");
    /// `dockerd` is started directly, without the entrypoint.
    CertificatesNotGenerated(container: Text<'a>, directory: Text<'a>, is_mounted: bool) => "D2",
        if *is_mounted { Team } else { Explain },
        ("dind container \"{container}\" starts dockerd directly, without the entrypoint that \
          generates certificates, so {directory} is unchanged");
    DirectoryUnknown(container: Text<'a>, why: &'static str) => "D2", Author,
        ("the certificate directory of dind container \"{container}\" is unknown \
          (DOCKER_TLS_CERTDIR: {why}), so nothing is changed there"),
        short: ("the DOCKER_TLS_CERTDIR of container \"{container}\" is unknown, so nothing is \
          changed there");
    DirectoryShared(directory: Text<'a>, containers: Vec<Text<'a>>) => "D2", Author,
        ("the dind containers {} all write to {directory}, and each overwrites the CA of the \
          others; give each its own DOCKER_TLS_CERTDIR", quoted(containers)),
        short: ("two dind containers write to {directory}; give each its DOCKER_TLS_CERTDIR");
    DirectoryNested(directory: Text<'a>, outer: Text<'a>) => "D2", Author,
        ("the certificate directory {directory} lies in the directory {outer} of another dind \
          container and is unchanged");

    CertificatesCorrect(directory: Text<'a>) => "D3", Explain,
        ("dind can already write its client certificates to {directory}");
    RemoteDaemon(directory: Text<'a>, is_mounted: bool) => "D3",
        if *is_mounted { Team } else { Explain },
        ("DOCKER_HOST names a daemon that is no service of the job, so {directory} is unchanged: \
          it may contain the certificates for that daemon");
    /// The daemon starts without TLS because it cannot write, and the client expects no TLS.
    FallsBackToPlaintext(directory: Text<'a>) => "D3", Team,
        ("dind cannot write to {directory}, so this version starts without TLS on port 2375, which \
          DOCKER_HOST names; the directory is unchanged, but anyone who reaches the pod can use \
          that daemon");
    AncestorServes(directory: Text<'a>, volume: Text<'a>) => "D5", Explain,
        ("the writable emptyDir \"{volume}\" above {directory} contains it");
    /// A volume supplies the server certificates of dind.
    OwnPki(directory: Text<'a>, container: Text<'a>) => "D6", Team,
        ("dind container \"{container}\" gets its server certificates from a volume, so it has its \
          own CA and {directory} is unchanged");
    /// `container` lost the volume; `None` if no other container keeps it. With Relocate the volume
    /// is mounted at `now_at`.
    VolumeDisplaced(
        volume: Text<'a>, kind: Text<'a>, path: Text<'a>, container: Option<Text<'a>>,
        directory: Text<'a>, now_at: Option<Text<'a>>
    ) => "D7", if &**kind == "emptyDir" { Team } else { Author },
        ("{kind} volume \"{volume}\" is no longer mounted at {path}{}, because docker:dind must \
          write its client certificates to {directory}{}", in_container(container),
          optional("; it is mounted at ", now_at)),
        team: now_at.is_none().then_some("give dind the CA of a registry by the policy's registryCAs"),
        short: ("{kind} volume \"{volume}\" {}{path}{}: dind writes there",
          if now_at.is_some() { "moved from " } else { "was removed from " }, optional(" to ", now_at));
    /// A mount lost the fields that make it read-only or show a part of the volume.
    MountUnrestricted(container: Text<'a>, path: Text<'a>, dropped: Vec<&'static str>) => "D7",
        Author,
        ("the mount at {path} of container \"{container}\" lost {}, because docker:dind must write \
          its client certificates there", dropped.join(", "));
    NotRelocated(volume: Text<'a>, container: Text<'a>, path: Text<'a>, why: &'static str)
        => "D8", Author,
        ("volume \"{volume}\" is not mounted at {path} in container \"{container}\": {why}");
    ConflictReported(conflict: Conflict<'a>) => "D8", Author,
        ("{}; the policy only reports it (onConflict: Report)", conflict.sentence()),
        short: ("{}", conflict.short());
    ConflictDenied(conflict: Conflict<'a>, policy: &'a str) => "D8", Author,
        ("{} (JobPodPolicy \"{policy}\", onConflict: Deny)", conflict.sentence()),
        team: Some("remove that volume from the runner's config.toml or mount it elsewhere, and give \
          dind the CA of a registry by the policy's registryCAs"),
        short: ("{}", conflict.short());
    InvalidMount(container: Text<'a>, path: Text<'a>) => "A4", Author,
        ("container \"{container}\" has a mount at {path} that the API server refuses; it is \
          unchanged");

    PathInUse(volume: &'a str, container: Text<'a>, path: &'a str) => "V2", Explain,
        ("container \"{container}\" already has a mount at {path}, so volume \"{volume}\" is not \
          added");
    DataNotShared(volume: &'a str, container: Text<'a>) => "V3", Author,
        ("dind container \"{container}\" gets no volume \"{volume}\": two daemons cannot share one \
          data directory, and another daemon has it");
    DataShared(volume: Text<'a>, containers: Vec<Text<'a>>) => "V3", Author,
        ("the dind containers {} share volume \"{volume}\" for their data, which two daemons \
          cannot", quoted(containers));
    HostPathForUnprivileged(volume: &'a str, container: Text<'a>) => "V5", Team,
        ("container \"{container}\" is not privileged, so the node's directory \"{volume}\" is not \
          mounted in it");
    EphemeralStorageLimited(volume: &'a str, container: Text<'a>) => "V7", Team,
        ("container \"{container}\" gets no emptyDir \"{volume}\": image layers in it would count \
          against the pod's ephemeral-storage limit, and the kubelet would evict the pod");
    /// A policy's volume would hide a certificate directory that only the pod names.
    HidesCertificates(volume: &'a str, container: Text<'a>, directory: Text<'a>) => "M6", Team,
        ("volume \"{volume}\" is not mounted in container \"{container}\": it would hide \
          {directory}, where dind writes its certificates");

    SchedulingCorrect => "S1", Explain,
        ("the pod already has the policies' node selectors and tolerations");
    NodeSelectorDiffers(key: &'a str, theirs: Text<'a>, ours: &'a str) => "S1", Team,
        ("the pod keeps its node selector {key}={theirs}; the policy has {ours}");
    RegistryCaCorrect(host: &'a str, container: Text<'a>) => "R1", Explain,
        ("container \"{container}\" already has the CA of {host}");
    RegistryDirectoryInUse(host: &'a str, container: Text<'a>, path: Text<'a>) => "R1", Team,
        ("container \"{container}\" has a mount at {path}, so the CA of {host} is not added");

    UnprivilegedDind(container: Text<'a>) => "R2", Author,
        ("dind container \"{container}\" is not privileged; dockerd will not start"),
        team: Some("set privileged = true in the runner's config.toml");
    HostDockerSocket(volume: Text<'a>, path: Text<'a>) => "R2", Author,
        ("volume \"{volume}\" is the node's Docker socket {path}: the job's images and containers \
          run beside the cluster, not in it"),
        short: ("the job uses the node's Docker daemon ({path})");
    /// `tls`: whether dind listens with TLS. `is_default`: `tls` is a default, which the image may
    /// change.
    WrongPort(host: Text<'a>, tls: bool, is_default: bool) => "R2",
        if *is_default { Team } else { Author },
        ("DOCKER_HOST names port {}, but dind listens{} {} TLS on port {}; set DOCKER_HOST to \
          tcp://{host}:{}", port(!tls), if *is_default { " by default" } else { "" }, with(*tls),
          port(*tls), port(*tls)),
        short: ("DOCKER_HOST names port {}, but dind listens {} TLS on port {}", port(!tls),
          with(*tls), port(*tls));
    /// `others_have`: other services of the job have aliases.
    DockerWithoutAlias(container: Text<'a>, others_have: bool) => "R2",
        if *others_have { Author } else { Team },
        ("DOCKER_HOST names docker, and no service of the job has that name; give the service of \
          container \"{container}\" `alias: docker` in .gitlab-ci.yml"),
        short: ("DOCKER_HOST names docker, but no service has that name; give it `alias: docker`");
    /// The host is the value of a variable, so it is not shown (T4).
    HostWithoutAlias(container: Text<'a>, others_have: bool) => "R2",
        if *others_have { Author } else { Team },
        ("DOCKER_HOST names a host that is no service of the job; if it is the service of \
          container \"{container}\", give it that name as `alias` in .gitlab-ci.yml"),
        short: ("no service has the name in DOCKER_HOST; give the service of dind that alias");
    NoDockerHost => "R2", Team,
        ("the build container has no DOCKER_HOST, so unless the job's script sets it, the docker \
          client calls unix:///var/run/docker.sock, where no daemon listens");
    HostsFileMounted(containers: Vec<Text<'a>>) => "R2", Author,
        ("a volume is mounted at /etc/hosts in {}, so the kubelet writes no hostAliases there: \
          neither the policy's hostnames nor the names of the job's services resolve",
          quoted(containers)),
        team: Some("remove that volume from the runner's config.toml"),
        short: ("a volume at /etc/hosts hides the pod's hostAliases");
}
}

/// A mount that conflicts with the certificate directory of dind.
#[derive(Clone, Debug)]
pub(crate) struct Conflict<'a> {
    pub(super) container: Text<'a>,
    pub(super) volume: Text<'a>,
    /// The field of the volume's source, for example `secret`.
    pub(super) kind: Text<'a>,
    pub(super) path: Text<'a>,
    pub(super) directory: Text<'a>,
}

impl Finding<'_> {
    /// Returns the code of the rule, as in docs/rules.md.
    pub fn rule(&self) -> &'static str {
        self.kind.rule()
    }

    /// Returns the audience.
    pub fn audience(&self) -> Audience {
        self.kind.audience()
    }

    /// Returns the sentence, with the rule's code in brackets.
    pub fn with_rule(&self) -> String {
        format!("{self} ({})", self.rule())
    }

    /// Returns the sentence for the author of the job, who cannot change the runner or a policy.
    pub fn for_author(&self) -> String {
        match self.kind.team_advice() {
            Some(advice) => format!("{}; ask the platform team to {advice}", self.kind),
            None => self.kind.to_string(),
        }
    }

    /// Returns an API warning of at most 120 characters (T3).
    pub fn warning(&self, prefix: &str) -> String {
        const LIMIT: usize = 120;
        let mut text = String::with_capacity(2 * LIMIT);
        let written = write!(text, "{prefix}: ").and_then(|()| self.kind.write_short(&mut text));
        written.expect("writing to a String succeeds");
        match text.char_indices().nth(LIMIT) {
            Some(_) => text.chars().take(LIMIT - 1).chain(['…']).collect(),
            None => text,
        }
    }
}

/// `Display` writes the sentence for the platform team.
impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.kind.team_advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl Conflict<'_> {
    fn sentence(&self) -> String {
        let (kind, volume) = (&self.kind, &self.volume);
        format!(
            "container \"{}\" mounts {kind} volume \"{volume}\" at {}, but docker:dind must write \
             its client certificates to {}",
            self.container, self.path, self.directory
        )
    }

    fn short(&self) -> String {
        let (kind, volume, path) = (&self.kind, &self.volume, &self.path);
        format!("{kind} volume \"{volume}\" at {path} keeps dind from writing certificates")
    }
}

/// The port of a Docker daemon.
fn port(tls: bool) -> u16 {
    if tls { 2376 } else { 2375 }
}

fn with(tls: bool) -> &'static str {
    if tls { "with" } else { "without" }
}

fn in_container(container: &Option<Text<'_>>) -> String {
    let name = container.as_ref();
    name.map_or_else(String::new, |name| format!(" in container \"{name}\""))
}

/// Returns a path after some words; nothing without a path.
fn optional(words: &str, path: &Option<Text<'_>>) -> String {
    let path = path.as_ref();
    path.map_or_else(String::new, |path| format!("{words}{path}"))
}

fn quoted(names: &[Text<'_>]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    join_names(&names, " and ")
}
