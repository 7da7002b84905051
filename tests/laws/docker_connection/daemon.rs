//! The docker daemon: whether it starts, where it listens, and which certificates a client needs
//! (docker-library/docker, `dockerd-entrypoint.sh` and `Dockerfile-dind*.template`).

use super::super::container_start::{self, Program, Tls, name_and_tag};
use super::super::pod_model::{self, Answer, clean, list, source_of, text};
use super::mounts::{Place, all, nearest, place, supplies, writes};
use serde_json::Value;

/// The names of the certificate files, both of the client and of the server.
pub const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// The data directories of dockerd and of rootless dockerd.
const DATA: [&str; 2] = ["/var/lib/docker", "/home/rootless/.local/share/docker"];

/// The files that the entrypoint writes to each certificate directory.
const WRITTEN: [&str; 6] = [
    "ca.pem",
    "cert.pem",
    "key.pem",
    "csr.pem",
    "openssl.cnf",
    "cert.srl",
];

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Daemon {
    Down,
    Unknown,
    Up {
        tcp: Vec<(u16, Security)>,
        socket: Place,
    },
}

/// The credentials that a client needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Security {
    Plain,
    /// Certificates that the entrypoint generates in this directory.
    Generated(Place),
    /// Certificates of a PKI outside the pod.
    Supplied,
}

/// Returns the model of a container's daemon.
pub fn daemon(pod: &Value, container: &Value) -> Daemon {
    match is_dind_image(text(container, "image")) {
        Answer::No => return Daemon::Down,
        Answer::Open => return Daemon::Unknown,
        Answer::Yes => {}
    }
    let start = container_start::start(container);
    let listens = match &start.program {
        Program::Other => return Daemon::Down,
        Program::Unknown => return Daemon::Unknown,
        Program::Daemon(options) => own_listeners(pod, container, options),
        Program::Entrypoint(options) if !is_neutral(options) => return Daemon::Unknown,
        Program::Entrypoint(_) => match container_start::tls(container, &start) {
            Tls::Unknown => return Daemon::Unknown,
            Tls::Off => Ok(vec![(2375, Security::Plain)]),
            Tls::Directory(root) => with_certificates(pod, container, &root),
        },
    };
    match (runs(pod, container), listens) {
        (Answer::No, _) | (_, Err(Answer::No)) => Daemon::Down,
        (Answer::Yes, Ok(tcp)) => Daemon::Up {
            tcp,
            socket: place(container, "/var/run/docker.sock"),
        },
        _ => Daemon::Unknown,
    }
}

/// Returns whether an image is docker's and contains the daemon, or `Open` if its name does not
/// show it.
fn is_dind_image(image: &str) -> Answer {
    let (name, tag) = name_and_tag(image);
    if name != "docker" {
        let may_be = image.contains("dind") || image.contains("docker");
        return if may_be { Answer::Open } else { Answer::No };
    }
    let Some(tag) = tag else {
        return if image.contains('@') {
            Answer::Open
        } else {
            Answer::Yes
        };
    };
    let parts: Vec<&str> = tag.split('-').collect();
    let major = parts[0]
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    match major {
        _ if parts.contains(&"dind") || tag == "latest" => Answer::Yes,
        _ if parts.contains(&"cli") => Answer::No,
        Some(major) if major >= 23 => Answer::Yes,
        _ => Answer::Open,
    }
}

/// Returns whether the options do not change the listeners that the entrypoint configures.
fn is_neutral(options: &[String]) -> bool {
    let sets_listeners = |option: &&String| {
        option.starts_with("-H") || option.starts_with("--host") || option.starts_with("--tls")
    };
    options
        .iter()
        .filter(sets_listeners)
        .all(|option| option == "--tls=true")
}

/// Returns whether dockerd starts. That depends on privileges, the data directory, and the files
/// that rootless dockerd writes to its home directory.
fn runs(pod: &Value, container: &Value) -> Answer {
    let is_rootless = container_start::is_rootless(container);
    let class = text(&pod["spec"], "runtimeClassName");
    let is_privileged =
        container.pointer("/securityContext/privileged") == Some(&Value::Bool(true));
    let may_run = match class {
        _ if is_privileged => Answer::Yes,
        "sysbox-runc" if !is_rootless => Answer::Yes,
        _ if is_rootless || !class.is_empty() => Answer::Open,
        _ => Answer::No,
    };
    let data = DATA[usize::from(is_rootless)];
    // dockerd before 23 writes key.json to ~/.config/docker when it starts.
    let writes_at_home =
        is_rootless && container_start::version(container).is_some_and(|(major, _)| major < 23);
    let home = if writes_at_home {
        writes(pod, container, "/home/rootless/.config/docker", true)
    } else {
        Answer::Yes
    };
    let fits = if is_counted(pod, container, data) {
        Answer::Open
    } else {
        Answer::Yes
    };
    let alone = if shares_data(pod, container, data) {
        Answer::Open
    } else {
        Answer::Yes
    };
    all([
        may_run,
        writes(pod, container, data, is_rootless),
        home,
        fits,
        alone,
    ])
}

