//! `pod_spec` patches of a runner: opaque, but for hostAliases, mounts at the certificate
//! directory, and hostNetwork.

use super::facts::Facts;
use super::finding::{Finding, Group, Item};
use super::located::{Node, Origin};
use super::printable::{Kind, Printable, say};
use super::runner::Read;
use super::yaml;
use crate::core::mount_path::clean;

const FLAG: &str = "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION";

pub(super) fn read(facts: &Facts<'_>, node: &Node, read: &mut Read) {
    let in_flags = node.at("feature_flags").and_then(|flags| {
        flags
            .entries()
            .iter()
            .find(|entry| entry.key.eq_ignore_ascii_case(FLAG))
    });
    let in_environment = facts.variables.get(FLAG).and_then(Option::as_deref);
    let is_on = match (in_flags, in_environment) {
        (Some(entry), _) => entry.node.is_true(),
        (None, Some(value)) => matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "on"),
        (None, None) => false,
    };
    for patch in facts
        .kubernetes
        .at("pod_spec")
        .map(Node::items)
        .unwrap_or_default()
    {
        let name = patch
            .text_at("name")
            .map(|name| Printable::or_hidden(Kind::Name, name))
            .unwrap_or_default();
        let place = facts.place(patch);
        let what = say!(
            "pod_spec patch {}: its text is not taken over and not shown",
            name
        );
        if !is_on {
            let what = what.and(&say!(
                "; {} is off for this runner, so it has no effect",
                FLAG
            ));
            read.find(Group::NotTaken, place, what, say!("keep it in the file"));
            continue;
        }
        let mut what = what.and(&"; drydock sees its result in the pod and repairs that");
        if patch.text_at("patch_path").is_some() {
            what = what.and(&"; it is in a file of the manager");
        } else if patch.text_at("patch").is_none() {
            what = what.and(&"; it is empty");
        }
        let at = patch.at("patch").unwrap_or(patch);
        let text = at.as_text().unwrap_or_default();
        let documents = yaml::read(text, Origin::Inline(at.span)).unwrap_or_default();
        for document in &documents {
            let mut effects = Effects::default();
            effects.of(document);
            let certificates = facts.certificates();
            if effects
                .mounts
                .iter()
                .any(|path| Some(clean(path).as_ref()) == certificates.as_deref())
            {
                what = what.and(&"; it mounts something at the certificate directory, which drydock repairs in pods with dind");
            }
            for (hostname, address) in &effects.aliases {
                conflict(facts, at, hostname, address, read);
            }
            if effects.host_network {
                let danger = say!(
                    "pod_spec patch {} puts every job on the network of its node (hostNetwork)",
                    name
                );
                read.find(
                    Group::Dangerous,
                    facts.place(at),
                    danger,
                    say!("take it out"),
                );
            }
        }
        read.find(Group::NotTaken, place, what, say!("keep it in the file"));
    }
}

fn conflict(facts: &Facts<'_>, at: &Node, hostname: &str, address: &str, read: &mut Read) {
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return;
    };
    let hostname = hostname.to_lowercase();
    let other = read.wants.iter().find_map(|want| match &want.item {
        Item::Alias {
            hostname: known,
            address: other,
        } if known.as_str() == hostname && other.is_ipv4() == address.is_ipv4() => {
            Some((*other, want.place.clone()))
        }
        _ => None,
    });
    let name = Printable::or_hidden(Kind::Hostname, &hostname);
    match other {
        Some((other, place)) if other != address => {
            let what = say!(
                "{} is {} in host_aliases and {} in a pod_spec patch, which wins on this runner today; with the policy {} wins",
                name,
                Printable::address(other),
                Printable::address(address),
                Printable::address(other)
            );
            read.findings.push(Finding { group: Group::Conflict, places: vec![place, facts.place(at)], what, todo: say!("take the hostAliases out of the patch: they also replace the names of the job's services") });
        }
        Some(_) => {}
        None => {
            let what = say!(
                "{} ({}) is in a pod_spec patch, which is not taken over",
                name,
                Printable::address(address)
            );
            read.find(
                Group::NotTaken,
                facts.place(at),
                what,
                say!("write it as host_aliases and import again, or add it to the policy"),
            );
        }
    }
}

#[derive(Default)]
struct Effects {
    aliases: Vec<(String, String)>,
    mounts: Vec<String>,
    host_network: bool,
}

impl Effects {
    /// Looks into a patch of any type: objects with these keys, and operations with these paths.
    fn of(&mut self, node: &Node) {
        node.items().iter().for_each(|item| self.of(item));
        let path = node.text_at("path").unwrap_or_default();
        if path == "/hostNetwork" && node.at("value").is_some_and(Node::is_true)
            || node.at("hostNetwork").is_some_and(Node::is_true)
        {
            self.host_network = true;
        }
        if path.starts_with("/hostAliases") {
            node.at("value")
                .into_iter()
                .for_each(|value| self.alias(value));
        }
        for entry in node.entries() {
            match entry.key.as_str() {
                "hostAliases" => self.alias(&entry.node),
                "mountPath" => self.mounts.extend(entry.node.as_text().map(str::to_owned)),
                _ => self.of(&entry.node),
            }
        }
    }

    fn alias(&mut self, node: &Node) {
        node.items().iter().for_each(|item| self.alias(item));
        let address = node.text_at("ip").unwrap_or_default();
        for name in node.at("hostnames").map(Node::items).unwrap_or_default() {
            self.aliases.extend(
                name.as_text()
                    .map(|name| (name.to_owned(), address.to_owned())),
            );
        }
    }
}
