//! Composes policies from runners: one policy with the items that all runners of a cluster share,
//! and one policy for each runner that has other items. Reports which lines of a file become
//! redundant.

use super::diff::Diffs;
use super::finding::{ConflictKey, Field, Finding, Group, Item, Removal, Setting};
use super::messages;
use super::policy::Document;
use super::runner::Runner;
use super::safe_text::{Kind, Message, SafeText, message};
use std::collections::{BTreeMap, BTreeSet};

/// The label with the name of the runner, which GitLab Runner 17.9 and later set on job pods.
const NAME_LABEL: &str = "manager.runner.gitlab.com/name";

/// The runners of one cluster.
struct Cluster<'r> {
    members: Vec<Member<'r>>,
    /// The items that all members have.
    shared: Vec<&'r Item>,
    /// The name of the policy with the shared items.
    name: SafeText,
}

/// A runner of a cluster.
struct Member<'r> {
    runner: &'r Runner,
    /// The policy for the items that are not shared, or why no policy can select the job pods.
    own: Result<OwnPolicy, &'static str>,
}

/// A policy that selects the job pods of one runner.
struct OwnPolicy {
    name: SafeText,
    /// Key and value of the label that the policy selects.
    selector: (SafeText, SafeText),
}

/// The name of the policy with an item, and whether that policy is the runner's own; or why no
/// policy has the item.
type Target<'c> = Result<(&'c SafeText, bool), &'static str>;

/// Composes policies, and reports for each setting whether a policy has it.
pub(super) fn compose(
    runners: &[Runner],
    diffs: &mut Diffs<'_>,
    findings: &mut Vec<Finding>,
) -> Vec<Document> {
    let mut clusters: Vec<(&str, Vec<&Runner>)> = Vec::new();
    for runner in runners {
        match clusters
            .iter_mut()
            .find(|(name, _)| *name == runner.cluster)
        {
            Some((_, members)) => members.push(runner),
            None => clusters.push((&runner.cluster, vec![runner])),
        }
    }
    let mut names = BTreeSet::new();
    let mut documents = Vec::new();
    for (index, (name, members)) in clusters.iter().enumerate() {
        let base = match index {
            0 => "imported".to_owned(),
            _ => format!("imported-{}", slug(name)),
        };
        let head = (clusters.len() > 1).then(|| match *name {
            "" => message!("only for the cluster of the runner manager"),
            name => {
                let name = SafeText::or_hidden(Kind::Hostname, name);
                message!(
                    "only for the cluster {}: apply the policy to that cluster",
                    name
                )
            }
        });
        let cluster = Cluster::of(members, &base, &mut names);
        let conflicting = cluster.report_conflicts(findings);
        documents.extend(cluster.documents(head.as_ref()));
        cluster.report_settings(&conflicting, diffs, findings);
    }
    documents
}

impl<'r> Cluster<'r> {
    fn of(runners: &[&'r Runner], base: &str, names: &mut BTreeSet<String>) -> Self {
        let has = |runner: &&Runner, item: &Item| runner.collected.items().any(|it| it == item);
        let mut shared: Vec<&Item> = Vec::new();
        for item in runners.iter().take(1).flat_map(|it| it.collected.items()) {
            if !shared.contains(&item) && runners.iter().all(|runner| has(runner, item)) {
                shared.push(item);
            }
        }
        let name = unique(base, names);
        let mut member = |runner: &'r Runner| {
            let others = runners.iter().copied();
            let others = others.filter(|other| !std::ptr::eq(*other, runner));
            let has_own = runner.collected.items().any(|item| !shared.contains(&item));
            let own = selector(runner, &others.collect::<Vec<_>>()).map(|selector| {
                let name = runner.name_label.as_deref().unwrap_or(selector.1.as_str());
                let name = format!("{base}-{}", slug(name));
                let name = match has_own {
                    true => unique(&name, names),
                    false => SafeText::trusted(name),
                };
                OwnPolicy { name, selector }
            });
            Member { runner, own }
        };
        let members = runners.iter().map(|runner| member(runner)).collect();
        Self {
            members,
            shared,
            name,
        }
    }

