//! Volumes at the directory to which dind writes the client's certificates.

use super::docker::Facts;
use super::finding::{Field, Finding, Item, Removal};
use super::messages;
use super::node::Node;
use super::registries::{guessed_host, to_config_map};
use super::runner::Collected;
use super::safe_text::{Kind, Message, SafeText, message};
use super::volumes::Volume;
use crate::core::mount_path::parent;

const CLIENT: &str = "/certs/client";

pub(super) struct Certificates {
    /// The directories to which dind may write.
    directories: Vec<String>,
    /// Whether there is evidence of dind, other than a volume that is in the way.
    pub(super) is_used: bool,
    /// Whether a volume that dind does not write to is right as it is.
    leave: bool,
}

impl Certificates {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let directories = [Some(CLIENT.to_owned()), facts.certificates()];
        Self {
            directories: directories.into_iter().flatten().collect(),
            is_used: false,
            leave: false,
        }
    }

    /// Whether a volume is at or below the directory.
    fn is_at(&self, volume: &Volume<'_>) -> bool {
        self.directories.iter().any(|path| volume.at_or_below(path))
    }

    /// Whether a volume is at the parent directory, which may have other files.
    fn is_above(&self, volume: &Volume<'_>) -> bool {
        let is_it = |path: &String| parent(path) == volume.path && volume.path != "/";
        self.directories.iter().any(is_it)
    }

    /// Whether dind writes to a volume.
    pub(super) fn is_for_dind(&self, facts: &Facts<'_>, volume: &Volume<'_>) -> bool {
        let is_there = self.is_at(volume) || self.is_above(volume);
        volume.kind == "empty_dir" && is_there && facts.remote_daemon().is_none()
    }

    /// Whether a volume belongs to dind's certificates or is in their way.
    pub(super) fn concern(&self, volume: &Volume<'_>) -> bool {
        let has_files = matches!(volume.kind, "empty_dir" | "secret" | "config_map");
        self.is_at(volume) || has_files && self.is_above(volume)
    }

    pub(super) fn read(&mut self, facts: &Facts<'_>, volume: &Volume<'_>, out: &mut Collected) {
        if volume.kind == "empty_dir" {
            if facts.remote_daemon().is_some() || !self.is_used {
                out.report(
                    volume.node,
                    messages::certificates_of_another(volume.called()),
                );
            } else {
                let remark = message!("dind.clientCerts makes it in every dind pod");
                out.take(volume.node, Item::dind(false), Removal::All, remark);
            }
            return;
        }
        if let Some(why) = self.is_right(facts, volume) {
            self.leave = true;
            out.report(
                volume.node,
                messages::right_certificates(volume.called(), why),
            );
            return;
        }
        self.is_used = true;
        let finding = self.in_the_way(facts, volume, out);
        out.report(volume.node, finding);
        out.take(
            volume.node,
            Item::dind(false),
            Removal::Told,
            Message::default(),
        );
    }

    /// Why a volume is right as it is, if it is.
    fn is_right(&self, facts: &Facts<'_>, volume: &Volume<'_>) -> Option<Message> {
        let items = volume.items();
        let has = |end: &str| {
            let mut names = items.iter().flat_map(|(path, key)| [path, key]);
            names.any(|name| name.ends_with(end))
        };
        let is_client = has("cert.pem") && has("key.pem") || has(".crt") && has(".key");
        let speaks = self.is_used || facts.is_privileged != Some(false) || facts.calls_dind();
        if let Some(daemon) = facts.remote_daemon() {
            Some(message!("client certificates for the daemon at {}", daemon))
        } else if is_client {
            Some(message!("a client's certificate and key"))
        } else if facts.is_tls_off() {
            Some(message!("TLS is off, so dind does not write there"))
        } else {
            (!speaks).then(|| message!("nothing in this file uses dind"))
        }
    }

    /// A volume where dind must write. For a CA, adds its probable purpose as a comment.
    fn in_the_way(&self, facts: &Facts<'_>, volume: &Volume<'_>, out: &mut Collected) -> Finding {
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
            return messages::in_the_way_of_dind(volume.called(), "");
        };
        let line = volume.node.span.line;
        let item = Item::registry_ca(guessed_host(out), &object, &key);
        let more = message!(
            "; the place of a registry's CA is registryCAs (a comment in the policy, with a guessed host)"
        );
        let (why, more) = match is_secret {
            true => (
                message!("; create the ConfigMap first"),
                message!("{}: {}", more, to_config_map(facts, &object, &key)),
            ),
            false => (Message::default(), more),
        };
        out.comment(
            message!(
                "line {}: probably the purpose of {} {}; the host is a guess{}",
                line,
                volume.word,
                object,
                why
            ),
            item,
        );
        messages::in_the_way_of_dind(volume.called(), more)
    }

    /// Adds `clientCerts` to the policy, at the lines that are evidence of dind.
    pub(super) fn finish(self, evidence: &Node, out: &mut Collected) {
        let dind = Item::dind(self.leave);
        let mut items = out
            .settings
            .iter_mut()
            .flat_map(|setting| &mut setting.items);
        let mut has_item = false;
        for item in items.by_ref().filter(|item| item.field == Field::Dind) {
            item.clone_from(&dind);
            has_item = true;
        }
        if !has_item {
            let remark =
                message!("this runner's jobs use dind, so the policy has dind.clientCerts");
            // The lines of a volume have their own entry, which says whether they stay.
            let place = evidence.into();
            let removal = match out
                .settings
                .iter_mut()
                .find(|setting| setting.place == place)
            {
                Some(setting) => {
                    setting.items.push(dind);
                    return;
                }
                None => Removal::Keep(message!("keep the line")),
            };
            out.take(evidence, dind, removal, remark);
        }
    }
}
