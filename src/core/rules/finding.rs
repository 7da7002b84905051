//! Findings: the reports of a rule, for example why it changed nothing, or which volume it
//! displaced.

use crate::core::pod::Text;
use crate::core::policy::{AddressSource, Policy};
use crate::core::quote::join_names;
use Audience::{Author, Explain, Team};
use std::fmt::{self, Write as _};

/// The audience of a finding. The platform team also receives the findings for the author of the
/// job, and readers of `explain` receive all findings.
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

/// Declares the kinds of findings. Each row has the fields of a kind, its rule, its audience and
/// its sentence. Optional are advice that only the platform team can follow, and a shorter sentence
/// for an API warning if the sentence is too long for one.
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
/// The kind of a finding, with the values in its sentence.
#[derive(Clone, Debug)]
enum FindingKind<'a> {
    HostAliasesCorrect => "H1", Explain,
        ("hostAliases already maps every hostname of the policies to the policies' addresses");
    HostnameShadowed(hostname: &'a str) => "H3", Author,
        ("{hostname} has a loopback address in hostAliases, like a service of the job, so the \
          policy's address is not used"),
        short: ("{hostname} is a service of this job, so the policy's address is not used");
    SourceWithoutAddress(hostname: &'a str, source: &'a AddressSource) => "H7", Team,
        ("{source} has no address, so the hostAliases entries of {hostname} are unchanged");
    SourceWithoutHostnames(source: &'a AddressSource) => "H7", Team,
        ("no hostname is available from the rules of {source}: drydock has not read it, or its rules \
          name no host");

    NoDind => "D1", Explain,
        ("no container runs a Docker daemon, so the policies' dind settings do not apply");
    /// `reference` is the image without its digest.
    UndecidedImage(container: Text<'a>, image: Text<'a>, reference: Text<'a>) => "D1", Team,
        ("the image {image} of container \"{container}\" does not show whether it runs a Docker \
          daemon, so it is not treated as dind; if it runs one, add it to the policy: \
          dind.images: [\"{reference}\"]");
    TlsOff(container: Text<'a>) => "D2", Explain,
        ("dind container \"{container}\" has an empty DOCKER_TLS_CERTDIR, so it runs without TLS and \
          needs no certificates");
    TlsOffByVersion(container: Text<'a>) => "D2", Explain,
        ("dind container \"{container}\" runs without TLS, the default of its docker version, and \
          needs no certificates");
    /// `dockerd` is started directly, without the entrypoint.
    CertificatesNotGenerated(container: Text<'a>, directory: Text<'a>, is_mounted: bool) => "D2",
        if *is_mounted { Team } else { Explain },
        ("dind container \"{container}\" starts dockerd directly, without the entrypoint that \
          generates certificates, so {directory} is unchanged");
    DirectoryUnknown(container: Text<'a>, why: &'static str) => "D2", Author,
        ("the certificate directory of dind container \"{container}\" is unknown, because \
          DOCKER_TLS_CERTDIR {why}; its mounts are unchanged"),
        short: ("the certificate directory of container \"{container}\" is unknown, so its mounts \
          are unchanged");
    DirectoryShared(directory: Text<'a>, containers: Vec<Text<'a>>) => "D2", Author,
        ("the dind containers {} all write to {directory}, and each overwrites the CA of the \
          others; give each its own DOCKER_TLS_CERTDIR", quoted(containers)),
        short: ("several dind containers write to {directory}; give each its own DOCKER_TLS_CERTDIR");
    DirectoryNested(directory: Text<'a>, outer: Text<'a>) => "D2", Author,
        ("the certificate directory {directory} is inside {outer}, the certificate directory of \
          another dind container, so it is unchanged"),
        short: ("{directory} is unchanged: another dind container writes to {outer} above it");

    CertificatesCorrect(directory: Text<'a>) => "D3", Explain,
        ("dind can already write its client certificates to {directory}");
    RemoteDaemon(directory: Text<'a>, is_mounted: bool) => "D3",
        if *is_mounted { Team } else { Explain },
        ("DOCKER_HOST names a daemon outside the pod, so {directory} is unchanged: it may contain \
          the certificates for that daemon");
    /// The daemon starts without TLS because it cannot write, and the client expects no TLS.
    FallsBackToPlaintext(directory: Text<'a>) => "D3", Team,
        ("dind cannot write to {directory}, so this version of dind listens without TLS on port \
          2375, the port in DOCKER_HOST; the directory is unchanged, but every client that can reach \
          the pod can use the daemon");
    AncestorServes(directory: Text<'a>, volume: Text<'a>) => "D5", Explain,
        ("{directory} is already in the writable emptyDir \"{volume}\", which is mounted above it");
    /// A volume supplies the server certificates of dind.
    OwnPki(directory: Text<'a>, container: Text<'a>) => "D6", Team,
        ("dind container \"{container}\" gets its server certificates from a volume, so it has its \
          own CA and {directory} is unchanged");
    /// `container` is the container that lost the mount. It is set if the mount was above the
    /// directory and the volume has other mounts. `now_at` is the new mount path with
    /// `onConflict: Relocate`.
    VolumeDisplaced(
        volume: Text<'a>, kind: Text<'a>, path: Text<'a>, container: Option<Text<'a>>,
        directory: Text<'a>, now_at: Option<Text<'a>>
    ) => "D7", if &**kind == "emptyDir" { Team } else { Author },
        ("{kind} volume \"{volume}\" is no longer mounted at {path}{}, because docker:dind must \
          write its client certificates to {directory}{}", in_container(container),
          optional("; the volume is now mounted at ", now_at)),
        team: now_at.is_none().then_some("set dind.registryCAs in the policy if dind needs the CA of \
          a registry"),
        short: ("{kind} volume \"{volume}\" was {} from {path}: dind writes there",
          if now_at.is_some() { optional("moved to ", now_at) } else { "removed".to_owned() });
    /// A mount lost the fields that make it read-only or show a part of the volume.
    MountUnrestricted(container: Text<'a>, path: Text<'a>, dropped: Vec<&'static str>) => "D7",
        Author,
        ("the mount at {path} of container \"{container}\" lost {}, because docker:dind must write \
          its client certificates there", dropped.join(", ")),
        short: ("the mount at {path} of container \"{container}\" lost {}: dind writes there",
          dropped.join(", "));
    NotRelocated(volume: Text<'a>, container: Text<'a>, path: Text<'a>, why: &'static str)
        => "D8", Author,
        ("volume \"{volume}\" is not mounted at {path} in container \"{container}\": {why}");
    ConflictReported(conflict: Conflict<'a>) => "D8", Author,
        ("{}; the policy only reports conflicts (onConflict: Report)", conflict.sentence()),
        short: ("{}", conflict.short());
    ConflictDenied(conflict: Conflict<'a>, policy: &'a str) => "D8", Author,
        ("{} (JobPodPolicy \"{policy}\", onConflict: Deny)", conflict.sentence()),
        team: Some("remove that volume from the runner's config.toml or mount it elsewhere, and set \
          dind.registryCAs in the policy if dind needs the CA of a registry"),
        short: ("{}", conflict.short());
    InvalidMount(container: Text<'a>, path: Text<'a>) => "A4", Author,
        ("the API server refuses the mount at {path} of container \"{container}\", so drydock does \
          not change it");

    PathInUse(volume: &'a str, container: Text<'a>, path: &'a str) => "V2", Explain,
        ("container \"{container}\" already has a mount at {path}, so volume \"{volume}\" is not \
          added");
    DataNotShared(volume: &'a str, container: Text<'a>) => "V3", Author,
        ("volume \"{volume}\" is not mounted in dind container \"{container}\": two daemons cannot \
          share a data directory");
    DataShared(volume: Text<'a>, containers: Vec<Text<'a>>) => "V3", Author,
        ("the dind containers {} share volume \"{volume}\" as their data directory, so only one \
          daemon can start", quoted(containers));
    HostPathForUnprivileged(volume: &'a str, container: Text<'a>) => "V5", Team,
        ("container \"{container}\" is not privileged, so the hostPath volume \"{volume}\" is not \
          mounted in it");
    EphemeralStorageLimited(volume: &'a str, container: Text<'a>) => "V7", Team,
        ("the emptyDir \"{volume}\" is not mounted in container \"{container}\": image layers in it \
          would count against the pod's ephemeral-storage limit, and the kubelet could evict the pod");
    /// A policy's volume would hide a certificate directory that the pod sets.
    HidesCertificates(volume: &'a str, container: Text<'a>, directory: Text<'a>) => "M6", Team,
        ("volume \"{volume}\" is not mounted in container \"{container}\": it would hide \
          {directory}, where dind writes its certificates");

    SchedulingCorrect => "S1", Explain,
        ("the pod already has the policies' node selectors and tolerations");
    NodeSelectorDiffers(key: &'a str, theirs: Text<'a>, ours: &'a str) => "S1", Team,
        ("the pod keeps its node selector {key}={theirs}; the policy has {key}={ours}");
    RegistryCaCorrect(host: &'a str, container: Text<'a>) => "R1", Explain,
        ("container \"{container}\" already has the CA of {host}");
    RegistryDirectoryInUse(host: &'a str, container: Text<'a>, path: Text<'a>) => "R1", Team,
        ("container \"{container}\" has a mount at {path}, so the CA of {host} is not added");

    UnprivilegedDind(container: Text<'a>) => "R2", Author,
        ("dind container \"{container}\" is not privileged, so dockerd cannot start"),
        team: Some("set privileged = true in the runner's config.toml");
    HostDockerSocket(volume: Text<'a>, path: Text<'a>) => "R2", Author,
        ("volume \"{volume}\" is the node's Docker socket {path}, so the job's containers run on the \
          node, outside of Kubernetes"),
        short: ("the job uses the node's Docker daemon ({path})");
    /// `tls` says whether dind listens with TLS. `is_default` says whether this is an assumption,
    /// because the version of the image is unknown.
    WrongPort(host: Text<'a>, tls: bool, is_default: bool) => "R2",
        if *is_default { Team } else { Author },
        ("DOCKER_HOST names port {}, but dind listens{} {} TLS on port {}; set DOCKER_HOST to \
          tcp://{host}:{}", port(!tls), if *is_default { " by default" } else { "" },
          with_or_without(*tls), port(*tls), port(*tls)),
        short: ("DOCKER_HOST names port {}, but dind listens {} TLS on port {}", port(!tls),
          with_or_without(*tls), port(*tls));
    /// `others_have` says whether other services of the job have aliases.
    DockerWithoutAlias(container: Text<'a>, others_have: bool) => "R2",
        if *others_have { Author } else { Team },
        ("the host in DOCKER_HOST is docker, but no service of the job has that alias; set \
          `alias: docker` for the service of container \"{container}\" in .gitlab-ci.yml"),
        short: ("the host in DOCKER_HOST is docker, but no service has that alias; set \
          `alias: docker`");
    /// The host is the value of a variable, so it is not shown (T4).
    HostWithoutAlias(container: Text<'a>, others_have: bool) => "R2",
        if *others_have { Author } else { Team },
        ("no service of the job has the host in DOCKER_HOST as its alias; if the host is container \
          \"{container}\", set it as the `alias` of that service in .gitlab-ci.yml"),
        short: ("no service has the host in DOCKER_HOST as its alias; set that `alias` for dind");
    NoDockerHost => "R2", Team,
        ("the build container has no DOCKER_HOST; unless the job's script sets it, the docker client \
          calls unix:///var/run/docker.sock, where no daemon listens");
    HostsFileMounted(containers: Vec<Text<'a>>) => "R2", Author,
        ("a volume is mounted at /etc/hosts in {}, so the kubelet does not add hostAliases there: \
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

    /// Returns the audience of the finding.
    pub fn audience(&self) -> Audience {
        self.kind.audience()
    }

    /// Returns the sentence with the code of the rule in brackets.
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
        written.expect("writing to a String should succeed");
        match text.char_indices().nth(LIMIT) {
            Some(_) => text.chars().take(LIMIT - 1).chain(['…']).collect(),
            None => text,
        }
    }
}

/// Writes the sentence for the platform team.
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

/// Returns the port on which dind listens.
fn port(tls: bool) -> u16 {
    if tls { 2376 } else { 2375 }
}

fn with_or_without(tls: bool) -> &'static str {
    if tls { "with" } else { "without" }
}

fn in_container(container: &Option<Text<'_>>) -> String {
    let name = container.as_ref();
    name.map_or_else(String::new, |name| format!(" in container \"{name}\""))
}

/// Returns `words` followed by the path, or an empty string if there is no path.
fn optional(words: &str, path: &Option<Text<'_>>) -> String {
    let path = path.as_ref();
    path.map_or_else(String::new, |path| format!("{words}{path}"))
}

fn quoted(names: &[Text<'_>]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    join_names(&names, " and ")
}
