//! `node_selector` and `node_tolerations`: dind's only where every pod of the runner is a dind pod.

use super::docker::Facts;
use super::finding::{Finding, Item, Removal};
use super::located::Entry;
use super::messages;
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Read;

pub(super) const EFFECTS: [&str; 4] = ["NoSchedule", "PreferNoSchedule", "NoExecute", ""];

/// Last parts of label keys that are an architecture, a system or a node.
const NODES: [&str; 3] = ["arch", "os", "hostname"];

pub(super) fn read(facts: &Facts<'_>, read: &mut Read) {
    for name in ["node_selector", "node_tolerations"] {
        let Some(table) = facts.kubernetes.at(name).filter(|table| table.is_set()) else {
            continue;
        };
        if facts.dind_service.is_none() {
            read.find(table, messages::scheduling(name));
            continue;
        }
        for entry in table.entries() {
            let keep = || {
                Removal::Keep(say!(
                    "keep the line: every pod of this runner needs it; the policy gives it to the dind pods of all runners"
                ))
            };
            match item(name, entry) {
                Ok(item) if item.key.as_str().starts_with("node-role.kubernetes.io/") => {
                    read.find(&entry.node, messages::control_plane(&item.key));
                    read.comment(say!("line {}: this sends privileged pods of every runner to control-plane nodes, if it is wanted", entry.key_span.line), item);
                }
                Ok(item) => {
                    let is_cut = name == "node_tolerations" && entry.key.matches('=').count() > 1;
                    let remark = match is_cut {
                        true => say!("the runner takes the value up to the second = only"),
                        false => Sentence::default(),
                    };
                    read.want(&entry.node, item, keep(), remark);
                }
                Err(finding) => read.find(&entry.node, finding),
            }
        }
    }
}

/// An entry of one of the tables as an item, or what to say of it.
fn item(name: &'static str, entry: &Entry) -> Result<Item, Finding> {
    let text = entry.node.as_text().unwrap_or_default();
    let key = entry.key.split('=').next().unwrap_or_default();
    let shown = Printable::or_hidden(Kind::Key, key);
    if entry.node.is_unknown() || entry.key.contains(['$', '{']) || text.contains('$') {
        return Err(messages::unknown_scheduling(name, shown));
    }
    let key = Printable::new(Kind::Key, key);
    let item = if name == "node_selector" {
        let last = entry.key.rsplit('/').next().unwrap_or_default();
        if NODES.contains(&last) {
            return Err(messages::selector_of_nodes(shown));
        }
        let value = Printable::new(Kind::LabelValue, text);
        key.zip(value)
            .map(|(key, value)| Item::node_selector(key, &value))
    } else {
        toleration(key, &entry.key, text)
    };
    item.ok_or_else(|| messages::wrong_scheduling(name, shown))
}

/// `key=value` with an effect, as the runner reads it: what is behind a second `=` is lost.
fn toleration(key: Option<Printable>, whole: &str, effect: &str) -> Option<Item> {
    let effect = EFFECTS.into_iter().find(|known| *known == effect)?;
    let value = match whole.split('=').nth(1) {
        Some("") => Some(Printable::default()),
        Some(value) => Some(Printable::new(Kind::LabelValue, value)?),
        None => None,
    };
    Some(Item::toleration(key?, value.as_ref(), effect))
}
