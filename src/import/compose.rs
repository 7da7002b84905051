//! Runners to policies: what all of a cluster share, what each has for itself, how its pods are
//! selected, and what of its file becomes redundant.

use super::diff::Diffs;
use super::finding::{Field, Finding, Group, Item, Removal, Want};
use super::messages;
use super::policy::Document;
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Runner;
use std::collections::{BTreeMap, BTreeSet};

/// The label by which a runner's pods are known, from GitLab Runner 17.9.
const NAME_LABEL: &str = "manager.runner.gitlab.com/name";

/// The runners of one cluster.
struct Cluster<'r> {
    runners: Vec<Member<'r>>,
    /// What all of them have, and the name of its policy.
    shared: Vec<&'r Item>,
    name: Printable,
    /// Hostnames, paths, hosts and keys with two values.
    conflicting: BTreeSet<(Field, Printable, bool)>,
}

struct Member<'r> {
    runner: &'r Runner,
    /// What selects its pods among those of the others, or why nothing does.
    selector: Result<(Printable, Printable), Sentence>,
    /// The name of its own policy, if it needs one.
    policy: Option<Printable>,
}

/// Where an item of a runner goes: the policy, and whether it is its own.
type Fate<'c> = Result<(&'c Printable, bool), &'c Sentence>;

/// Composes policies, and says what is in them and what is not.
pub(super) fn compose(
    runners: &[Runner],
    diffs: &mut Diffs<'_>,
    findings: &mut Vec<Finding>,
) -> Vec<Document> {
    let mut clusters: Vec<&str> = Vec::new();
    for runner in runners {
        if !clusters.contains(&runner.cluster.as_str()) {
            clusters.push(&runner.cluster);
        }
    }
    let mut names = BTreeSet::new();
    let mut documents = Vec::new();
    for (index, cluster) in clusters.iter().enumerate() {
        let base = match index {
            0 => "imported".to_owned(),
            _ => format!("imported-{}", slug(cluster)),
        };
        let head = (clusters.len() > 1).then(|| match *cluster {
            "" => say!("for the cluster that the manager itself is in"),
            name => {
                let name = Printable::or_hidden(Kind::Hostname, name);
                say!("for the cluster {} only: apply it there", name)
            }
        });
        let members = runners.iter().filter(|runner| runner.cluster == **cluster);
        let mut cluster = Cluster::of(&members.collect::<Vec<_>>(), &base, &mut names);
        cluster.conflicts(findings);
        documents.extend(cluster.documents(head.as_ref()));
        cluster.taken(diffs, findings);
    }
    documents
}

impl<'r> Cluster<'r> {
    fn of(runners: &[&'r Runner], base: &str, names: &mut BTreeSet<String>) -> Self {
        let has = |runner: &Runner, item: &Item| runner.read.items().any(|it| it.is_same(item));
        let mut shared: Vec<&Item> = Vec::new();
        for item in runners
            .first()
            .into_iter()
            .flat_map(|runner| runner.read.items())
        {
            let is_known = shared.iter().any(|known| known.is_same(item));
            if !is_known && runners.iter().all(|runner| has(runner, item)) {
                shared.push(item);
            }
        }
        let name = unique(base, names);
        let member = |runner: &&'r Runner| {
            let others = runners
                .iter()
                .filter(|other| !std::ptr::eq(**other, *runner));
            let selector = selector(runner, &others.copied().collect::<Vec<_>>());
            let is_shared = |item: &Item| shared.iter().any(|it| it.is_same(item));
            let has_own = !runner.read.items().all(is_shared);
            let policy = selector
                .as_ref()
                .ok()
                .filter(|_| has_own)
                .map(|(_, value)| {
                    let name = runner.name.as_deref().unwrap_or(value.as_str());
                    unique(&format!("{base}-{}", slug(name)), names)
                });
            Member {
                runner,
                selector,
                policy,
            }
        };
        Self {
            runners: runners.iter().map(member).collect(),
            shared,
            name,
            conflicting: BTreeSet::new(),
        }
    }

    fn is_shared(&self, item: &Item) -> bool {
        self.shared.iter().any(|shared| shared.is_same(item))
    }

