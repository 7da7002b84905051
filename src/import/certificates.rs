//! Volumes at the directory to which dind writes the client certificates.

use super::config_value::ConfigValue;
use super::finding::{Finding, Item, Place, Removal};
use super::messages;
use super::registries::{create_config_map, guessed_host};
use super::runner::Collected;
use super::runner_config::RunnerConfig;
use super::safe_text::{Kind, Message, SafeText, message};
use super::volumes::Volume;
use crate::core::mount_path::parent;
use crate::core::policy::CLIENT_CERT_DIRECTORY;

/// The volumes of one runner at the certificate directories.
pub(super) struct Certificates<'c> {
    config: &'c RunnerConfig<'c>,
    /// The default certificate directory, and the directory from `DOCKER_TLS_CERTDIR`.
    directories: Vec<String>,
    /// Whether the runner uses dind.
    pub(super) is_dind_used: bool,
    /// Whether the policy must not replace a volume, because the volume is correct.
    only_report: bool,
    /// The tables of the volumes that `clientCerts` replaces.
    replaced: Vec<(&'c ConfigValue, Removal, Message)>,
}

impl<'c> Certificates<'c> {
    pub(super) fn of(config: &'c RunnerConfig<'c>) -> Self {
        let directories = [
            Some(CLIENT_CERT_DIRECTORY.to_owned()),
            config.client_cert_directory(),
        ];
        Self {
            config,
            directories: directories.into_iter().flatten().collect(),
            is_dind_used: false,
            only_report: false,
            replaced: Vec::new(),
        }
    }

    /// Returns whether a volume is at or below a certificate directory, or hides such a directory.
    pub(super) fn includes(&self, volume: &Volume<'_>) -> bool {
        let has_files = matches!(volume.kind, "empty_dir" | "secret" | "config_map");
        self.directories.iter().any(|path| {
            let is_parent = parent(path) == volume.path && volume.path != "/";
            volume.at_or_below(path) || has_files && is_parent
        })
    }

    /// Returns whether dind writes certificates to a volume.
    pub(super) fn is_written_by_dind(&self, volume: &Volume<'_>) -> bool {
        let is_local = self.config.remote_daemon().is_none();
        volume.kind == "empty_dir" && self.includes(volume) && is_local
    }

    /// Reads a volume for which [`Self::includes`] is true.
    pub(super) fn read(&mut self, volume: &Volume<'c>, out: &mut Collected) {
        if self.is_written_by_dind(volume) {
            let remark = message!("dind.clientCerts adds the volume to every dind pod");
            self.replaced.push((volume.table, Removal::All, remark));
        } else if volume.kind == "empty_dir" {
            let finding = messages::remote_daemon_certificates(volume.described());
            out.report(volume.table, finding);
        } else if let Some(why) = self.why_correct(volume) {
            self.only_report = true;
            let finding = messages::correct_certificates(volume.described(), why);
            out.report(volume.table, finding);
        } else {
            self.is_dind_used = true;
            let finding = conflict(self.config, volume, out);
            out.report(volume.table, finding);
            let replaced = (volume.table, Removal::InOtherFinding, Message::default());
            self.replaced.push(replaced);
        }
    }

    /// Returns why a volume is correct although dind cannot write to it.
    fn why_correct(&self, volume: &Volume<'_>) -> Option<Message> {
        let config = self.config;
        let items = volume.items();
        let has = |suffix: &str| {
            let mut names = items.iter().flat_map(|(path, key)| [path, key]);
            names.any(|name| name.ends_with(suffix))
        };
        let is_client = has("cert.pem") && has("key.pem") || has(".crt") && has(".key");
        let shows_dind =
            self.is_dind_used || config.is_privileged != Some(false) || config.has_dind_variables();
        if let Some(daemon) = config.remote_daemon() {
            Some(message!(
                "it has client certificates for the daemon {}",
                daemon
            ))
        } else if is_client {
            Some(message!("it has a client certificate and its key"))
        } else if config.is_tls_off() {
            Some(message!("TLS is off, so dind writes no certificates"))
        } else {
            (!shows_dind).then(|| message!("nothing in this file uses dind"))
        }
    }

    /// Adds `clientCerts` to the settings. If `clientCerts` replaces no volume, its place is
    /// `evidence`, the value that shows that the runner uses dind.
    pub(super) fn add_client_certs(self, evidence: Option<&ConfigValue>, out: &mut Collected) {
        let item = Item::client_certs(self.only_report);
        if let Some(evidence) = evidence.filter(|_| self.replaced.is_empty()) {
            let place = Place::from(evidence);
            match out.settings.iter_mut().find(|it| it.place == place) {
                // This setting already has a next step.
                Some(setting) => setting.items.push(item.clone()),
                None => {
                    let remark =
                        message!("this runner's jobs use dind, so the policy has dind.clientCerts");
                    let removal = Removal::Keep(message!("keep the line"));
                    out.add_setting(evidence, item.clone(), removal, remark);
                }
            }
        }
        for (table, removal, remark) in self.replaced {
            out.add_setting(table, item.clone(), removal, remark);
        }
    }
}

/// Returns the finding about a volume to which dind must write and cannot. If the volume probably
/// has the CA of a registry, adds an entry of `registryCAs` as a comment.
fn conflict(config: &RunnerConfig<'_>, volume: &Volume<'_>, out: &mut Collected) -> Finding {
    let items = volume.items();
    let is_ca = |path: &str| path.ends_with(".pem") || path.ends_with(".crt");
    let ca = items.iter().find(|(path, _)| is_ca(path));
    let key = ca.map_or(volume.sub_path.unwrap_or("ca.pem"), |(_, key)| key);
    let names = SafeText::new(Kind::Object, volume.name).zip(SafeText::new(Kind::Key, key));
    let (object, key, command) = match (volume.kind, names) {
        ("config_map", Some((object, key))) => (object, key, None),
        ("secret", Some((object, key))) => {
            let command = create_config_map(config, &object, &key);
            (object, key, Some(command))
        }
        _ => return messages::unusable_cert_directory(volume.described(), ""),
    };
    let mut why = message!(
        "line {}: {} {} probably has the CA of a registry; the host is a guess",
        volume.table.span.line,
        volume.kind_name,
        object
    );
    let mut advice = message!(
        "; if the volume has the CA of a registry, uncomment registryCAs in the policy and correct the guessed host"
    );
    if let Some(command) = command {
        why = message!("{}; create the ConfigMap first", why);
        advice = message!("{}; first create the ConfigMap: {}", advice, command);
    }
    let host = guessed_host(out);
    out.add_comment(why, Item::registry_ca(host, &object, &key));
    messages::unusable_cert_directory(volume.described(), advice)
}
