//! `pod_spec` patches of a runner. Only hostAliases, hostNetwork, and mounts at the certificate
//! directory are read.

use super::docker::Facts;
use super::finding::{Field, Setting};
use super::messages;
use super::node::{Node, Origin};
use super::runner::Collected;
use super::safe_text::{Kind, SafeText, message};
use super::template::Masks;
use super::yaml;
use crate::core::mount_path::clean;
use std::net::IpAddr;

const FLAG: &str = "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION";

pub(super) fn read(facts: &Facts<'_>, out: &mut Collected) {
    let mut flags = facts.node.entries_at("feature_flags").iter();
    let flag = flags.find(|entry| entry.key.eq_ignore_ascii_case(FLAG));
    let in_environment = facts
        .variable(FLAG)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_on = match flag {
        Some(entry) => entry.node.is_true(),
        None => matches!(in_environment.as_str(), "true" | "1" | "on"),
    };
    for patch in facts.kubernetes.items_at("pod_spec") {
        let name = patch.text_at("name").unwrap_or("(unnamed)");
        let name = SafeText::or_hidden(Kind::Name, name);
        if !is_on {
            out.report(patch, messages::patch_without_flag(&name, FLAG));
            continue;
        }
        let at = patch.at("patch").unwrap_or(patch);
        let text = at.as_text().unwrap_or_default();
        let mut effects = Effects::default();
        for document in
            yaml::read(text, Origin::Inline(at.span), &Masks::default()).unwrap_or_default()
        {
            effects.of(&document);
        }
        let certificates = facts.certificates();
        let is_there = |path: &String| Some(clean(path).as_ref()) == certificates.as_deref();
        let more = if patch.text_at("patch_path").is_some() {
            message!("; it is in a file of the manager")
        } else if text.is_empty() && !at.is_unknown() {
            message!("; it is empty")
        } else if effects.mounts.iter().any(is_there) {
            message!(
                "; it mounts a volume at the certificate directory, which drydock repairs in pods with dind"
            )
        } else {
            message!("")
        };
        for (hostname, address) in &effects.aliases {
            if let Ok(address) = address.trim().parse() {
                alias(at, hostname, address, out);
            }
        }
        if effects.host_network {
            out.report(at, messages::host_network(&name));
        }
        out.report(patch, messages::patch(&name, FLAG, more));
    }
}

/// Compares an alias of a patch with those of `host_aliases`.
fn alias(at: &Node, hostname: &str, address: IpAddr, out: &mut Collected) {
    let hostname = hostname.trim().to_lowercase();
    let name = SafeText::or_hidden(Kind::Hostname, &hostname);
    let shown = SafeText::own(address);
    let other = |setting: &Setting| {
        let mut items = setting
            .items
            .iter()
            .filter(|item| item.field == Field::Alias);
        let item = items.find(|item| {
            item.key.as_str() == hostname
                && item
                    .address()
                    .is_some_and(|it| it.is_ipv4() == address.is_ipv4())
        });
        Some((item?.address()?, setting.place.clone()))
    };
    match out.settings.iter().find_map(other) {
        Some((other, _)) if other == address => {}
        Some((other, place)) => {
            let message = messages::patched_alias(name, SafeText::own(other), shown);
            out.findings.push(message.at(place).at(at));
        }
        None => out.report(at, messages::alias_in_patch(name, shown)),
    }
}

#[derive(Default)]
struct Effects {
    aliases: Vec<(String, String)>,
    mounts: Vec<String>,
    host_network: bool,
}

impl Effects {
    /// Reads a patch of any type: a merge patch has these keys, a JSON patch has these paths.
    fn of(&mut self, node: &Node) {
        node.items().iter().for_each(|item| self.of(item));
        let path = node.text_at("path").unwrap_or_default();
        let value = node.at("value");
        self.host_network |= path == "/hostNetwork" && value.is_some_and(Node::is_true);
        if path.starts_with("/hostAliases") {
            value.into_iter().for_each(|value| self.alias(value));
        }
        for entry in node.entries() {
            match entry.key.as_str() {
                "hostAliases" => self.alias(&entry.node),
                "hostNetwork" => self.host_network |= entry.node.is_true(),
                "mountPath" => self.mounts.extend(entry.node.as_text().map(str::to_owned)),
                _ => self.of(&entry.node),
            }
        }
    }

    fn alias(&mut self, node: &Node) {
        node.items().iter().for_each(|item| self.alias(item));
        let address = node.text_at("ip").unwrap_or_default();
        let names = node.items_at("hostnames").iter().filter_map(Node::as_text);
        self.aliases
            .extend(names.map(|name| (name.to_owned(), address.to_owned())));
    }
}
