//! Volumes at `certs.d`: the CAs of registries, which a policy reads from ConfigMaps.

use super::docker::Facts;
use super::finding::{Field, Item, Removal};
use super::messages;
use super::runner::Collected;
use super::safe_text::{Kind, Message, SafeText, message};
use super::volumes::Volume;
use crate::core::crd::format;

/// The directories of dind and of rootless dind.
pub(super) const DIRECTORIES: [&str; 2] = [
    "/etc/docker/certs.d",
    "/home/rootless/.config/docker/certs.d",
];

/// A file of a volume, and its key in the ConfigMap or Secret.
struct MountedFile {
    host: String,
    file: String,
    key: String,
}

/// Reads a volume below `certs.d`.
pub(super) fn read(facts: &Facts<'_>, volume: &Volume<'_>, out: &mut Collected) {
    let files = mounted(volume);
    let authorities = match authorities(volume, &files) {
        Ok(authorities) => authorities,
        Err(why) => return out.report(volume.node, messages::volume(volume.called(), why)),
    };
    let is_guess = files.iter().all(|mounted| mounted.file.is_empty());
    for (host, object, key) in authorities {
        let line = volume.node.span.line;
        let item = Item::registry_ca(host, &object, &key);
        if volume.kind == "secret" {
            let command = to_config_map(facts, &object, &key);
            out.report(
                volume.node,
                messages::registry_secret(volume.called(), command),
            );
            let check = if is_guess {
                ", and check which key is the CA"
            } else {
                ""
            };
            out.comment(
                message!(
                    "line {}: a Secret; registryCAs takes a ConfigMap: create it first{}",
                    line,
                    check
                ),
                item,
            );
        } else if is_guess {
            out.report(volume.node, messages::unknown_authority(volume.called()));
            out.comment(message!("line {}: the volume has every key of the ConfigMap as a file; check which key is the CA", line), item);
        } else {
            let keep = message!(
                "keep the line if the build container reads /etc/docker/certs.d (buildah, skopeo): with the policy only dind has it; while the line is there, drydock does not change this directory"
            );
            let remark = message!("ConfigMap {} must be in every job namespace", object);
            out.take(volume.node, item, Removal::Keep(keep), remark);
        }
    }
}

/// Returns the files that the volume puts below `certs.d`. If neither its path, `items` nor
/// `subPath` names one, `file` is empty.
fn mounted(volume: &Volume<'_>) -> Vec<MountedFile> {
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
        MountedFile { host, file, key }
    };
    match volume.sub_path.map(|path| path.trim_matches('/')) {
        Some(sub_path) => {
            let key = items.get(sub_path).copied().unwrap_or(sub_path);
            vec![file(below, key)]
        }
        // Every key is a file, so the key of the CA is a guess.
        None if items.is_empty() => {
            let host = below.split('/').next().unwrap_or_default();
            vec![file(host, "ca.crt")]
        }
        None => {
            let whole = |path: &str| format!("{below}/{path}");
            let files = items
                .iter()
                .map(|(path, key)| file(whole(path).trim_matches('/'), key));
            files.filter(|mounted| !mounted.file.is_empty()).collect()
        }
    }
}

/// Returns host, object and key of each CA, or why a policy cannot have them.
fn authorities(
    volume: &Volume<'_>,
    files: &[MountedFile],
) -> Result<Vec<(SafeText, SafeText, SafeText)>, &'static str> {
    if !matches!(volume.kind, "config_map" | "secret") {
        return Err(
            "registryCAs takes a ConfigMap: create one from the file with kubectl create configmap",
        );
    }
    let is_client = |it: &MountedFile| it.file.ends_with(".cert") || it.file.ends_with(".key");
    if files.iter().any(is_client) {
        return Err("it has a client certificate or key, which registryCAs does not support");
    }
    let is_authority = |it: &&MountedFile| it.file.is_empty() || it.file.ends_with(".crt");
    let files: Vec<&MountedFile> = files.iter().filter(is_authority).collect();
    if files.is_empty() {
        return Err("it has no CA (*.crt) below a host");
    }
    let mut hosts: Vec<&str> = files.iter().map(|it| it.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.len() < files.len() {
        return Err("it has several CAs for one host, and registryCAs takes one");
    }
    let parsed = files.iter().map(|MountedFile { host, key, .. }| {
        format::REGISTRY_HOST.check(host).ok()?;
        format::CONFIG_KEY.check(key).ok()?;
        Some((
            SafeText::new(Kind::Hostname, host)?,
            SafeText::new(Kind::Object, volume.name)?,
            SafeText::new(Kind::Key, key)?,
        ))
    });
    let parsed: Option<Vec<_>> = parsed.collect();
    parsed.ok_or("a policy does not take its host, key or name")
}

/// The command that creates a ConfigMap with one key of a Secret.
pub(super) fn to_config_map(facts: &Facts<'_>, name: &SafeText, key: &SafeText) -> Message {
    let namespace = facts.namespace();
    message!(
        "kubectl -n {} get secret {} -o go-template='{{{{index .data \"{}\"}}}}' | base64 -d | kubectl -n {} create configmap {} --from-file={}=/dev/stdin",
        namespace,
        name,
        key,
        namespace,
        name,
        key
    )
}

/// A guess at the registry whose CA is at the wrong place.
pub(super) fn guessed_host(out: &Collected) -> SafeText {
    let aliases = out.items().filter(|item| item.field == Field::Alias);
    let registries = aliases.filter(|item| item.key.as_str().contains("registry"));
    let first = registries.min_by_key(|item| !item.key.as_str().starts_with("registry."));
    first.map_or_else(
        || SafeText::own("registry.example.com"),
        |item| item.key.clone(),
    )
}
