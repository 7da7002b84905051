//! Whether a runner's jobs use dind, and which of its volumes a policy can have for them.

use super::facts::Facts;
use super::finding::{Comment, Content, Group, Item, Place, Removal, Want};
use super::located::Node;
use super::printable::{Kind, Printable, Sentence, say};
use super::registries::{guessed_host, registry, registry_lines, to_config_map};
use super::runner::Read;
use super::volumes::{
    CLIENT, DAEMON, DATA, MODULES, REGISTRIES, Volume, danger, object, path_of, take,
};
use crate::core::crd::format;
use crate::core::mount_path::parent;

/// What the volumes of a runner say about dind.
pub(super) struct Docker {
    /// The directory that dind writes the client's certificates to.
    certificates: Option<String>,
    /// Whether something speaks for dind, beside what is in the way of its certificates.
    is_used: bool,
    /// Where that is.
    evidence: Option<Place>,
    /// Whether something is rightly at the certificate directory.
    leave: bool,
    /// What else uses storage: a limit that images in an emptyDir would count against.
    has_storage_limit: bool,
}
impl Docker {
    pub(super) fn of(facts: &Facts<'_>, volumes: &[Volume<'_>]) -> Self {
        let certificates = facts.certificates();
        let is_remote = facts.remote_daemon().is_some();
        let mut docker = Self {
            certificates,
            is_used: false,
            evidence: None,
            leave: false,
            has_storage_limit: false,
        };
        let speaks = |volume: &&Volume<'_>| {
            let is_certificates = volume.kind == "empty_dir"
                && (docker.is_at(volume) || docker.is_above(volume))
                && !is_remote;
            let places = DATA.iter().chain(&REGISTRIES).chain([&MODULES, &DAEMON]);
            is_certificates || places.into_iter().any(|path| volume.at_or_below(path))
        };
        let volume = volumes.iter().find(speaks).map(|volume| volume.node);
        let evidence = facts.dind_service.or(volume);
        docker.is_used = evidence.is_some();
        docker.evidence = evidence.map(|node| facts.place(node));
        let limits = [
            "ephemeral_storage_limit",
            "service_ephemeral_storage_limit",
            "helper_ephemeral_storage_limit",
        ];
        docker.has_storage_limit = limits.iter().any(|limit| {
            facts.kubernetes.at(limit).is_some_and(|node| {
                node.is_unknown() || node.as_text().is_some_and(|text| !text.is_empty())
            })
        });
        docker
    }

    /// Whether a volume is at or below the certificate directory.
    fn is_at(&self, volume: &Volume<'_>) -> bool {
        self.certificates
            .iter()
            .map(String::as_str)
            .chain([CLIENT])
            .any(|path| volume.at_or_below(path))
    }

    fn is_above(&self, volume: &Volume<'_>) -> bool {
        self.certificates
            .iter()
            .map(String::as_str)
            .chain([CLIENT])
            .any(|path| parent(path) == volume.path && volume.path != "/")
    }

    pub(super) fn judge(&mut self, facts: &Facts<'_>, volume: &Volume<'_>, read: &mut Read) {
        let place = facts.place(volume.node);
        let is_content = matches!(volume.kind, "secret" | "config_map");
        if self.is_at(volume) || self.is_above(volume) && (volume.kind == "empty_dir" || is_content)
        {
            self.certificates(facts, volume, place, read);
        } else if let Some(what) = danger(volume) {
            read.find(
                Group::Dangerous,
                place,
                say!("{}: {}", volume.called(), what),
                say!("take it out; it is in no policy"),
            );
        } else if REGISTRIES.iter().any(|path| volume.at_or_below(path)) {
            registry(facts, volume, place, read);
        } else if DATA.iter().any(|path| volume.at_or_below(path)) {
            self.data(volume, place, read);
        } else if volume.path == MODULES && volume.kind == "host_path" && volume.sub_path.is_none()
        {
            let path = volume.node.text_at("host_path").unwrap_or(&volume.path);
            let Some(path) = path_of(path) else { return };
            take(
                volume,
                Content::HostPath(path),
                "dind-modules",
                place,
                None,
                Sentence::default(),
                read,
            );
        } else if volume.path == DAEMON && volume.kind == "config_map" && volume.sub_path.is_none()
        {
            let items = volume.items().unwrap_or_default();
            let items = items.into_iter().map(|(path, key)| {
                Some((
                    Printable::new(Kind::Key, key)?,
                    Printable::new(Kind::Key, path)?,
                ))
            });
            if let (Some(items), Some(name)) = (items.collect(), object(volume.name)) {
                take(
                    volume,
                    Content::ConfigMap(name, items),
                    "dind-config",
                    place,
                    None,
                    Sentence::default(),
                    read,
                );
            }
        } else {
            let why = match (volume.kind, volume.sub_path) {
                ("pvc", _) if volume.name.contains('$') => {
                    "a claim for each build, which no policy can have"
                }
                (_, Some(_)) if volume.at_or_below(DAEMON) => "a policy's volumes have no sub_path",
                _ if self.is_above(volume) => {
                    "it stays; drydock mounts the certificate directory on top of it where dind and build do not share it"
                }
                _ => "it is not dind's; drydock leaves it as it is",
            };
            read.find(
                Group::NotTaken,
                place,
                say!("{}: {}", volume.called(), why),
                say!("keep it in the file"),
            );
        }
    }

    /// Something at the certificate directory, below it or right above it.
    fn certificates(
        &mut self,
        facts: &Facts<'_>,
        volume: &Volume<'_>,
        place: Place,
        read: &mut Read,
    ) {
        let remote = facts.remote_daemon();
        if volume.kind == "empty_dir" {
            if remote.is_some() || !self.is_used {
                read.find(
                    Group::NotTaken,
                    place,
                    say!("{}: jobs call another daemon", volume.called()),
                    say!("keep it in the file"),
                );
                return;
            }
            let remark = say!("dind.clientCerts makes it in every dind pod");
            let removal = Removal::All;
            read.wants.push(Want {
                item: Item::Dind { leave: false },
                place,
                keep: None,
                remark,
                removal,
            });
            return;
        }
        let items = volume.items();
        let names: Vec<&str> = items
            .iter()
            .flatten()
            .flat_map(|(path, key)| [*path, *key])
            .collect();
        let has = |end: &str| names.iter().any(|name| name.ends_with(end));
        let is_client = has("cert.pem") && has("key.pem") || has(".crt") && has(".key");
        let is_off = facts
            .variables
            .get("DOCKER_TLS_CERTDIR")
            .is_some_and(|value| value.as_deref() == Some(""));
        let speaks = self.is_used || facts.is_privileged != Some(false) || facts.speaks_of_docker();
        let right = match &remote {
            Some(daemon) => Some(say!("client certificates for the daemon at {}", daemon)),
            None if is_client => Some(say!("a client's certificate and key")),
            None if is_off => Some(say!("TLS is off, so dind does not write there")),
            None if !speaks => Some(say!("nothing in this file uses dind")),
            None => None,
        };
        if let Some(right) = right {
            self.leave = true;
            read.find(
                Group::NotTaken,
                place,
                say!(
                    "{}: {}; right as it is, drydock leaves it alone",
                    volume.called(),
                    right
                ),
                say!("keep it in the file"),
            );
            return;
        }
        self.is_used = true;
        let what = say!(
            "{}: dind must write there, and cannot: images since 2023 exit, older ones run without TLS",
            volume.called()
        );
        let mut todo = say!(
            "remove the lines; until then the policy puts an emptyDir in its place in dind pods"
        );
        if matches!(volume.kind, "secret" | "config_map")
            && let Some(object) = object(volume.name)
        {
            let authority = items
                .iter()
                .flatten()
                .find(|(path, _)| path.ends_with(".pem") || path.ends_with(".crt"));
            let key = authority.map_or_else(|| volume.sub_path.unwrap_or("ca.pem"), |(_, key)| key);
            let Some(key) = Printable::new(Kind::Key, key) else {
                return;
            };
            let host = guessed_host(read);
            let is_secret = volume.kind == "secret";
            todo = todo.and(&"; if it is the authority of a registry, its place is registryCAs (a comment in the policy, with a guessed host)");
            if is_secret {
                todo = todo.and(&say!(": {}", to_config_map(facts, &object, &key)));
            }
            let why = say!(
                "line {}: what {} {} was probably for; the host is a guess{}",
                volume.node.span.line,
                volume.word,
                object,
                if is_secret {
                    ", and the ConfigMap has to be made first"
                } else {
                    ""
                }
            );
            read.comments.push(Comment {
                why,
                lines: registry_lines(&host, &object, &key),
            });
        }
        read.find(Group::Conflict, place.clone(), what, todo);
        let item = Item::Dind { leave: false };
        read.wants.push(Want {
            item,
            place,
            keep: None,
            remark: Sentence::default(),
            removal: Removal::None,
        });
    }

    fn data(&self, volume: &Volume<'_>, place: Place, read: &mut Read) {
        let is_claim_per_build = volume.kind == "pvc" && volume.name.contains('$');
        let is_shared = matches!(volume.kind, "pvc" | "nfs" | "host_path") && !is_claim_per_build;
        if is_shared {
            let what = say!(
                "{}: shared by all pods at the data path: two daemons in one directory destroy it",
                volume.called()
            );
            read.find(
                Group::Dangerous,
                place,
                what,
                say!("use an emptyDir; it is in no policy"),
            );
            return;
        }
        if volume.kind != "empty_dir"
            || volume.sub_path.is_some()
            || !DATA.contains(&volume.path.as_str())
        {
            let why = if is_claim_per_build {
                "a claim for each build, which no policy can have"
            } else if volume.sub_path.is_some() {
                "a policy's volumes have no sub_path"
            } else {
                "no volume for a policy"
            };
            read.find(
                Group::NotTaken,
                place,
                say!("{}: {}", volume.called(), why),
                say!("keep it in the file"),
            );
            return;
        }
        let medium = volume
            .node
            .at("medium")
            .map(|node| node.as_text().unwrap_or("?"))
            .unwrap_or_default();
        if !["", "Memory"].contains(&medium) {
            read.find(
                Group::NotTaken,
                place,
                say!(
                    "{}: its medium is neither empty nor Memory",
                    volume.called()
                ),
                say!("correct it"),
            );
            return;
        }
        let written = volume
            .node
            .at("size_limit")
            .filter(|node| node.as_text() != Some(""));
        let text = written.and_then(Node::as_text).unwrap_or_default();
        let is_positive = |size: &Printable| format::SIZE_LIMIT.check(size.as_str()).is_ok();
        let size = Printable::quantity(text.trim()).filter(is_positive);
        let remark = match (written, &size) {
            (None, _) => Sentence::default(),
            (Some(_), Some(_)) if text == text.trim() => Sentence::default(),
            (Some(_), Some(size)) => say!(
                "its size_limit has a blank, so the runner has set no limit; the policy has {}",
                size
            ),
            (Some(_), None) => {
                say!("its size_limit is no quantity, so there is no limit, as today")
            }
        };
        let keep = self.has_storage_limit.then(|| say!("keep the line: in a pod with an ephemeral-storage limit drydock adds no emptyDir at the data path (V7), because images would count against the limit"));
        take(
            volume,
            Content::EmptyDir {
                in_memory: medium == "Memory",
                size,
            },
            "dind-storage",
            place,
            keep,
            remark,
            read,
        );
    }

    /// Says that dind is used, once what speaks for it is known.
    pub(super) fn finish(self, facts: &Facts<'_>, read: &mut Read) {
        let leave = self.leave;
        for want in &mut read.wants {
            if let Item::Dind { leave: left } = &mut want.item {
                *left = leave;
            }
        }
        let has_item = read
            .wants
            .iter()
            .any(|want| matches!(want.item, Item::Dind { .. }));
        if self.is_used && !has_item {
            let place = self
                .evidence
                .unwrap_or_else(|| facts.place(facts.kubernetes));
            let remark = say!("this runner's jobs use dind, so the policy has dind.clientCerts");
            // Where a volume is the evidence, its own want says what becomes of the lines.
            let is_volume = read.wants.iter().any(|want| want.place == place);
            let keep = (!is_volume).then(|| say!("keep the line"));
            read.wants.push(Want {
                item: Item::Dind { leave },
                place,
                keep,
                remark,
                removal: Removal::None,
            });
        }
    }
}
