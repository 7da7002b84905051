//! `certs.d`: the authorities of registries, which a policy has from ConfigMaps.

use super::docker::Facts;
use super::finding::{Field, Item, Removal};
use super::messages;
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Read;
use super::volumes::Volume;
use crate::core::crd::format;

/// Where dind looks for them; the second is that of rootless dind.
pub(super) const DIRECTORIES: [&str; 2] = [
    "/etc/docker/certs.d",
    "/home/rootless/.config/docker/certs.d",
];

/// A file that a volume brings: the host, its name, and the key that it comes from.
struct Brought {
    host: String,
    file: String,
    key: String,
}

/// Something below `certs.d`: the authority of a registry, if it is one key of a ConfigMap.
pub(super) fn read(facts: &Facts<'_>, volume: &Volume<'_>, read: &mut Read) {
    let files = brought(volume);
    let authorities = match authorities(volume, &files) {
        Ok(authorities) => authorities,
        Err(why) => return read.find(volume.node, messages::volume(volume.called(), why)),
    };
    let is_guess = files.iter().all(|brought| brought.file.is_empty());
    for (host, object, key) in authorities {
        let line = volume.node.span.line;
        let item = Item::registry_ca(host, &object, &key);
        if volume.kind == "secret" {
            let command = to_config_map(facts, &object, &key);
            read.find(
                volume.node,
                messages::registry_secret(volume.called(), command),
            );
            read.comment(
                say!(
                    "line {}: a Secret; registryCAs takes a ConfigMap, which has to be made first",
                    line
                ),
                item,
            );
        } else if is_guess {
            read.find(volume.node, messages::unknown_authority(volume.called()));
            read.comment(say!("line {}: every key of the ConfigMap is a file there, and the line does not say which one is the authority; check the key", line), item);
        } else {
            let keep = say!(
                "keep the line as long as build reads /etc/docker/certs.d (buildah, skopeo): only dind has it from the policy, and where the line mounts it the policy leaves it alone"
            );
            let remark = say!("ConfigMap {} must be in every job namespace", object);
            read.want(volume.node, item, Removal::Keep(keep), remark);
        }
    }
}

/// Returns the files that the volume puts below `certs.d`. If neither its path, `items` nor
/// `subPath` names one, `file` is empty.
fn brought(volume: &Volume<'_>) -> Vec<Brought> {
    let base = DIRECTORIES.iter().find(|path| volume.at_or_below(path));
    let below = volume
        .path
        .get(base.map_or(0, |base| base.len())..)
        .unwrap_or_default();
    let below = below.trim_matches('/');
    let items = volume.items();
    let file = |path: &str, key: &str| {
        let (host, file) = path.split_once('/').unwrap_or((path, ""));
        let [host, file, key] = [host, file, key].map(str::to_owned);
        Brought { host, file, key }
    };
    match volume.sub_path.map(|path| path.trim_matches('/')) {
        Some(sub_path) => {
            let key = items.get(sub_path).copied().unwrap_or(sub_path);
            vec![file(below, key)]
        }
        None if items.is_empty() => vec![file(below, "ca.crt")],
        None => {
            let whole = |path: &str| format!("{below}/{path}");
            let files = items
                .iter()
                .map(|(path, key)| file(whole(path).trim_matches('/'), key));
            files.filter(|brought| !brought.file.is_empty()).collect()
        }
    }
}

/// Host, object and key of each authority, or why a policy cannot have them.
fn authorities(
    volume: &Volume<'_>,
    files: &[Brought],
) -> Result<Vec<(Printable, Printable, Printable)>, &'static str> {
    if !matches!(volume.kind, "config_map" | "secret") {
        return Err(
            "registryCAs takes a ConfigMap: make one from its file with kubectl create configmap",
        );
    }
    let is_client = |it: &Brought| it.file.ends_with(".cert") || it.file.ends_with(".key");
    if files.iter().any(is_client) {
        return Err("it has a client's certificate or key, which registryCAs cannot carry");
    }
    let is_authority = |it: &&Brought| it.file.is_empty() || it.file.ends_with(".crt");
    let files: Vec<&Brought> = files.iter().filter(is_authority).collect();
    if files.is_empty() {
        return Err("no file of it is an authority (*.crt) below a host");
    }
    let mut hosts: Vec<&str> = files.iter().map(|it| it.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.len() < files.len() {
        return Err("it has several authorities for one host, and registryCAs has one");
    }
    let parsed = files.iter().map(|Brought { host, key, .. }| {
        format::REGISTRY_HOST.check(host).ok()?;
        format::CONFIG_KEY.check(key).ok()?;
        Some((
            Printable::new(Kind::Hostname, host)?,
            Printable::new(Kind::Object, volume.name)?,
            Printable::new(Kind::Key, key)?,
        ))
    });
    let parsed: Option<Vec<_>> = parsed.collect();
    parsed.ok_or("its host, key or name is none that a policy takes")
}

/// The command that makes a ConfigMap of one key of a Secret.
pub(super) fn to_config_map(facts: &Facts<'_>, name: &Printable, key: &Printable) -> Sentence {
    let namespace = facts.kubernetes.text_at("namespace");
    let namespace = namespace.and_then(|name| Printable::new(Kind::Object, name));
    let namespace = namespace.unwrap_or_else(|| Printable::own("NAMESPACE"));
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
    let aliases = read.items().filter(|item| item.field == Field::Alias);
    let registries = aliases.filter(|item| item.key.as_str().contains("registry"));
    let first = registries.min_by_key(|item| !item.key.as_str().starts_with("registry."));
    first.map_or_else(
        || Printable::own("registry.example.com"),
        |item| item.key.clone(),
    )
}
