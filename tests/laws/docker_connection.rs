//! A model of a running job pod: whether the docker client in `build` can use a daemon.
//!
//! It models the files that dind generates ([`daemon`]), the paths that the client reads
//! ([`client`]) and the mounts by the kubelet ([`mounts`]), each from its documentation or source
//! code. It uses neither code nor rules of drydock. The answer is `Open` if the pod alone does not
//! determine it. The model assumes that other machines exist, and that Secrets have valid content.

#[path = "docker_connection/client.rs"]
mod client;
#[path = "docker_connection/daemon.rs"]
mod daemon;
#[path = "docker_connection/mounts.rs"]
pub mod mounts;
#[path = "docker_connection/other_files.rs"]
pub mod other_files;
#[cfg(test)]
#[path = "docker_connection/tests.rs"]
mod tests;

use super::pod_model::{self, Answer, clean, list, text};
use client::{Client, Target, client};
use daemon::{Daemon, FILES, Security, daemon};
use mounts::{Place, all, is, place, starts, supplies};
use serde_json::Value;

/// Returns whether the client in `build` reaches a daemon that accepts it.
pub fn works(pod: &Value) -> Answer {
    let mut containers = list(&pod["spec"], "containers").iter();
    let Some(build) = containers.find(|container| text(container, "name") == "build") else {
        return Answer::Open;
    };
    let Some(client) = client(pod, build) else {
        return Answer::Open;
    };
    let reached = match &client.target {
        Target::Unknown => Answer::Open,
        Target::Remote => remote(pod, build, &client),
        Target::Socket(path) => socket(pod, build, path),
        Target::Pod(port) => port_of_pod(pod, build, &client, *port),
    };
    all([starts(pod), reached])
}

/// Returns the daemons of the pod.
fn daemons(pod: &Value) -> Vec<Daemon> {
    let containers = pod_model::containers(pod, &[]);
    let beside = containers.iter().filter(|container| {
        container.runs_along
            && !(container.place.0 == "containers" && matches!(container.name, "build" | "helper"))
    });
    beside
        .map(|container| daemon(pod, container.json))
        .collect()
}

fn remote(pod: &Value, build: &Value, client: &Client) -> Answer {
    match &client.certificates {
        None => Answer::Yes,
        Some(directory) => supplied(pod, build, directory),
    }
}

/// Returns the number of daemons that may start. They share the pod's network, so a second daemon
/// that starts only because drydock repaired its directory may compete for the port of the first.
pub fn daemons_up(pod: &Value) -> usize {
    let may_be_up = |daemon: &Daemon| *daemon != Daemon::Down;
    daemons(pod).into_iter().filter(may_be_up).count()
}

fn supplied(pod: &Value, build: &Value, directory: &str) -> Answer {
    all(FILES.map(|file| supplies(pod, build, &format!("{directory}/{file}"))))
}

fn socket(pod: &Value, build: &Value, path: &str) -> Answer {
    let at = place(build, path);
    let Place::Volume { name, .. } = &at else {
        return Answer::No;
    };
    let volume = pod_model::volume(pod, name);
    if volume.is_some_and(|volume| pod_model::source_of(volume) == "hostPath") {
        return Answer::Open;
    }
    let answers = daemons(pod).into_iter().map(|daemon| match daemon {
        Daemon::Up { socket, .. } => is(socket == at),
        Daemon::Down => Answer::No,
        Daemon::Unknown => Answer::Open,
    });
    any(answers)
}

fn any(answers: impl Iterator<Item = Answer>) -> Answer {
    let answers: Vec<Answer> = answers.collect();
    if answers.contains(&Answer::Yes) {
        return Answer::Yes;
    }
    is_open(answers.contains(&Answer::Open))
}

fn is_open(open: bool) -> Answer {
    if open { Answer::Open } else { Answer::No }
}

fn port_of_pod(pod: &Value, build: &Value, client: &Client, port: u16) -> Answer {
    let daemons = daemons(pod);
    let listening: Vec<&Security> = daemons
        .iter()
        .filter_map(|daemon| match daemon {
            Daemon::Up { tcp, .. } => Some(tcp),
            _ => None,
        })
        .flatten()
        .filter_map(|(at, security)| (*at == port).then_some(security))
        .collect();
    let security = match &listening[..] {
        _ if daemons.contains(&Daemon::Unknown) => return Answer::Open,
        [] => return Answer::No,
        [security] => *security,
        _ => return Answer::Open,
    };
    match (security, &client.certificates) {
        (Security::Plain, None) => Answer::Yes,
        (Security::Plain, Some(_)) | (_, None) => Answer::No,
        (Security::Supplied, Some(directory)) => supplied(pod, build, directory),
        (Security::Generated(Place::Volume { name, path }), Some(directory)) => {
            all(FILES.map(|file| {
                let there = Place::Volume {
                    name: name.clone(),
                    path: clean(&format!("{path}/{file}")),
                };
                is(place(build, &format!("{directory}/{file}")) == there)
            }))
        }
        (Security::Generated(Place::Image), Some(_)) => Answer::No,
    }
}
