//! What a runner has at the directory of the client's certificates, which dind writes to.

use super::docker::Facts;
use super::finding::{Field, Finding, Item, Removal};
use super::located::Node;
use super::messages;
use super::printable::{Kind, Printable, Sentence, say};
use super::registries::{guessed_host, to_config_map};
use super::runner::Read;
use super::volumes::Volume;
use crate::core::mount_path::parent;

const CLIENT: &str = "/certs/client";

pub(super) struct Certificates {
    /// The directories that dind may write to.
    directories: Vec<String>,
    /// Whether something speaks for dind, beside what is in the way of its certificates.
    pub(super) is_used: bool,
    /// Whether something is rightly there.
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

    /// Whether a volume is the directory above, which may have other things in it.
    fn is_above(&self, volume: &Volume<'_>) -> bool {
        let is_it = |path: &String| parent(path) == volume.path && volume.path != "/";
        self.directories.iter().any(is_it)
    }

    /// Whether a volume is there for dind to write to.
    pub(super) fn is_for_dind(&self, facts: &Facts<'_>, volume: &Volume<'_>) -> bool {
        let is_there = self.is_at(volume) || self.is_above(volume);
        volume.kind == "empty_dir" && is_there && facts.remote_daemon().is_none()
    }

    /// Whether a volume is there, for dind or in its way.
    pub(super) fn concern(&self, volume: &Volume<'_>) -> bool {
        let has_files = matches!(volume.kind, "empty_dir" | "secret" | "config_map");
        self.is_at(volume) || has_files && self.is_above(volume)
    }

    pub(super) fn read(&mut self, facts: &Facts<'_>, volume: &Volume<'_>, read: &mut Read) {
        if volume.kind == "empty_dir" {
            if facts.remote_daemon().is_some() || !self.is_used {
                read.find(
                    volume.node,
                    messages::certificates_of_another(volume.called()),
                );
            } else {
                let remark = say!("dind.clientCerts makes it in every dind pod");
                read.want(volume.node, Item::dind(false), Removal::All, remark);
            }
            return;
        }
        if let Some(why) = self.is_right(facts, volume) {
            self.leave = true;
            read.find(
                volume.node,
                messages::right_certificates(volume.called(), why),
            );
            return;
        }
        self.is_used = true;
        let finding = self.in_the_way(facts, volume, read);
        read.find(volume.node, finding);
        read.want(
            volume.node,
            Item::dind(false),
            Removal::Told,
            Sentence::default(),
        );
    }

    /// Why something is rightly there, if it is.
    fn is_right(&self, facts: &Facts<'_>, volume: &Volume<'_>) -> Option<Sentence> {
        let items = volume.items();
        let has = |end: &str| {
            let mut names = items.iter().flat_map(|(path, key)| [path, key]);
            names.any(|name| name.ends_with(end))
        };
        let is_client = has("cert.pem") && has("key.pem") || has(".crt") && has(".key");
        let speaks = self.is_used || facts.is_privileged != Some(false) || facts.speaks_of_docker();
        if let Some(daemon) = facts.remote_daemon() {
            Some(say!("client certificates for the daemon at {}", daemon))
        } else if is_client {
            Some(say!("a client's certificate and key"))
        } else if facts.is_tls_off() {
            Some(say!("TLS is off, so dind does not write there"))
        } else {
            (!speaks).then(|| say!("nothing in this file uses dind"))
        }
    }

    /// Something where dind must write; of an authority, what it was probably for.
    fn in_the_way(&self, facts: &Facts<'_>, volume: &Volume<'_>, read: &mut Read) -> Finding {
        let object = Printable::new(Kind::Object, volume.name);
        let items = volume.items();
        let is_authority = |path: &str| path.ends_with(".pem") || path.ends_with(".crt");
        let authority = items.iter().find(|(path, _)| is_authority(path));
        let key = authority.map_or(volume.sub_path.unwrap_or("ca.pem"), |(_, key)| key);
        let is_secret = volume.kind == "secret";
        let (Some(object), Some(key), true) = (
            object,
            Printable::new(Kind::Key, key),
            is_secret || volume.kind == "config_map",
        ) else {
            return messages::in_the_way_of_dind(volume.called());
        };
        let line = volume.node.span.line;
        let why = say!(
            "line {}: what {} {} was probably for; the host is a guess",
            line,
            volume.word,
            object
        );
        let (why, command) = match is_secret {
            true => (
                why.and(&", and the ConfigMap has to be made first"),
                say!(": {}", to_config_map(facts, &object, &key)),
            ),
            false => (why, Sentence::default()),
        };
        read.comment(why, Item::registry_ca(guessed_host(read), &object, &key));
        messages::authority_in_the_way_of_dind(volume.called(), command)
    }

    /// Says that dind is used, once what speaks for it is known.
    pub(super) fn finish(self, evidence: &Node, read: &mut Read) {
        let dind = Item::dind(self.leave);
        let mut items = read.wants.iter_mut().flat_map(|want| &mut want.items);
        let mut has_item = false;
        for item in items.by_ref().filter(|item| item.field == Field::Dind) {
            item.clone_from(&dind);
            has_item = true;
        }
        if !has_item {
            let remark = say!("this runner's jobs use dind, so the policy has dind.clientCerts");
            // Where a volume is the evidence, its own want says what becomes of the lines.
            let place = evidence.into();
            let removal = match read.wants.iter_mut().find(|want| want.place == place) {
                Some(want) => {
                    want.items.push(dind);
                    return;
                }
                None => Removal::Keep(say!("keep the line")),
            };
            read.want(evidence, dind, removal, remark);
        }
    }
}
