//! `node_selector` and `node_tolerations`: dind's only where every pod of the runner is a dind pod.

use super::facts::Facts;
use super::finding::{Comment, Group, Item, Removal, Want};
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Read;

pub(super) fn read(facts: &Facts<'_>, read: &mut Read) {
    let kubernetes = facts.kubernetes;
    let is_dind_only = facts.dind_service.is_some();
    let keep = say!(
        "keep the line: every pod of this runner needs it; the policy gives it to the dind pods of all runners"
    );
    for (name, word) in [
        ("node_selector", "node_selector"),
        ("node_tolerations", "node_tolerations"),
    ] {
        let Some(table) = kubernetes
            .at(name)
            .filter(|table| !table.entries().is_empty())
        else {
            continue;
        };
        if !is_dind_only {
            let what = say!(
                "{}: it is for all jobs of this runner, and dind.scheduling is for dind pods only",
                word
            );
            read.find(
                Group::NotTaken,
                facts.place(table),
                what,
                say!("keep it in the file"),
            );
            continue;
        }
        for entry in table.entries() {
            let want = |item: Item| Want {
                item,
                place: facts.place(&entry.node),
                keep: Some(keep.clone()),
                remark: Sentence::default(),
                removal: Removal::None,
            };
            let text = entry.node.as_text().unwrap_or_default();
            let raw = Printable::or_hidden(Kind::Key, &entry.key);
            if entry.node.is_unknown() || entry.key.contains(['$', '{']) || text.contains('$') {
                read.find(
                    Group::NotTaken,
                    facts.place(&entry.node),
                    say!("{} {}: a template or a variable decides", word, raw),
                    say!("keep it in the file"),
                );
            } else if name == "node_selector" {
                let last = entry.key.rsplit('/').next().unwrap_or_default();
                match (
                    Printable::new(Kind::Key, &entry.key),
                    Printable::label_value(text),
                ) {
                    _ if ["arch", "os", "hostname"].contains(&last) => {
                        let what = say!(
                            "{} {}: an architecture, a system or a node is not the policy's to choose for every runner",
                            word,
                            raw
                        );
                        read.find(
                            Group::NotTaken,
                            facts.place(&entry.node),
                            what,
                            say!("keep it in the file"),
                        );
                    }
                    (Some(key), Some(value)) => {
                        read.wants.push(want(Item::Selector { key, value }))
                    }
                    _ => read.find(
                        Group::NotTaken,
                        facts.place(&entry.node),
                        say!("{} {}: no label", word, raw),
                        say!("correct it"),
                    ),
                }
            } else if let Some(item) = toleration(&entry.key, text) {
                let Item::Toleration { key, .. } = &item else {
                    continue;
                };
                let is_control_plane = key.as_str().starts_with("node-role.kubernetes.io/");
                if is_control_plane {
                    let why = say!(
                        "line {}: this sends privileged pods of every runner to control-plane nodes, if it is wanted",
                        entry.key_span.line
                    );
                    read.comments.push(Comment {
                        why,
                        lines: vec![say!(
                            "dind: {{scheduling: {{tolerations: [{}]}}}}",
                            super::policy::toleration(&item)
                        )],
                    });
                    let what = say!(
                        "a toleration of {} sends privileged pods to control-plane nodes",
                        key
                    );
                    read.find(
                        Group::Dangerous,
                        facts.place(&entry.node),
                        what,
                        say!(
                            "it is a comment in the policy; keep it in the file of this runner only"
                        ),
                    );
                } else {
                    let mut want = want(item);
                    if entry.key.matches('=').count() > 1 {
                        want.remark = say!("the runner takes the value up to the second = only");
                    }
                    read.wants.push(want);
                }
            } else {
                read.find(
                    Group::NotTaken,
                    facts.place(&entry.node),
                    say!("{} {}: no toleration that the API server takes", word, raw),
                    say!("correct it"),
                );
            }
        }
    }
}
/// `key=value` with an effect, as the runner reads it: what is behind a second `=` is lost.
fn toleration(key: &str, effect: &str) -> Option<Item> {
    let effect = ["", "NoSchedule", "PreferNoSchedule", "NoExecute"]
        .into_iter()
        .find(|known| *known == effect)?;
    let mut parts = key.split('=');
    let key = Printable::new(Kind::Key, parts.next()?)?;
    let value = match parts.next() {
        Some(value) => Some(Printable::label_value(value)?),
        None => None,
    };
    Some(Item::Toleration { key, value, effect })
}
