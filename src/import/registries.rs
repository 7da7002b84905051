//! Converts volumes at `/etc/docker/certs.d`, which have the CA certificates of registries, to
//! `registryCAs`.

use super::finding::{Field, Item, Removal};
use super::messages;
use super::runner::Collected;
use super::runner_config::RunnerConfig;
use super::safe_text::{Kind, Message, SafeText, message};
use super::volumes::Volume;
use crate::core::crd::format;
use std::collections::BTreeSet;

/// A file that a volume puts into `certs.d`.
struct MountedFile {
    /// The host of the registry, which is the name of the directory with the file.
    host: String,
    /// The path of the file below the directory of the host. Empty if the path is unknown.
    file: String,
    /// The key of the ConfigMap or Secret that has the content of the file.
    key: String,
}

/// Reads a volume at or below `certs.d`, whose path is `directory`.
pub(super) fn read(
    config: &RunnerConfig<'_>,
    volume: &Volume<'_>,
    directory: &str,
    out: &mut Collected,
) {
    let files = mounted(volume, directory);
    let cas = match registry_cas(volume, &files) {
        Ok(cas) => cas,
        Err(why) => return out.report(volume.table, messages::volume(volume.described(), why)),
    };
    let is_guess = files.iter().all(|mounted| mounted.file.is_empty());
    let line = volume.table.span.line;
    for (host, object, key) in cas {
        let item = Item::registry_ca(host, &object, &key);
        if volume.kind == "secret" {
            let command = create_config_map(config, &object, &key);
            let finding = messages::registry_secret(volume.described(), command);
            out.report(volume.table, finding);
            let check = match is_guess {
                true => ", and check which key contains the CA certificate",
                false => "",
            };
            out.add_comment(message!("line {}: this is a Secret, but registryCAs needs a ConfigMap: create it first{}", line, check), item);
        } else if is_guess {
            out.report(volume.table, messages::unknown_ca_key(volume.described()));
            out.add_comment(message!("line {}: the volume has every key of the ConfigMap as a file; check which key contains the CA certificate", line), item);
        } else {
            let keep = message!(
                "keep the line if the build container reads /etc/docker/certs.d (buildah, skopeo): the policy adds the CA only to dind; while the volume exists, drydock does not change this directory"
            );
            let remark = message!("ConfigMap {} must exist in every job namespace", object);
            out.add_setting(volume.table, item, Removal::Keep(keep), remark);
        }
    }
}

/// Returns the files that a volume puts into `certs.d`. If neither the mount path, `items` nor
/// `sub_path` contains the name of a file, returns one file with an empty `file` and a guessed
/// `key`.
fn mounted(volume: &Volume<'_>, directory: &str) -> Vec<MountedFile> {
    let below = volume.path.get(directory.len()..).unwrap_or_default();
    let below = below.trim_matches('/');
    let items = volume.items();
    let mounted = |path: &str, key: &str| {
        let (host, file) = path.split_once('/').unwrap_or((path, ""));
        let [host, file, key] = [host, file, key].map(str::to_owned);
        MountedFile { host, file, key }
    };
    if let Some(sub_path) = volume.sub_path.map(|path| path.trim_matches('/')) {
        let key = items.get(sub_path).copied().unwrap_or(sub_path);
        return vec![mounted(below, key)];
    }
    if items.is_empty() {
        // Without `items`, every key of the ConfigMap or Secret is a file.
        let host = below.split('/').next().unwrap_or_default();
        return vec![mounted(host, "ca.crt")];
    }
    let files = items
        .iter()
        .map(|(path, key)| mounted(format!("{below}/{path}").trim_matches('/'), key));
    files.filter(|mounted| !mounted.file.is_empty()).collect()
}

/// Returns the registry's host, the name of the ConfigMap or Secret, and the key for each CA
/// certificate. Returns the reason if a policy cannot have them.
fn registry_cas(
    volume: &Volume<'_>,
    files: &[MountedFile],
) -> Result<Vec<(SafeText, SafeText, SafeText)>, &'static str> {
    if !matches!(volume.kind, "config_map" | "secret") {
        return Err(
            "registryCAs needs a ConfigMap: create one from the file with kubectl create configmap",
        );
    }
    let is_client = |it: &MountedFile| it.file.ends_with(".cert") || it.file.ends_with(".key");
    if files.iter().any(is_client) {
        return Err("it has a client certificate or key, which registryCAs does not support");
    }
    let is_ca = |it: &&MountedFile| it.file.is_empty() || it.file.ends_with(".crt");
    let files: Vec<&MountedFile> = files.iter().filter(is_ca).collect();
    if files.is_empty() {
        return Err("it has no CA certificate (HOST/*.crt)");
    }
    let hosts: BTreeSet<&str> = files.iter().map(|it| it.host.as_str()).collect();
    if hosts.len() < files.len() {
        return Err("it has several CA certificates for one host, and registryCAs supports one");
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
    parsed.ok_or("its host, key or name is not valid in a policy")
}

/// Returns the command that creates a ConfigMap from one key of a Secret.
pub(super) fn create_config_map(
    config: &RunnerConfig<'_>,
    name: &SafeText,
    key: &SafeText,
) -> Message {
    let namespace = config.namespace();
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

/// Guesses the host of a registry from the runner's aliases.
pub(super) fn guessed_host(out: &Collected) -> SafeText {
    let aliases = out.items().filter(|item| item.field == Field::Alias);
    let registries = aliases.filter(|item| item.key.as_str().contains("registry"));
    let first = registries.min_by_key(|item| !item.key.as_str().starts_with("registry."));
    first.map_or_else(
        || SafeText::trusted("registry.example.com"),
        |item| item.key.clone(),
    )
}
