//! The docker image of a container, and the program that it starts with its `command` and `args`.
//!
//! - `command` replaces the image's ENTRYPOINT and CMD, `args` its CMD (Kubernetes, "Define a
//!   Command and Arguments for a Container").
//! - The image's ENTRYPOINT is `dockerd-entrypoint.sh`, its CMD is empty (docker-library/docker,
//!   `Dockerfile-dind.template`).
//! - The entrypoint generates certificates only if it has no arguments or the first one begins with
//!   `-`. Otherwise it executes its arguments (`dockerd-entrypoint.sh`).
//! - TLS is the default since 19.03. Images of 18.09 have an empty `DOCKER_TLS_CERTDIR`
//!   (docker-library/docker 6438624).

use super::pod_model::{list, text};
use serde_json::Value;

/// Returns the name and tag of an image reference, without registry, path and digest.
pub fn name_and_tag(image: &str) -> (&str, Option<&str>) {
    let reference = image.split('@').next().unwrap_or_default();
    let last = reference.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (last, None),
    }
}

/// Returns the major and minor version of docker at the start of a container's image tag, or `None`
/// if the image is not named `docker`, because its tag may have another meaning.
pub fn version(container: &Value) -> Option<(u32, Option<u32>)> {
    let (name, tag) = name_and_tag(text(container, "image"));
    let mut numbers = tag
        .filter(|_| name == "docker")?
        .split('-')
        .next()?
        .split('.');
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next().and_then(|minor| minor.parse().ok())))
}

pub fn is_rootless(container: &Value) -> bool {
    let (_, tag) = name_and_tag(text(container, "image"));
    tag.is_some_and(|tag| tag == "dind-rootless" || tag.ends_with("-dind-rootless"))
}

/// The program that a container starts, if its command line shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// The entrypoint with these options for `dockerd`. It generates certificates if TLS is on.
    Entrypoint(Vec<String>),
    /// `dockerd` with exactly these options.
    Daemon(Vec<String>),
    Other,
    Unknown,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Start {
    pub program: Program,
    /// The variables that the program `env` sets, or unsets (`None`).
    pub env: Vec<(String, Option<String>)>,
}

/// Returns the program that a container with one of docker's dind images starts.
pub fn start(container: &Value) -> Start {
    let words = |field: &str| list(container, field).iter().filter_map(Value::as_str);
    let mut command: Vec<&str> = words("command").collect();
    if command.is_empty() {
        command.push("dockerd-entrypoint.sh");
    }
    command.extend(words("args"));
    let mut env = Vec::new();
    let program = program(&command, &mut env);
    Start { program, env }
}

fn program(words: &[&str], env: &mut Vec<(String, Option<String>)>) -> Program {
    let Some((first, rest)) = words.split_first() else {
        return Program::Unknown;
    };
    let options = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match first.rsplit('/').next().unwrap_or_default() {
        "dockerd-entrypoint.sh" => match rest.first() {
            Some(word) if !word.starts_with('-') => program(rest, env),
            _ => Program::Entrypoint(options(rest)),
        },
        name if name.starts_with("dockerd") => Program::Daemon(options(rest)),
        "tini" | "dumb-init" | "docker-init" => {
            let skipped = rest.iter().take_while(|word| word.starts_with('-')).count();
            program(&rest[skipped..], env)
        }
        "env" => {
            let mut rest = rest;
            loop {
                match rest {
                    ["-u", name, more @ ..] => {
                        env.push(((*name).to_owned(), None));
                        rest = more;
                    }
                    [word, more @ ..] if word.contains('=') && !word.starts_with('-') => {
                        let (name, value) = word.split_once('=').unwrap();
                        env.push((name.to_owned(), Some(value.to_owned())));
                        rest = more;
                    }
                    // The result is unknown without the image's variables, such as PATH.
                    [word, ..] if word.starts_with('-') => return Program::Unknown,
                    _ => return program(rest, env),
                }
            }
        }
        "sh" | "bash" | "ash" => match rest {
            ["-c", script, ..] => script_program(script, env),
            _ => Program::Unknown,
        },
        _ => Program::Other,
    }
}

/// Returns the program of the last command in a script of the form `A && B; exec C`.
fn script_program(script: &str, env: &mut Vec<(String, Option<String>)>) -> Program {
    if !script.contains("dockerd") {
        return Program::Other;
    }
    let plain = script.replace("&&", ";");
    if plain.contains(['&', '|', '$', '`', '"', '\'', '(']) {
        return Program::Unknown;
    }
    let last = plain.split(';').next_back().unwrap_or_default();
    let words: Vec<&str> = last
        .split_whitespace()
        .filter(|word| *word != "exec")
        .collect();
    match program(&words, env) {
        Program::Other => Program::Unknown,
        program => program,
    }
}