    fn target<'c>(&'c self, member: &'c Member<'_>, item: &Item) -> Target<'c> {
        match &member.own {
            _ if self.shared.contains(&item) => Ok((&self.name, false)),
            Ok(own) => Ok((&own.name, true)),
            Err(why) => Err(*why),
        }
    }

    fn settings(&self) -> impl Iterator<Item = (&Member<'r>, &'r Setting)> {
        let members = self.members.iter();
        members.flat_map(|it| {
            it.runner
                .collected
                .settings
                .iter()
                .map(move |setting| (it, setting))
        })
    }

    fn documents(&self, head: Option<&Message>) -> Vec<Document> {
        let mut documents = Vec::new();
        let document = |name: &SafeText, items: Vec<Item>| Document {
            name: name.as_str().to_owned(),
            selector: None,
            items,
            comments: Vec::new(),
            head: head.into_iter().cloned().collect(),
        };
        if !self.shared.is_empty() {
            let items = self.shared.iter().copied().cloned();
            documents.push(document(&self.name, items.collect()));
        }
        for Member { runner, own } in &self.members {
            let all = || runner.collected.items();
            let is_own = |item: &&Item| !self.shared.contains(item);
            let owned: Vec<&Item> = all().filter(is_own).collect();
            let Some(own) = own.as_ref().ok().filter(|_| !owned.is_empty()) else {
                continue;
            };
            // For a hostname, only one policy applies, with all addresses of the hostname (M2). For
            // clientCerts, only one policy applies, with all fields (M3). So a runner's own policy
            // repeats shared items.
            let is_repeated = |item: &Item| match item.field {
                Field::Alias => {
                    let is_same = |it: &&Item| it.field == Field::Alias && it.key == item.key;
                    owned.iter().any(is_same)
                }
                Field::ClientCerts => owned.iter().any(|it| it.field != Field::Alias),
                _ => false,
            };
            let items = all().filter(|item| is_own(item) || is_repeated(item));
            let mut document = document(&own.name, items.cloned().collect());
            document.head.push(message!(
                "only for {}; if an entry may apply to the other runners too, move it to the policy {}",
                runner.label,
                self.name
            ));
            if own.is_by_name() {
                document.head.push(message!("selects job pods of GitLab Runner 17.9 and later: earlier versions do not set the label"));
            } else if runner.can_change_labels {
                document.head.push(message!("pod_labels_overwrite_allowed: a job can change the label that this policy selects"));
            }
            document.selector = Some(own.selector.clone());
            documents.push(document);
        }
        let comments = self.members.iter();
        let comments = comments.flat_map(|member| &member.runner.collected.comments);
        if let Some(first) = documents.first_mut() {
            for comment in comments {
                if !first.comments.contains(comment) {
                    first.comments.push(comment.clone());
                }
            }
        }
        documents
    }

    /// Reports every key that has different values in the runners, and returns these keys.
    fn report_conflicts(&self, findings: &mut Vec<Finding>) -> BTreeSet<ConflictKey> {
        type Value<'c> = (&'c Member<'c>, &'c Setting, &'c Item);
        let mut by_key: BTreeMap<ConflictKey, Vec<Value<'_>>> = BTreeMap::new();
        for (member, setting) in self.settings() {
            for item in &setting.items {
                if let Some(key) = item.conflict_key() {
                    by_key.entry(key).or_default().push((member, setting, item));
                }
            }
        }
        let mut conflicting = BTreeSet::new();
        for (key, items) in by_key {
            let [(_, _, first), others @ ..] = items.as_slice() else {
                continue;
            };
            if others.iter().all(|(.., item)| item == first) {
                continue;
            }
            let value = |(member, _, item): &Value<'_>| {
                message!("{} for {}", item.shown, member.runner.label)
            };
            let todo = |(member, _, item): &Value<'_>| {
                let label = &member.runner.label;
                match (self.target(member, item), &member.own) {
                    (Ok((policy, true)), Ok(own)) if own.is_by_name() => message!(
                        "policy {} sets it for {} (GitLab Runner 17.9 and later; keep the lines for earlier versions)",
                        policy,
                        label
                    ),
                    (Ok((policy, _)), _) => message!("policy {} sets it for {}", policy, label),
                    (Err(why), _) => {
                        message!(
                            "no policy sets it for {}, because {}, or keep the lines of this runner",
                            label,
                            why
                        )
                    }
                }
            };
            let values = Message::list(items.iter().map(value));
            let todo = Message::joined(items.iter().map(todo), "; ");
            let finding = messages::two_values(first.subject(), values).with_todo(todo);
            let places = items.iter().map(|(_, setting, _)| setting.place.clone());
            findings.push(places.fold(finding, Finding::at));
            conflicting.insert(key);
        }
        conflicting
    }

    /// Reports the settings that are in a policy, with the lines that become redundant, and those
    /// that no policy can have.
    fn report_settings(
        &self,
        conflicting: &BTreeSet<ConflictKey>,
        diffs: &mut Diffs<'_>,
        findings: &mut Vec<Finding>,
    ) {
        for (member, setting) in self.settings() {
            let label = &member.runner.label;
            let mut taken = Vec::new();
            let mut policies = BTreeSet::new();
            let (mut is_own, mut has_own, mut is_whole) = (false, false, true);
            for item in &setting.items {
                let target = self.target(member, item);
                is_whole &= target.is_ok();
                has_own |= matches!(target, Ok((_, true)));
                match target {
                    // `report_conflicts` has reported this item.
                    _ if item
                        .conflict_key()
                        .is_some_and(|key| conflicting.contains(&key)) => {}
                    Ok((policy, own)) => {
                        taken.push(item);
                        policies.insert(policy);
                        is_own |= own;
                    }
                    Err(why) => {
                        let what = described(&[item], &Message::default());
                        let finding = messages::not_selectable(what, label, why);
                        findings.push(finding.at(setting.place.clone()));
                    }
                }
            }
            // A setting with a finding in an earlier group is not reported again.
            let is_reported = |finding: &Finding| {
                finding.group <= Group::Conflict && finding.places == [setting.place.clone()]
            };
            if taken.is_empty() || findings.iter().any(is_reported) {
                continue;
            }
            let by_name = has_own && member.own.as_ref().is_ok_and(OwnPolicy::is_by_name);
            let todo = match &setting.removal {
                Removal::Keep(why) => why.clone(),
                _ if member.runner.is_generated => message!("{}", messages::GENERATED),
                _ if by_name => message!("{}", messages::BY_NAME),
                removal if is_whole && diffs.remove(setting.place.span, removal) => {
                    message!("{}", messages::IN_DIFF)
                }
                _ => message!("{}", messages::BY_HAND),
            };
            let word = if policies.len() > 1 {
                "policies"
            } else {
                "policy"
            };
            let policies = message!("{} {}", word, Message::list(policies));
            let what = described(&taken, &setting.remark);
            let finding = match is_own && self.members.len() > 1 {
                true => messages::taken_for_one(what, policies),
                false => messages::taken(what, policies),
            };
            findings.push(finding.with_todo(todo).at(setting.place.clone()));
        }
    }
}