/// Returns whether another container uses the same volume for its data. The second daemon with the
/// same data directory fails to start.
fn shares_data(pod: &Value, container: &Value, data: &str) -> bool {
    let own = place(container, data);
    let containers = pod_model::containers(pod, &[]);
    let mut others = containers
        .iter()
        .filter(|other| !std::ptr::eq(other.json, container));
    own != Place::Image
        && others.any(|other| {
            let is_there = |data: &str| place(other.json, data) == own;
            DATA.iter().any(|data| is_there(data))
                && is_dind_image(text(other.json, "image")) != Answer::No
        })
}

/// Returns whether image layers count against an ephemeral storage limit, above which the kubelet
/// evicts the pod. Layers in the VOLUME of the image do not count.
fn is_counted(pod: &Value, container: &Value, data: &str) -> bool {
    let mut containers = list(&pod["spec"], "containers").iter();
    let is_limited = containers.any(|container| {
        container
            .pointer("/resources/limits/ephemeral-storage")
            .is_some()
    });
    let volume =
        nearest(container, data).and_then(|mount| pod_model::volume(pod, text(mount, "name")));
    is_limited && volume.is_some_and(|volume| source_of(volume) == "emptyDir")
}

/// Returns the listeners of a dockerd that is started directly. Without `--host`, it listens only
/// on the socket.
fn own_listeners(
    pod: &Value,
    container: &Value,
    options: &[String],
) -> Result<Vec<(u16, Security)>, Answer> {
    let with = |name: &str| {
        let prefix = format!("{name}=");
        options
            .iter()
            .filter_map(move |option| option.strip_prefix(&prefix).map(str::to_owned))
    };
    let port = |host: String| {
        host.rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
    };
    let ports: Vec<u16> = with("--host").filter_map(port).collect();
    let security = if options.iter().any(|option| option.starts_with("--tls")) {
        let files = ["--tlscacert", "--tlscert", "--tlskey"];
        let files: Vec<String> = files.iter().flat_map(|name| with(name)).collect();
        match all(files.iter().map(|file| supplies(pod, container, file))) {
            Answer::Yes if files.len() == 3 => Security::Supplied,
            Answer::No => return Err(Answer::No),
            _ => return Err(Answer::Open),
        }
    } else {
        Security::Plain
    };
    Ok(ports
        .into_iter()
        .map(|port| (port, security.clone()))
        .collect())
}

/// Models the function `_tls_generate_certs` of the entrypoint. It generates nothing if the
/// server's certificate exists without the key of a CA, otherwise the files of all three
/// directories.
fn with_certificates(
    pod: &Value,
    container: &Value,
    root: &str,
) -> Result<Vec<(u16, Security)>, Answer> {
    let in_root = |name: &str| clean(&format!("{root}/{name}"));
    // Before version 23, the entrypoint used port 2375 without TLS after a failure. That may look
    // like a working setup.
    let failed = match container_start::version(container) {
        Some((major, _)) if major < 23 => Answer::Open,
        _ => Answer::No,
    };
    let server = FILES.map(|file| supplies(pod, container, &in_root(&format!("server/{file}"))));
    let key = supplies(pod, container, &in_root("ca/key.pem"));
    if server.contains(&Answer::Open) || key != Answer::No {
        return Err(Answer::Open);
    }
    if all(server) == Answer::Yes {
        return match failed {
            Answer::No => Ok(vec![(2376, Security::Supplied)]),
            _ => Err(Answer::Open),
        };
    }
    let is_rootless = container_start::is_rootless(container);
    let directories = ["ca", "server", "client"].map(in_root);
    let written = directories.iter().map(|directory| {
        let mounts = list(container, "volumeMounts").iter().map(pod_model::path);
        let is_written = |at: &String| {
            WRITTEN
                .iter()
                .any(|file| *at == format!("{directory}/{file}"))
        };
        let mut blocked = mounts.filter(is_written);
        match blocked.next() {
            Some(_) => Answer::No,
            None => writes(pod, container, directory, is_rootless),
        }
    });
    let places = directories
        .each_ref()
        .map(|directory| place(container, directory));
    let is_one = |a: usize, b: usize| places[a] == places[b] && places[a] != Place::Image;
    match all(written) {
        Answer::No => Err(failed),
        Answer::Open => Err(Answer::Open),
        Answer::Yes if is_one(0, 1) || is_one(1, 2) || is_one(0, 2) => Err(Answer::Open),
        Answer::Yes => Ok(vec![(2376, Security::Generated(places[2].clone()))]),
    }
}