    fn fate<'c>(&'c self, member: &'c Member<'_>, item: &Item) -> Fate<'c> {
        match (&member.policy, &member.selector) {
            _ if self.is_shared(item) => Ok((&self.name, false)),
            (_, Err(why)) => Err(why),
            (policy, Ok(_)) => Ok((policy.as_ref().unwrap_or(&self.name), true)),
        }
    }

    fn documents(&self, head: Option<&Sentence>) -> Vec<Document> {
        let mut documents = Vec::new();
        let document = |name: &Printable, items: Vec<Item>| Document {
            name: name.as_str().to_owned(),
            selector: None,
            items,
            comments: Vec::new(),
            head: head.into_iter().cloned().collect(),
        };
        if !self.shared.is_empty() {
            documents.push(document(
                &self.name,
                self.shared.iter().copied().cloned().collect(),
            ));
        }
        for member in &self.runners {
            let (Some(policy), Ok(selector)) = (&member.policy, &member.selector) else {
                continue;
            };
            let all = || member.runner.read.items();
            let own: Vec<&Item> = all().filter(|item| !self.is_shared(item)).collect();
            // A hostname belongs to one policy with all its addresses (M2), clientCerts comes whole
            // from one (M3).
            let goes_along = |item: &Item| match item.field {
                Field::Alias => own
                    .iter()
                    .any(|it| it.field == Field::Alias && it.key == item.key),
                Field::Dind => own.iter().any(|it| it.field != Field::Alias),
                _ => false,
            };
            let items = all().filter(|item| !self.is_shared(item) || goes_along(item));
            let mut document = document(policy, items.cloned().collect());
            let (label, shared) = (&member.runner.label, &self.name);
            document.head.push(say!("only for {}; what other runners merely lack may be shared: move it to the policy {}", label, shared));
            if selector.0.as_str() == NAME_LABEL {
                document.head.push(say!("selects job pods of GitLab Runner 17.9 and later; older ones do not have the label"));
            }
            document.selector = Some(selector.clone());
            documents.push(document);
        }
        let comments = self
            .runners
            .iter()
            .flat_map(|member| &member.runner.read.comments);
        if let Some(first) = documents.first_mut() {
            for comment in comments {
                if !first.comments.contains(comment) {
                    first.comments.push(comment.clone());
                }
            }
        }
        documents
    }

    /// Tells of every hostname, path, host or key that has two values.
    fn conflicts(&mut self, findings: &mut Vec<Finding>) {
        let mut slots: BTreeMap<_, Vec<(&Member<'_>, &Want, &Item)>> = BTreeMap::new();
        for member in &self.runners {
            for want in &member.runner.read.wants {
                for item in &want.items {
                    if !matches!(item.field, Field::Dind | Field::Toleration) {
                        slots
                            .entry(item.slot())
                            .or_default()
                            .push((member, want, item));
                    }
                }
            }
        }
        slots.retain(|_, items| {
            let first = items.first().map(|(.., item)| *item);
            !items
                .iter()
                .all(|(.., item)| first.is_some_and(|first| first.is_same(item)))
        });
        for items in slots.values() {
            let value = |(member, _, item): &(&Member<'_>, &Want, &Item)| {
                say!("{} for {}", item.shown, member.runner.label)
            };
            let todo = |(member, _, item): &(&Member<'_>, &Want, &Item)| {
                let label = &member.runner.label;
                match self.fate(member, item) {
                    Ok((policy, true)) if member.is_by_name() => say!(
                        "{} has it from policy {} (GitLab Runner 17.9 and later; keep the lines on older ones)",
                        label,
                        policy
                    ),
                    Ok((policy, _)) => say!("{} has it from policy {}", label, policy),
                    Err(why) => say!(
                        "{} has it from no policy: {}, or leave its lines",
                        label,
                        why
                    ),
                }
            };
            let Some((_, _, first)) = items.first() else {
                continue;
            };
            let values = Sentence::list(items.iter().map(value));
            let todo = Sentence::joined(items.iter().map(todo), "; ");
            let finding = messages::two_values(first.subject(), values).with_todo(todo);
            let places = items.iter().map(|(_, want, _)| want.place.clone());
            findings.push(places.fold(finding, Finding::at));
        }
        self.conflicting = slots.into_keys().collect();
    }

    /// Says what is in the policies, and what of it can go from its file.
    fn taken(&self, diffs: &mut Diffs<'_>, findings: &mut Vec<Finding>) {
        for member in &self.runners {
            let Runner { label, read, .. } = member.runner;
            for want in &read.wants {
                let fates = want
                    .items
                    .iter()
                    .map(|item| (item, self.fate(member, item)));
                let fates: Vec<(&Item, Fate<'_>)> = fates.collect();
                let is_told = |item: &Item| self.conflicting.contains(&item.slot());
                for (item, fate) in fates.iter().filter(|(item, _)| !is_told(item)) {
                    if let Err(why) = fate {
                        let what = told(&[item], &Sentence::default());
                        let message = messages::not_selectable(what, label, why);
                        findings.push(message.at(want.place.clone()));
                    }
                }
                let good = fates
                    .iter()
                    .filter(|(item, fate)| fate.is_ok() && !is_told(item));
                let good: Vec<&(&Item, Fate<'_>)> = good.collect();
                // One finding in one group: a danger or a conflict is not told a second time.
                let is_elsewhere = |finding: &Finding| {
                    finding.group <= Group::Conflict && finding.places == [want.place.clone()]
                };
                if good.is_empty() || findings.iter().any(is_elsewhere) {
                    continue;
                }
                let is_part = fates.iter().any(|(_, fate)| fate.is_err());
                let is_own = good.iter().any(|(_, fate)| matches!(fate, Ok((_, true))));
                let has_own = fates.iter().any(|(_, fate)| matches!(fate, Ok((_, true))));
                let by_name = has_own && member.is_by_name();
                let todo = match &want.removal {
                    Removal::Keep(why) => why.clone(),
                    _ if member.runner.is_generated => say!("{}", messages::GENERATED),
                    _ if by_name => say!("{}", messages::BY_NAME),
                    removal if !is_part && diffs.remove(want.place.span, removal) => {
                        say!("{}", messages::IN_DIFF)
                    }
                    _ => say!("{}", messages::BY_HAND),
                };
                let items: Vec<&Item> = good.iter().map(|(item, _)| *item).collect();
                let policies = good.iter().filter_map(|(_, fate)| fate.as_ref().ok());
                let policies: BTreeSet<&Printable> = policies.map(|(policy, _)| *policy).collect();
                let word = if policies.len() > 1 {
                    "policies"
                } else {
                    "policy"
                };
                let shared = match is_own && self.runners.len() > 1 {
                    true => {
                        "; other runners do not have it, and the policy may be shared with them by taking out its podSelector"
                    }
                    false => "",
                };
                let what = told(&items, &want.remark);
                let message = messages::taken(what, word, Sentence::list(policies), shared);
                findings.push(message.with_todo(todo).at(want.place.clone()));
            }
        }
    }
}

impl Member<'_> {
    /// Whether only newer runners have the label that selects its pods.
    fn is_by_name(&self) -> bool {
        let selector = self.selector.as_ref();
        selector.is_ok_and(|(key, _)| key.as_str() == NAME_LABEL)
    }
}

/// Items of one place in a sentence.
fn told(items: &[&Item], remark: &Sentence) -> Sentence {
    let parts = items
        .iter()
        .enumerate()
        .map(|(index, item)| match item.field {
            // All names of a place have its one address.
            Field::Alias if index > 0 => item.subject(),
            Field::Alias => say!("hostAliases {}: {}", item.shown, item.key),
            Field::Volume | Field::RegistryCa => say!("{} ({})", item.subject(), item.shown),
            _ => item.subject(),
        });
    let parts = Sentence::list(parts);
    match remark.is_empty() {
        true => parts,
        false => say!("{} ({})", parts, remark),
    }
}

/// What selects the pods of one runner among those of others: a label of its own, else its name.
fn selector(runner: &Runner, others: &[&Runner]) -> Result<(Printable, Printable), Sentence> {
    let is_other = |other: &&Runner, key: &str, value: &str| {
        other.pod_labels.get(key).is_none_or(|known| known != value)
    };
    for (key, value) in &runner.pod_labels {
        let differs = others.iter().all(|other| is_other(other, key, value));
        let label = Printable::new(Kind::Key, key).zip(Printable::new(Kind::LabelValue, value));
        if let Some(label) = label.filter(|_| differs) {
            return Ok(label);
        }
    }
    let name = runner.name.as_ref().map_err(Clone::clone)?;
    if others.iter().any(|other| other.name.as_ref() == Ok(name)) {
        return Err(say!(
            "another runner has the same name as a label value: give each a name of its own"
        ));
    }
    let value = Printable::new(Kind::LabelValue, name);
    let value = value.ok_or_else(|| say!("its name is no label value: give it another one"))?;
    Ok((Printable::own(NAME_LABEL), value))
}

fn unique(name: &str, names: &mut BTreeSet<String>) -> Printable {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !names.insert(candidate.clone()) {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    Printable::own(candidate)
}

/// A part of an object's name (RFC 1123).
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let parts = lower.split(|char: char| !char.is_ascii_alphanumeric());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let slug: String = parts.join("-").chars().take(63).collect();
    match slug.trim_matches('-') {
        "" => "runner".to_owned(),
        slug => slug.to_owned(),
    }
}
