//! Reads pods for the laws, independently of drydock's code.

use super::container_start::{self, Program, Tls, name_and_tag};
use serde_json::Value;

/// Returns the items of a list, or no items if it is missing or null.
pub fn list<'v>(object: &'v Value, field: &str) -> &'v [Value] {
    object
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Returns a string field, or an empty string if it is missing.
pub fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Returns the cleaned form of a mount path.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Returns whether a cleaned path is below a cleaned directory.
pub fn is_below(path: &str, directory: &str) -> bool {
    path != directory && path.starts_with(&format!("{}/", directory.trim_end_matches('/')))
}

/// Returns whether two cleaned paths are equal or one is above the other.
pub fn overlap(a: &str, b: &str) -> bool {
    a == b || is_below(a, b) || is_below(b, a)
}

pub fn parent(path: &str) -> String {
    clean(&format!("{path}/.."))
}

/// Returns the cleaned path of a mount.
pub fn path(mount: &Value) -> String {
    clean(text(mount, "mountPath"))
}

pub fn is_read_only(mount: &Value) -> bool {
    mount.get("readOnly") == Some(&Value::Bool(true))
}

pub fn has_sub_path(mount: &Value) -> bool {
    !text(mount, "subPath").is_empty() || !text(mount, "subPathExpr").is_empty()
}

/// The answer to a question that the pod and the rules may not determine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    Yes,
    No,
    /// Not determined.
    Open,
}

/// The volume sources of Kubernetes that the generator uses.
const SOURCES: [&str; 11] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "hostPath",
    "image",
    "nfs",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Returns the name of a volume's source: a known one, otherwise any other field, otherwise
/// `emptyDir`, which is the API server's default.
pub fn source_of(volume: &Value) -> &str {
    let fields = volume.as_object().into_iter().flatten();
    let named = fields.filter(|(name, value)| *name != "name" && !value.is_null());
    let names: Vec<&str> = named.map(|(name, _)| name.as_str()).collect();
    let known = names.iter().find(|name| SOURCES.contains(name));
    known.or(names.first()).copied().unwrap_or("emptyDir")
}

/// Returns whether a container cannot write to a mount (rule D4).
pub fn is_unwritable(mount: &Value, volume: Option<&Value>) -> Answer {
    if is_read_only(mount) {
        return Answer::Yes;
    }
    match volume.map(source_of) {
        Some("secret" | "configMap" | "projected" | "downwardAPI" | "image") => Answer::Yes,
        Some("emptyDir" | "hostPath" | "persistentVolumeClaim" | "nfs" | "ephemeral" | "csi") => {
            Answer::No
        }
        // A source that only a later version of Kubernetes has.
        _ => Answer::Open,
    }
}

/// A container, and properties that the rules need.
#[derive(Clone, Debug)]
pub struct Container<'p> {
    /// `containers` or `initContainers`, and the index.
    pub place: (&'static str, usize),
    pub json: &'p Value,
    pub name: &'p str,
    pub is_build: bool,
    /// Whether it runs with the job: in `containers`, or a native sidecar.
    pub runs_along: bool,
    pub is_dind: bool,
    /// Whether its image may contain a daemon, which is reported (rule D1).
    pub is_undecided: bool,
}

impl<'p> Container<'p> {
    pub fn mounts(&self) -> &'p [Value] {
        list(self.json, "volumeMounts")
    }

    pub fn is_privileged(&self) -> bool {
        self.json.pointer("/securityContext/privileged") == Some(&Value::Bool(true))
    }

    /// Returns whether the image is rootless dind (rule V6).
    pub fn is_rootless(&self) -> bool {
        container_start::is_rootless(self.json)
    }

    /// Returns the cleaned directory below which it generates certificates, `Ok(None)` if it
    /// generates none, and an error if the directory is unknown (rule D2).
    pub fn certificate_root(&self) -> Result<Option<String>, ()> {
        let start = container_start::start(self.json);
        if !matches!(start.program, Program::Entrypoint(_)) {
            return Ok(None);
        }
        match container_start::tls(self.json, &start) {
            Tls::Unknown => Err(()),
            Tls::Off => Ok(None),
            Tls::Directory(root) => Ok(Some(clean(&root))),
        }
    }

    /// Returns the certificate directory of a daemon that is started directly, and therefore
    /// generates no certificates (rule D2).
    pub fn ungenerated_directory(&self) -> Option<String> {
        let start = container_start::start(self.json);
        match (&start.program, container_start::tls(self.json, &start)) {
            (Program::Daemon(_), Tls::Directory(root)) => Some(clean(&format!("{root}/client"))),
            _ => None,
        }
    }

    /// Returns whether rule D2 does not determine if certificates are generated: the container runs
    /// an unknown script, or an image that is dind only because a policy lists it.
    pub fn may_generate(&self) -> bool {
        let is_dockers = has_dind_image(text(self.json, "image"));
        match container_start::start(self.json).program {
            Program::Unknown => true,
            Program::Other | Program::Daemon(_) => !is_dockers,
            Program::Entrypoint(_) => false,
        }
    }
}