impl OwnPolicy {
    /// Returns whether the policy selects [`NAME_LABEL`], which runners before 17.9 do not set.
    fn is_by_name(&self) -> bool {
        self.selector.0.as_str() == NAME_LABEL
    }
}

/// Describes the items of one setting.
fn described(items: &[&Item], remark: &Message) -> Message {
    let parts = items.iter().enumerate();
    let parts = parts.map(|(index, item)| match item.field {
        // All hostnames of a setting have the same address.
        Field::Alias if index > 0 => item.subject(),
        Field::Alias => message!("hostAliases {}: {}", item.shown, item.key),
        Field::Volume | Field::RegistryCa => message!("{} ({})", item.subject(), item.shown),
        _ => item.subject(),
    });
    let parts = Message::list(parts);
    match remark.is_empty() {
        true => parts,
        false => message!("{} ({})", parts, remark),
    }
}

/// Returns a label that selects the job pods of one runner and of no other runner: one of
/// `pod_labels`, else the label with the runner's name.
fn selector(runner: &Runner, others: &[&Runner]) -> Result<(SafeText, SafeText), &'static str> {
    for (key, value) in &runner.pod_labels {
        let mut known = others.iter().map(|other| other.pod_labels.get(key));
        let differs = known.all(|known| known != Some(value));
        let label = SafeText::new(Kind::Key, key).zip(SafeText::new(Kind::LabelValue, value));
        if let Some(label) = label.filter(|_| differs) {
            return Ok(label);
        }
    }
    let name = runner.name_label.as_deref().map_err(|why| *why)?;
    let mut others = others.iter().map(|other| other.name_label.as_deref());
    if others.any(|other| other == Ok(name)) {
        return Err(
            "another runner's name becomes the same label value; rename one of the runners",
        );
    }
    let value = SafeText::new(Kind::LabelValue, name);
    let value = value.ok_or("the runner's name is not a valid label value; rename the runner")?;
    Ok((SafeText::trusted(NAME_LABEL), value))
}

fn unique(name: &str, names: &mut BTreeSet<String>) -> SafeText {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
    let free = candidates.find(|candidate| names.insert(candidate.clone()));
    SafeText::trusted(free.unwrap_or_default())
}

/// Converts text to a part of an object's name (RFC 1123).
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
