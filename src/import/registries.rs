//! `certs.d`: the authorities of registries, which a policy has from ConfigMaps.

use super::facts::Facts;
use super::finding::{Comment, Group, Item, Place, Removal, Want};
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Read;
use super::volumes::{REGISTRIES, Volume, object};
use crate::core::crd::format;

/// Something below `certs.d`: the authority of a registry, if it is one key of a ConfigMap.
pub(super) fn registry(facts: &Facts<'_>, volume: &Volume<'_>, place: Place, read: &mut Read) {
    let base = REGISTRIES
        .iter()
        .find(|path| volume.at_or_below(path))
        .copied()
        .unwrap_or_default();
    let below = volume
        .path
        .get(base.len()..)
        .unwrap_or_default()
        .trim_start_matches('/');
    let (host, file) = below.split_once('/').unwrap_or((below, ""));
    // (host, file, key): the files that the volume brings.
    let items = volume.items();
    let mut files: Vec<(String, String, String)> = Vec::new();
    match (volume.sub_path, &items) {
        (Some(sub), items) => {
            let key = items
                .as_ref()
                .and_then(|items| items.get(sub.trim_matches('/')))
                .copied()
                .unwrap_or(sub.trim_matches('/'));
            files.push((host.to_owned(), file.to_owned(), key.to_owned()));
        }
        (None, Some(items)) => {
            for (path, key) in items {
                let whole = [host, path]
                    .iter()
                    .filter(|part| !part.is_empty())
                    .copied()
                    .collect::<Vec<_>>()
                    .join("/");
                if let Some((host, file)) = whole.split_once('/') {
                    files.push((host.to_owned(), file.to_owned(), (*key).to_owned()));
                }
            }
        }
        (None, None) => files.push((host.to_owned(), String::new(), "ca.crt".to_owned())),
    }
    let is_guess = volume.sub_path.is_none() && items.is_none();
    let is_client = files
        .iter()
        .any(|(_, file, _)| file.ends_with(".cert") || file.ends_with(".key"));
    files.retain(|(_, file, _)| file.is_empty() || file.ends_with(".crt"));
    let mut hosts: Vec<&str> = files.iter().map(|(host, ..)| host.as_str()).collect();
    hosts.sort_unstable();
    let is_twice = hosts
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one == other));
    let why = match volume.kind {
        "config_map" | "secret" if is_client => {
            Some("it has a client's certificate or key, which registryCAs cannot carry")
        }
        "config_map" | "secret" if is_twice => {
            Some("it has several authorities for one host, and registryCAs has one")
        }
        "config_map" | "secret" if files.is_empty() => {
            Some("no file of it is an authority (*.crt) below a host")
        }
        "config_map" | "secret" => None,
        _ => Some(
            "registryCAs takes a ConfigMap: make one from its file with kubectl create configmap",
        ),
    };
    let mut parsed = Vec::new();
    for (host, _, key) in &files {
        let is_host =
            format::REGISTRY_HOST.check(host).is_ok() && format::CONFIG_KEY.check(key).is_ok();
        let of = |kind, text: &str| is_host.then(|| Printable::new(kind, text)).flatten();
        if let (Some(host), Some(key), Some(map)) = (
            of(Kind::Hostname, host),
            of(Kind::Key, key),
            object(volume.name),
        ) {
            parsed.push((host, map, key));
        }
    }
    if let Some(why) = why
        .or((parsed.len() < files.len())
            .then_some("its host, key or name is none that a policy takes"))
    {
        read.find(
            Group::NotTaken,
            place,
            say!("{}: {}", volume.called(), why),
            say!("keep it in the file"),
        );
        return;
    }
    for (host, config_map, key) in parsed {
        let line = volume.node.span.line;
        if volume.kind == "secret" {
            let todo = say!(
                "make the ConfigMap in every job namespace, then take the entry out of its comment: {}",
                to_config_map(facts, &config_map, &key)
            );
            let why = say!(
                "line {}: a Secret; registryCAs takes a ConfigMap, which has to be made first",
                line
            );
            read.comments.push(Comment {
                why,
                lines: registry_lines(&host, &config_map, &key),
            });
            read.find(
                Group::NotTaken,
                place.clone(),
                say!(
                    "{}: registryCAs takes a ConfigMap, and an authority is no secret",
                    volume.called()
                ),
                todo,
            );
        } else if is_guess {
            let why = say!(
                "line {}: every key of the ConfigMap is a file there, and the line does not say which one is the authority; check the key",
                line
            );
            read.comments.push(Comment {
                why,
                lines: registry_lines(&host, &config_map, &key),
            });
            let what = say!(
                "{}: which key is the authority is not in the file (docker reads *.crt; *.cert and *.key would be a client's)",
                volume.called()
            );
            read.find(
                Group::NotTaken,
                place.clone(),
                what,
                say!(
                    "check the key of the commented entry in the policy; keep the line until then"
                ),
            );
        } else {
            let keep = say!(
                "keep the line as long as build reads /etc/docker/certs.d (buildah, skopeo): only dind has it from the policy, and where the line mounts it the policy leaves it alone"
            );
            let remark = say!("ConfigMap {} must be in every job namespace", config_map);
            read.wants.push(Want {
                item: Item::Ca {
                    host,
                    config_map,
                    key,
                },
                place: place.clone(),
                keep: Some(keep),
                remark,
                removal: Removal::None,
            });
        }
    }
}
pub(super) fn registry_lines(
    host: &Printable,
    config_map: &Printable,
    key: &Printable,
) -> Vec<Sentence> {
    vec![
        say!("dind:"),
        say!("  registryCAs:"),
        say!("  - host: \"{}\"", host),
        say!("    configMap: {{name: {}, key: {}}}", config_map, key),
    ]
}
/// The command that makes a ConfigMap of one key of a Secret.
pub(super) fn to_config_map(facts: &Facts<'_>, name: &Printable, key: &Printable) -> Sentence {
    let namespace = facts
        .kubernetes
        .text_at("namespace")
        .and_then(|name| Printable::new(Kind::Name, name));
    let namespace = namespace.unwrap_or_else(|| Printable::or_hidden(Kind::Name, "NAMESPACE"));
    say!(
        "kubectl -n {} get secret {} -o go-template='{{{{index .data \"{}\"}}}}' | base64 -d | kubectl -n {} create configmap {} --from-file={}=/dev/stdin",
        namespace,
        name,
        key,
        namespace,
        name,
        key
    )
}
/// The registry that a misplaced authority was probably for.
pub(super) fn guessed_host(read: &Read) -> Printable {
    let hostnames = read.wants.iter().filter_map(|want| match &want.item {
        Item::Alias { hostname, .. } => Some(hostname),
        _ => None,
    });
    let mut hostnames: Vec<&Printable> = hostnames
        .filter(|name| name.as_str().contains("registry"))
        .collect();
    hostnames.sort_by_key(|name| !name.as_str().starts_with("registry."));
    hostnames.first().map_or_else(
        || Printable::or_hidden(Kind::Hostname, "registry.example.com"),
        |name| (*name).clone(),
    )
}