/// The TLS setup by the entrypoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tls {
    /// Certificates below this directory, which is not cleaned.
    Directory(String),
    Off,
    Unknown,
}

/// Returns the value of a variable, or `Err` if only the kubelet knows it. If several variables
/// have the name, the last one counts.
pub fn variable<'p>(container: &'p Value, name: &str) -> Result<Option<&'p str>, ()> {
    let mut variables = list(container, "env").iter();
    let Some(variable) = variables.rfind(|variable| text(variable, "name") == name) else {
        return Ok(None);
    };
    let is_elsewhere = variable
        .get("valueFrom")
        .is_some_and(|from| !from.is_null());
    match text(variable, "value") {
        _ if is_elsewhere => Err(()),
        value if value.contains("$(") => Err(()),
        value => Ok(Some(value)),
    }
}

/// Returns the TLS setup by `DOCKER_TLS_CERTDIR`: from the program `env`, otherwise from the
/// container, otherwise from the image.
pub fn tls(container: &Value, start: &Start) -> Tls {
    let name = "DOCKER_TLS_CERTDIR";
    let by_env = start.env.iter().rfind(|(set, _)| set == name);
    let value = match by_env {
        Some((_, value)) => Ok(Some(value.as_deref().unwrap_or_default())),
        None => variable(container, name),
    };
    match value {
        Err(()) => Tls::Unknown,
        Ok(None) if is_before_tls(container) => Tls::Off,
        Ok(None) => Tls::Directory("/certs".to_owned()),
        Ok(Some("")) => Tls::Off,
        Ok(Some(value)) if !value.starts_with('/') => Tls::Unknown,
        Ok(Some(value)) => Tls::Directory(value.to_owned()),
    }
}

/// Returns whether the image's version has no TLS by default. A tag without a version is a newer
/// one.
fn is_before_tls(container: &Value) -> bool {
    match version(container) {
        Some((19, Some(minor))) => minor < 3,
        Some((major, _)) => major < 19,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_entrypoint_generates_certificates_without_arguments_or_with_options() {
        let starts = |container: Value| start(&container).program;
        assert_eq!(starts(json!({})), Program::Entrypoint(vec![]));
        assert_eq!(
            starts(json!({"args": ["--mtu=1400"]})),
            Program::Entrypoint(options(&["--mtu=1400"]))
        );
        assert_eq!(
            starts(json!({"args": ["dockerd", "--tls"]})),
            Program::Daemon(options(&["--tls"]))
        );
        assert_eq!(
            starts(json!({"command": ["dockerd"]})),
            Program::Daemon(vec![])
        );
        assert_eq!(
            starts(json!({"command": ["sleep", "dockerd"]})),
            Program::Other
        );
    }

    #[test]
    fn a_launcher_starts_the_following_program() {
        let starts = |words: Value| start(&json!({"command": words}));
        let entrypoint = Program::Entrypoint(vec![]);
        let env = starts(json!([
            "env",
            "-u",
            "DOCKER_HOST",
            "A=b",
            "dockerd-entrypoint.sh"
        ]));
        assert_eq!(env.program, entrypoint);
        let variables = [("DOCKER_HOST", None), ("A", Some("b"))];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        assert_eq!(env.env, variables);
        let shell = starts(json!([
            "sh",
            "-c",
            "update-ca-certificates && exec dockerd-entrypoint.sh"
        ]));
        assert_eq!(shell.program, entrypoint);
        let background = starts(json!(["sh", "-c", "dockerd & sleep 9"]));
        assert_eq!(background.program, Program::Unknown);
        assert_eq!(
            starts(json!(["tini", "--", "dockerd"])).program,
            Program::Daemon(vec![])
        );
    }

    #[test]
    fn tls_is_the_default_since_19_03() {
        let tls_of = |container: Value| tls(&container, &start(&container));
        let certs = Tls::Directory("/certs".to_owned());
        assert_eq!(tls_of(json!({"image": "docker:18.09.7-dind"})), Tls::Off);
        for image in [
            "docker:19-dind",
            "docker:19.03-dind",
            "docker:28",
            "docker:dind",
        ] {
            assert_eq!(tls_of(json!({"image": image})), certs, "{image}");
        }
        let set = json!([{"name": "DOCKER_TLS_CERTDIR", "value": "/certs"}]);
        assert_eq!(
            tls_of(json!({"image": "docker:18.09-dind", "env": set})),
            certs
        );
        let unset = json!(["env", "-u", "DOCKER_TLS_CERTDIR", "dockerd-entrypoint.sh"]);
        assert_eq!(
            tls_of(json!({"image": "docker:28-dind", "command": unset})),
            Tls::Off
        );
    }
}
