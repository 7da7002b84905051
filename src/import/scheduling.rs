//! Converts `node_selector` and `node_tolerations` to `dind.scheduling`, if every job pod of the
//! runner has a dind container.

use super::config_value::Entry;
use super::finding::{Finding, Item, Removal};
use super::messages;
use super::runner::Collected;
use super::runner_config::RunnerConfig;
use super::safe_text::{Kind, Message, SafeText, message};

pub(super) const EFFECTS: [&str; 4] = ["NoSchedule", "PreferNoSchedule", "NoExecute", ""];

/// Last parts of label keys that select an architecture, an operating system or a node.
const NODE_LABEL_SUFFIXES: [&str; 3] = ["arch", "os", "hostname"];

pub(super) fn read(config: &RunnerConfig<'_>, out: &mut Collected) {
    for name in ["node_selector", "node_tolerations"] {
        let Some(table) = config.kubernetes.set_at(name) else {
            continue;
        };
        if config.dind_service.is_none() {
            out.report(table, messages::scheduling(name));
            continue;
        }
        for entry in table.entries() {
            let keep = || {
                Removal::Keep(message!(
                    "keep the line: it applies to every pod of this runner, and the policy applies it to the dind pods of all runners"
                ))
            };
            match item(name, entry) {
                Ok(item) if item.key.as_str().starts_with("node-role.kubernetes.io/") => {
                    out.report(&entry.value, messages::control_plane(&item.key));
                    out.add_comment(message!("line {}: uncomment this toleration only if privileged pods of every runner may run on control-plane nodes", entry.key_span.line), item);
                }
                Ok(item) => {
                    let is_cut = name == "node_tolerations" && entry.key.matches('=').count() > 1;
                    let remark = match is_cut {
                        true => message!("the runner reads the value only up to the second ="),
                        false => Message::default(),
                    };
                    out.add_setting(&entry.value, item, keep(), remark);
                }
                Err(finding) => out.report(&entry.value, finding),
            }
        }
    }
}

/// Converts an entry of `node_selector` or `node_tolerations` to an item. Returns a finding
/// if a policy cannot have the entry.
fn item(name: &'static str, entry: &Entry) -> Result<Item, Finding> {
    let text = entry.value.as_text().unwrap_or_default();
    let key = entry.key.split('=').next().unwrap_or_default();
    let shown = SafeText::or_hidden(Kind::Key, key);
    if entry.value.is_unknown() || entry.key.contains(['$', '{']) || text.contains('$') {
        return Err(messages::unknown_scheduling(name, shown));
    }
    let key = SafeText::new(Kind::Key, key);
    let item = if name == "node_selector" {
        let last = entry.key.rsplit('/').next().unwrap_or_default();
        if NODE_LABEL_SUFFIXES.contains(&last) {
            return Err(messages::selector_of_nodes(shown));
        }
        let value = SafeText::new(Kind::LabelValue, text);
        key.zip(value)
            .map(|(key, value)| Item::node_selector(key, &value))
    } else {
        toleration(key, &entry.key, text)
    };
    item.ok_or_else(|| messages::wrong_scheduling(name, shown))
}

/// Parses `key=value` and an effect. Like the runner, ignores a second `=` and the text after it.
fn toleration(key: Option<SafeText>, whole: &str, effect: &str) -> Option<Item> {
    let effect = EFFECTS.into_iter().find(|known| *known == effect)?;
    let value = match whole.split('=').nth(1) {
        Some("") => Some(SafeText::default()),
        Some(value) => Some(SafeText::new(Kind::LabelValue, value)?),
        None => None,
    };
    Some(Item::toleration(key?, value.as_ref(), effect))
}
