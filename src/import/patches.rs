//! Reports `pod_spec` patches of a runner. Of a patch, only `hostAliases`, `hostNetwork` and
//! `mountPath` are read.

use super::config_value::{ConfigValue, Origin};
use super::finding::Setting;
use super::messages;
use super::runner::Collected;
use super::runner_config::RunnerConfig;
use super::safe_text::{Kind, SafeText, message};
use super::template::Masks;
use super::yaml;
use crate::core::mount_path::clean;
use std::net::IpAddr;

const FLAG: &str = "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION";

pub(super) fn read(config: &RunnerConfig<'_>, out: &mut Collected) {
    let mut flags = config.table.entries_at("feature_flags").iter();
    let flag = flags.find(|entry| entry.key.eq_ignore_ascii_case(FLAG));
    let in_environment = config
        .variable(FLAG)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_on = match flag {
        Some(entry) => entry.value.is_true(),
        None => matches!(in_environment.as_str(), "true" | "1" | "on"),
    };
    for patch in config.kubernetes.items_at("pod_spec") {
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
            effects.add_patch(&document);
        }
        let certificates = config.client_cert_directory();
        let is_cert_directory =
            |path: &String| Some(clean(path).as_ref()) == certificates.as_deref();
        let more = if patch.text_at("patch_path").is_some() {
            message!("; the patch is in a file of the manager's pod")
        } else if text.is_empty() && !at.is_unknown() {
            message!("; the patch is empty")
        } else if effects.mount_paths.iter().any(is_cert_directory) {
            message!(
                "; the patch mounts a volume at the certificate directory, which drydock repairs in pods with dind"
            )
        } else {
            message!("")
        };
        for (hostname, address) in &effects.aliases {
            if let Ok(address) = address.trim().parse() {
                report_alias(at, hostname, address, out);
            }
        }
        if effects.host_network {
            out.report(at, messages::host_network(&name));
        }
        out.report(patch, messages::patch(&name, FLAG, more));
    }
}

/// Reports an alias of a patch, unless `host_aliases` has the same address for the hostname.
fn report_alias(at: &ConfigValue, hostname: &str, address: IpAddr, out: &mut Collected) {
    let hostname = hostname.trim().to_lowercase();
    let name = SafeText::or_hidden(Kind::Hostname, &hostname);
    let shown = SafeText::trusted(address);
    let of_setting = |setting: &Setting| {
        let other = setting.address(&hostname, Some(address))?;
        Some((other, setting.place.clone()))
    };
    match out.settings.iter().find_map(of_setting) {
        Some((other, _)) if other == address => {}
        Some((other, place)) => {
            let message = messages::patched_alias(name, SafeText::trusted(other), shown);
            out.findings.push(message.at(place).at(at));
        }
        None => out.report(at, messages::alias_in_patch(name, shown)),
    }
}

/// The fields of a pod that a patch sets.
#[derive(Default)]
struct Effects {
    /// Hostnames and their addresses.
    aliases: Vec<(String, String)>,
    mount_paths: Vec<String>,
    host_network: bool,
}

impl Effects {
    /// Adds the fields that a patch of any type sets: a merge patch has the fields as keys, a
    /// JSON patch has operations with the paths of the fields.
    fn add_patch(&mut self, patch: &ConfigValue) {
        patch.items().iter().for_each(|item| self.add_patch(item));
        let path = patch.text_at("path").unwrap_or_default();
        let value = patch.at("value");
        self.host_network |= path == "/hostNetwork" && value.is_some_and(ConfigValue::is_true);
        if path.starts_with("/hostAliases") {
            value.into_iter().for_each(|value| self.add_aliases(value));
        }
        for entry in patch.entries() {
            match entry.key.as_str() {
                "hostAliases" => self.add_aliases(&entry.value),
                "hostNetwork" => self.host_network |= entry.value.is_true(),
                "mountPath" => {
                    let path = entry.value.as_text().map(str::to_owned);
                    self.mount_paths.extend(path);
                }
                _ => self.add_patch(&entry.value),
            }
        }
    }

    fn add_aliases(&mut self, value: &ConfigValue) {
        value.items().iter().for_each(|item| self.add_aliases(item));
        let address = value.text_at("ip").unwrap_or_default();
        let names = value
            .items_at("hostnames")
            .iter()
            .filter_map(ConfigValue::as_text);
        self.aliases
            .extend(names.map(|name| (name.to_owned(), address.to_owned())));
    }
}
