//! Volumes at the directory to which dind writes the client certificates.

use super::config_value::ConfigValue;
use super::finding::{Field, Finding, Item, Removal};
use super::messages;
use super::registries::{create_config_map, guessed_host};
use super::runner::Collected;
use super::runner_config::RunnerConfig;
use super::safe_text::{Kind, Message, SafeText, message};
use super::volumes::Volume;
use crate::core::mount_path::parent;

const DEFAULT_DIRECTORY: &str = "/certs/client";

/// The volumes at the certificate directory of one runner.
pub(super) struct Certificates {
    /// The default certificate directory, and the directory from `DOCKER_TLS_CERTDIR`.
    directories: Vec<String>,
    /// Whether the runner uses dind.
    pub(super) is_dind_used: bool,
    /// Whether the policy must not replace a volume, because the volume is correct.
    only_report: bool,
}

impl Certificates {
    pub(super) fn of(config: &RunnerConfig<'_>) -> Self {
        let directories = [
            Some(DEFAULT_DIRECTORY.to_owned()),
            config.client_cert_directory(),
        ];
        Self {
            directories: directories.into_iter().flatten().collect(),
            is_dind_used: false,
            only_report: false,
        }
    }

    /// Returns whether a volume is at or below a certificate directory.
    fn is_at(&self, volume: &Volume<'_>) -> bool {
        self.directories.iter().any(|path| volume.at_or_below(path))
    }

    /// Returns whether a volume is at the parent of a certificate directory.
    fn is_at_parent(&self, volume: &Volume<'_>) -> bool {
        let is_parent = |path: &String| parent(path) == volume.path && volume.path != "/";
        self.directories.iter().any(is_parent)
    }

    /// Returns whether dind writes certificates to a volume.
    pub(super) fn is_for_dind(&self, config: &RunnerConfig<'_>, volume: &Volume<'_>) -> bool {
        let has_directory = self.is_at(volume) || self.is_at_parent(volume);
        volume.kind == "empty_dir" && has_directory && config.remote_daemon().is_none()
    }

    /// Returns whether a volume is at a certificate directory or hides one.
    pub(super) fn includes(&self, volume: &Volume<'_>) -> bool {
        let has_files = matches!(volume.kind, "empty_dir" | "secret" | "config_map");
        self.is_at(volume) || has_files && self.is_at_parent(volume)
    }

    pub(super) fn read(
        &mut self,
        config: &RunnerConfig<'_>,
        volume: &Volume<'_>,
        out: &mut Collected,
    ) {
        if volume.kind == "empty_dir" {
            if config.remote_daemon().is_some() || !self.is_dind_used {
                out.report(
                    volume.table,
                    messages::remote_daemon_certificates(volume.described()),
                );
            } else {
                let remark = message!("dind.clientCerts adds it to every dind pod");
                out.add_setting(
                    volume.table,
                    Item::client_certs(false),
                    Removal::All,
                    remark,
                );
            }
            return;
        }
        if let Some(why) = self.why_correct(config, volume) {
            self.only_report = true;
            out.report(
                volume.table,
                messages::correct_certificates(volume.described(), why),
            );
            return;
        }
        self.is_dind_used = true;
        let finding = self.conflict(config, volume, out);
        out.report(volume.table, finding);
        out.add_setting(
            volume.table,
            Item::client_certs(false),
            Removal::InOtherFinding,
            Message::default(),
        );
    }

    /// Returns why a volume is correct although dind cannot write to it.
    fn why_correct(&self, config: &RunnerConfig<'_>, volume: &Volume<'_>) -> Option<Message> {
        let items = volume.items();
        let has = |end: &str| {
            let mut names = items.iter().flat_map(|(path, key)| [path, key]);
            names.any(|name| name.ends_with(end))
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

    /// Returns the finding about a volume to which dind must write. If the volume probably has the
    /// CA of a registry, adds an entry of `registryCAs` as a comment.
    fn conflict(
        &self,
        config: &RunnerConfig<'_>,
        volume: &Volume<'_>,
        out: &mut Collected,
    ) -> Finding {
        let object = SafeText::new(Kind::Object, volume.name);
        let items = volume.items();
        let is_authority = |path: &str| path.ends_with(".pem") || path.ends_with(".crt");
        let authority = items.iter().find(|(path, _)| is_authority(path));
        let key = authority.map_or(volume.sub_path.unwrap_or("ca.pem"), |(_, key)| key);
        let is_secret = volume.kind == "secret";
        let (Some(object), Some(key), true) = (
            object,
            SafeText::new(Kind::Key, key),
            is_secret || volume.kind == "config_map",
        ) else {
            return messages::unusable_cert_directory(volume.described(), "");
        };
        let line = volume.table.span.line;
        let item = Item::registry_ca(guessed_host(out), &object, &key);
        let more = message!(
            "; if it is the CA of a registry, use registryCAs (a comment in the policy, with a guessed host)"
        );
        let (why, more) = match is_secret {
            true => (
                message!("; create the ConfigMap first"),
                message!("{}: {}", more, create_config_map(config, &object, &key)),
            ),
            false => (Message::default(), more),
        };
        out.add_comment(
            message!(
                "line {}: {} {} probably has the CA of a registry; the host is a guess{}",
                line,
                volume.kind_name,
                object,
                why
            ),
            item,
        );
        messages::unusable_cert_directory(volume.described(), more)
    }

    /// Adds `clientCerts` to the settings. `evidence` is the value that shows the use of dind.
    pub(super) fn add_client_certs(self, evidence: &ConfigValue, out: &mut Collected) {
        let client_certs = Item::client_certs(self.only_report);
        let mut items = out
            .settings
            .iter_mut()
            .flat_map(|setting| &mut setting.items);
        let mut has_item = false;
        for item in items
            .by_ref()
            .filter(|item| item.field == Field::ClientCerts)
        {
            item.clone_from(&client_certs);
            has_item = true;
        }
        if !has_item {
            let remark =
                message!("this runner's jobs use dind, so the policy has dind.clientCerts");
            // If the evidence is already a setting, its entry has the next step.
            let place = evidence.into();
            let removal = match out
                .settings
                .iter_mut()
                .find(|setting| setting.place == place)
            {
                Some(setting) => {
                    setting.items.push(client_certs);
                    return;
                }
                None => Removal::Keep(message!("keep the line")),
            };
            out.add_setting(evidence, client_certs, removal, remark);
        }
    }
}
