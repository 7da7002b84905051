//! A pod as the contract reads it. Nothing of drydock's own reading is used here.

use serde_json::Value;

/// The items of a list, which may be missing or null.
pub fn list<'v>(object: &'v Value, field: &str) -> &'v [Value] {
    object
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A text, empty where there is none.
pub fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Where a mount path lands in the container.
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

/// Whether a clean path lies below a clean directory.
pub fn is_below(path: &str, directory: &str) -> bool {
    path != directory && path.starts_with(&format!("{}/", directory.trim_end_matches('/')))
}

/// Whether one of two clean paths is the other, or above it.
pub fn overlap(a: &str, b: &str) -> bool {
    a == b || is_below(a, b) || is_below(b, a)
}

pub fn parent(path: &str) -> String {
    clean(&format!("{path}/.."))
}

/// Where a mount is mounted.
pub fn path(mount: &Value) -> String {
    clean(text(mount, "mountPath"))
}

pub fn is_read_only(mount: &Value) -> bool {
    mount.get("readOnly") == Some(&Value::Bool(true))
}

pub fn has_sub_path(mount: &Value) -> bool {
    !text(mount, "subPath").is_empty() || !text(mount, "subPathExpr").is_empty()
}

/// What is known about something that the contract leaves room in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    Yes,
    No,
    /// The contract leaves room.
    Open,
}

/// The sources that the generator knows of today's Kubernetes.
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

/// The field of a volume that is its source: one that is known, else whatever is there; `emptyDir` is what the API server makes of none.
pub fn source_of(volume: &Value) -> &str {
    let fields = volume.as_object().into_iter().flatten();
    let named = fields.filter(|(name, value)| *name != "name" && !value.is_null());
    let names: Vec<&str> = named.map(|(name, _)| name.as_str()).collect();
    let known = names.iter().find(|name| SOURCES.contains(name));
    known.or(names.first()).copied().unwrap_or("emptyDir")
}

pub fn is_memory(volume: &Value) -> bool {
    source_of(volume) == "emptyDir"
        && volume.pointer("/emptyDir/medium").and_then(Value::as_str) == Some("Memory")
}

/// Whether a mount cannot be written to (D4).
pub fn is_unwritable(mount: &Value, volume: Option<&Value>) -> Answer {
    if is_read_only(mount) {
        return Answer::Yes;
    }
    match volume.map(source_of) {
        Some("secret" | "configMap" | "projected" | "downwardAPI" | "image") => Answer::Yes,
        Some("emptyDir" | "hostPath" | "persistentVolumeClaim" | "nfs" | "ephemeral" | "csi") => {
            Answer::No
        }
        // What a source of a later Kubernetes is cannot be known.
        _ => Answer::Open,
    }
}

/// A container and what the rules ask of it.
#[derive(Clone, Debug)]
pub struct Container<'p> {
    /// `containers` or `initContainers`, and the index there.
    pub place: (&'static str, usize),
    pub json: &'p Value,
    pub name: &'p str,
    pub is_build: bool,
    /// A member of `containers` or a native sidecar.
    pub runs_along: bool,
    pub is_dind: bool,
}

impl<'p> Container<'p> {
    pub fn mounts(&self) -> &'p [Value] {
        list(self.json, "volumeMounts")
    }

    pub fn is_privileged(&self) -> bool {
        self.json.pointer("/securityContext/privileged") == Some(&Value::Bool(true))
    }

    /// V6.
    pub fn is_rootless(&self) -> bool {
        let (_, tag) = name_and_tag(text(self.json, "image"));
        tag.is_some_and(|tag| tag.ends_with("-dind-rootless"))
    }

    /// D2: `Ok(None)` where TLS is off, an error where the directory cannot be known.
    pub fn certificate_root(&self) -> Result<Option<String>, ()> {
        let variables = list(self.json, "env");
        let is_it = |variable: &&Value| text(variable, "name") == "DOCKER_TLS_CERTDIR";
        let Some(variable) = variables.iter().rfind(is_it) else {
            return Ok(Some("/certs".to_owned()));
        };
        if variable
            .get("valueFrom")
            .is_some_and(|source| !source.is_null())
        {
            return Err(());
        }
        match text(variable, "value") {
            "" => Ok(None),
            value if value.contains("$(") || !value.starts_with('/') => Err(()),
            value => Ok(Some(clean(value))),
        }
    }
}

/// All containers of a pod; `globs` are the policies' `dind.images`.
pub fn containers<'p>(pod: &'p Value, globs: &[&str]) -> Vec<Container<'p>> {
    let mut found = Vec::new();
    for place in ["containers", "initContainers"] {
        for (index, json) in list(&pod["spec"], place).iter().enumerate() {
            let name = text(json, "name");
            let runs_along = place == "containers" || text(json, "restartPolicy") == "Always";
            let is_runners = place == "containers" && matches!(name, "build" | "helper");
            found.push(Container {
                place: (place, index),
                json,
                name,
                is_build: place == "containers" && name == "build",
                runs_along,
                is_dind: runs_along && !is_runners && is_dind(json, globs),
            });
        }
    }
    found
}

/// D1.
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

fn name_and_tag(image: &str) -> (&str, Option<&str>) {
    let reference = image.split('@').next().unwrap_or_default();
    let last = reference.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (last, None),
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
    let words = |field| -> Option<Vec<&str>> {
        let words = container.get(field).filter(|words| !words.is_null())?;
        words
            .as_array()
            .map(|words| words.iter().filter_map(Value::as_str).collect())
    };
    match (words("command"), words("args")) {
        (Some(command), _) => starts_dockerd(&command),
        (None, None) => true,
        (None, Some(args)) => {
            args.first().is_some_and(|first| first.starts_with('-')) || starts_dockerd(&args)
        }
    }
}

fn starts_dockerd(words: &[&str]) -> bool {
    let program = words
        .first()
        .and_then(|word| word.rsplit('/').next())
        .unwrap_or_default();
    let is_shell = matches!(
        program,
        "sh" | "bash" | "ash" | "tini" | "dumb-init" | "docker-init"
    );
    program.starts_with("dockerd")
        || (is_shell && words.iter().any(|word| word.contains("dockerd")))
}

/// The volume of a name; `None` where there is none or several.
pub fn volume<'p>(pod: &'p Value, name: &str) -> Option<&'p Value> {
    let mut named = list(&pod["spec"], "volumes")
        .iter()
        .filter(|volume| text(volume, "name") == name);
    named.next().filter(|_| named.next().is_none())
}