/// Returns all containers of a pod. `globs` are the policies' `dind.images`.
pub fn containers<'p>(pod: &'p Value, globs: &[&str]) -> Vec<Container<'p>> {
    let mut found = Vec::new();
    for place in ["containers", "initContainers"] {
        for (index, json) in list(&pod["spec"], place).iter().enumerate() {
            let name = text(json, "name");
            let runs_along = place == "containers" || text(json, "restartPolicy") == "Always";
            let is_runners = place == "containers" && matches!(name, "build" | "helper");
            let may_be = runs_along && !is_runners;
            let is_dind = may_be && is_dind(json, globs);
            let image = text(json, "image");
            found.push(Container {
                place: (place, index),
                json,
                name,
                is_build: place == "containers" && name == "build",
                runs_along,
                is_dind,
                is_undecided: may_be && !is_dind && !has_dind_image(image) && is_called_dind(image),
            });
        }
    }
    found
}

/// Returns whether a container is dind (rule D1).
fn is_dind(container: &Value, globs: &[&str]) -> bool {
    let image = text(container, "image");
    let reference = image.split('@').next().unwrap_or_default();
    if globs.iter().any(|glob| fits(glob, reference)) {
        return true;
    }
    has_dind_image(image) && has_dind_command(container)
}

fn fits(glob: &str, text: &str) -> bool {
    match glob.split_once('*') {
        None => glob == text,
        Some((before, rest)) => text.strip_prefix(before).is_some_and(|text| {
            (0..=text.len())
                .any(|skipped| text.is_char_boundary(skipped) && fits(rest, &text[skipped..]))
        }),
    }
}

fn has_dind_image(image: &str) -> bool {
    let (name, tag) = name_and_tag(image);
    let Some(tag) = tag else {
        return name == "docker" && !image.contains('@');
    };
    let (version, rest) = match tag.find('-') {
        Some(dash) => tag.split_at(dash),
        None => (tag, ""),
    };
    let major: Option<u32> = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    let is_plain =
        matches!(rest, "" | "-git") || rest.starts_with("-alpine") || rest.starts_with("-rc");
    let is_new = major.is_some_and(|major| major >= 23) && is_plain;
    name == "docker" && (tag == "latest" || tag.split('-').any(|part| part == "dind") || is_new)
}

fn has_dind_command(container: &Value) -> bool {
    let words = |field: &str| list(container, field).iter().filter_map(Value::as_str);
    let (command, args): (Vec<&str>, Vec<&str>) =
        (words("command").collect(), words("args").collect());
    if command.is_empty() {
        let is_option = args.first().is_none_or(|first| first.starts_with('-'));
        return is_option || starts_dockerd(&args);
    }
    starts_dockerd(&[command, args].concat())
}

fn starts_dockerd(words: &[&str]) -> bool {
    let program = words
        .first()
        .and_then(|word| word.rsplit('/').next())
        .unwrap_or_default();
    let launchers = [
        "sh",
        "bash",
        "ash",
        "tini",
        "dumb-init",
        "docker-init",
        "env",
    ];
    program.starts_with("dockerd")
        || (launchers.contains(&program) && words.iter().any(|word| word.contains("dockerd")))
}

/// Returns whether an image has `dind` as a part of its name or tag (rule D1).
fn is_called_dind(image: &str) -> bool {
    let (name, tag) = name_and_tag(image);
    let is_part = |text: &str| text.split(['-', '.', '_']).any(|part| part == "dind");
    is_part(name) || tag.is_some_and(is_part)
}

/// Returns the volume with a name, or `None` if there is none or more than one.
pub fn volume<'p>(pod: &'p Value, name: &str) -> Option<&'p Value> {
    let mut named = list(&pod["spec"], "volumes")
        .iter()
        .filter(|volume| text(volume, "name") == name);
    named.next().filter(|_| named.next().is_none())
}
