//! Runners to policies: what all share, what each has for itself, and how its pods are selected.

use super::finding::{Comment, Content, Finding, Group, Item, Place, Want};
use super::policy::Document;
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Runner;
use std::collections::{BTreeMap, BTreeSet};

/// The label by which a runner's pods are known, from GitLab Runner 17.9.
const NAME_LABEL: &str = "manager.runner.gitlab.com/name";
/// Where a want of a runner went.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Written {
    /// Into a policy; whether its selector needs GitLab Runner 17.9.
    To {
        policy: Printable,
        by_name: bool,
        is_own: bool,
    },
    /// Into none, for this reason.
    Nowhere(Sentence),
}
/// The policies, where each want of each runner went, and the conflicts among runners.
#[derive(Default)]
pub(super) struct Composed {
    pub(super) documents: Vec<Document>,
    pub(super) written: Vec<Vec<Written>>,
    pub(super) conflicts: Vec<Finding>,
    /// Slots of wants that a conflict tells of.
    pub(super) in_conflict: BTreeSet<(usize, usize)>,
}
pub(super) fn compose(runners: &[Runner]) -> Composed {
    let mut composed = Composed {
        written: runners.iter().map(|_| Vec::new()).collect(),
        ..Composed::default()
    };
    let mut clusters: Vec<&str> = Vec::new();
    for runner in runners {
        if !clusters.contains(&runner.cluster.as_str()) {
            clusters.push(&runner.cluster);
        }
    }
    let mut names = BTreeSet::new();
    for (index, cluster) in clusters.iter().enumerate() {
        let base = if index == 0 || clusters.len() == 1 {
            "imported".to_owned()
        } else {
            format!("imported-{}", slug(cluster))
        };
        let group: Vec<usize> = (0..runners.len())
            .filter(|at| {
                runners
                    .get(*at)
                    .is_some_and(|runner| runner.cluster == **cluster)
            })
            .collect();
        let head = (clusters.len() > 1).then(|| match *cluster {
            "" => say!("for the cluster that the manager itself is in"),
            other => say!(
                "for the cluster {} only: apply it there",
                Printable::or_hidden(Kind::Hostname, other)
            ),
        });
        compose_cluster(
            runners,
            &group,
            &base,
            &head.into_iter().collect::<Vec<_>>(),
            &mut names,
            &mut composed,
        );
    }
    composed
}
fn compose_cluster(
    runners: &[Runner],
    group: &[usize],
    base: &str,
    head: &[Sentence],
    names: &mut BTreeSet<String>,
    composed: &mut Composed,
) {
    let of = |index: usize| {
        runners
            .get(index)
            .into_iter()
            .flat_map(|runner| &runner.wants)
    };
    let has = |index: usize, item: &Item| of(index).any(|want| want.item.is_same(item));
    let is_shared = |item: &Item| group.iter().all(|index| has(*index, item));
    let mut shared: Vec<Item> = Vec::new();
    for want in group.first().into_iter().flat_map(|index| of(*index)) {
        if is_shared(&want.item) && !shared.iter().any(|known| known.is_same(&want.item)) {
            shared.push(want.item.clone());
        }
    }
    let shared_name = unique(base, names);
    let mut own = Vec::new();
    for index in group {
        let Some(runner) = runners.get(*index) else {
            continue;
        };
        let others: Vec<&Runner> = group
            .iter()
            .filter(|other| *other != index)
            .filter_map(|other| runners.get(*other))
            .collect();
        let selector = selector(runner, &others);
        let mut items: Vec<Item> = runner
            .wants
            .iter()
            .map(|want| &want.item)
            .filter(|item| !is_shared(item))
            .cloned()
            .collect();
        let policy = match &selector {
            Ok((_, value)) if !items.is_empty() => {
                let name = if runner.slug.is_empty() {
                    value.as_str()
                } else {
                    &runner.slug
                };
                Some(unique(&format!("{base}-{}", slug(name)), names))
            }
            _ => None,
        };
        let mut written = Vec::new();
        for want in &runner.wants {
            written.push(match (&selector, &policy) {
                _ if is_shared(&want.item) => Written::To {
                    policy: Printable::or_hidden(Kind::Name, &shared_name),
                    by_name: false,
                    is_own: false,
                },
                (Ok((key, _)), Some(policy)) => Written::To {
                    policy: Printable::or_hidden(Kind::Name, policy),
                    by_name: key.as_str() == NAME_LABEL,
                    is_own: true,
                },
                (Err(why), _) => Written::Nowhere(why.clone()),
                (Ok(_), None) => Written::Nowhere(Sentence::default()),
            });
        }
        if let (Ok(selector), Some(name)) = (selector, policy) {
            // A hostname belongs to one policy with all its addresses (M2), clientCerts comes whole
            // from one (M3).
            for want in &runner.wants {
                let goes_along = match &want.item {
                    Item::Alias { hostname, .. } => items.iter().any(
                        |item| matches!(item, Item::Alias { hostname: own, .. } if own == hostname),
                    ),
                    Item::Dind { .. } => {
                        items.iter().any(|item| !matches!(item, Item::Alias { .. }))
                    }
                    _ => false,
                };
                if goes_along && !items.contains(&want.item) {
                    items.push(want.item.clone());
                }
            }
            let mut head = head.to_vec();
            head.push(say!("only for {}; what other runners merely lack may be shared: move it to the policy {}", runner.label, Printable::or_hidden(Kind::Name, &shared_name)));
            if selector.0.as_str() == NAME_LABEL {
                head.push(say!("selects job pods of GitLab Runner 17.9 and later; older ones do not have the label"));
            }
            own.push(Document {
                name,
                selector: Some(selector),
                items,
                comments: Vec::new(),
                head,
            });
        }
        if let Some(place) = composed.written.get_mut(*index) {
            *place = written;
        }
    }
    conflicts(runners, group, composed);
    let mut comments: Vec<Comment> = group
        .iter()
        .filter_map(|index| runners.get(*index))
        .flat_map(|runner| runner.comments.clone())
        .collect();
    let mut seen = BTreeSet::new();
    comments.retain(|comment| seen.insert(comment.clone()));
    let mut documents = Vec::new();
    if !shared.is_empty() {
        documents.push(Document {
            name: shared_name,
            selector: None,
            items: shared,
            comments: Vec::new(),
            head: head.to_vec(),
        });
    }
    documents.extend(own);
    if let Some(first) = documents.first_mut() {
        first.comments = comments;
    }
    composed.documents.extend(documents);
}
/// Tells of every hostname, path, host or key that has two values among the runners of one cluster.
fn conflicts(runners: &[Runner], group: &[usize], composed: &mut Composed) {
    let mut slots: BTreeMap<_, Vec<(usize, usize, &Want)>> = BTreeMap::new();
    for index in group {
        for (at, want) in runners
            .get(*index)
            .into_iter()
            .flat_map(|runner| runner.wants.iter().enumerate())
        {
            if !matches!(want.item, Item::Dind { .. } | Item::Toleration { .. }) {
                slots
                    .entry(want.item.slot())
                    .or_default()
                    .push((*index, at, want));
            }
        }
    }
    for wants in slots.into_values() {
        let Some((_, _, first)) = wants.first() else {
            continue;
        };
        if wants
            .iter()
            .all(|(_, _, want)| want.item.is_same(&first.item))
        {
            continue;
        }
        let mut told: Vec<Sentence> = Vec::new();
        let mut todo: Vec<Sentence> = Vec::new();
        let mut places: Vec<Place> = Vec::new();
        for (index, at, want) in &wants {
            let Some(runner) = runners.get(*index) else {
                continue;
            };
            told.push(say!("{} for {}", want.item.value(), runner.label));
            places.push(want.place.clone());
            todo.push(
                match composed
                    .written
                    .get(*index)
                    .and_then(|written| written.get(*at))
                {
                    Some(Written::To {
                        policy,
                        by_name: true,
                        ..
                    }) => say!("{} has it from policy {} (GitLab Runner 17.9 and later; keep the lines on older ones)", runner.label, policy),
                    Some(Written::To { policy, .. }) => {
                        say!("{} has it from policy {}", runner.label, policy)
                    }
                    Some(Written::Nowhere(why)) => say!("{} has it from no policy: {}, or leave its lines", runner.label, why),
                    None => Sentence::default(),
                },
            );
            composed.in_conflict.insert((*index, *at));
        }
        let what = say!("{} is {}", first.item.subject(), told);
        composed.conflicts.push(Finding {
            group: Group::Conflict,
            places,
            what,
            todo: say!("{}", todo),
        });
    }
}
/// What selects the pods of one runner among those of others: a label of its own, else its name.
fn selector(runner: &Runner, others: &[&Runner]) -> Result<(Printable, Printable), Sentence> {
    let differs = |key: &str, value: &str| {
        others
            .iter()
            .all(|other| other.pod_labels.get(key).is_none_or(|known| known != value))
    };
    let label = runner
        .pod_labels
        .iter()
        .find(|(key, value)| differs(key, value));
    if let Some((key, value)) = label
        && let (Some(key), Some(value)) = (
            Printable::new(Kind::Key, key),
            Printable::label_value(value),
        )
    {
        return Ok((key, value));
    }
    let name = runner.name.as_ref().map_err(Clone::clone)?;
    if others.iter().any(|other| other.name.as_ref() == Ok(name)) {
        return Err(say!(
            "another runner has the same name as a label value: give each a name of its own"
        ));
    }
    let value = Printable::label_value(name)
        .ok_or_else(|| say!("its name is no label value: give it another one"))?;
    Ok((Printable::or_hidden(Kind::Key, NAME_LABEL), value))
}
fn unique(name: &str, names: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !names.insert(candidate.clone()) {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    candidate
}
/// A part of an object's name (RFC 1123).
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let parts = lower
        .split(|char: char| !char.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty());
    let slug: String = parts
        .collect::<Vec<_>>()
        .join("-")
        .chars()
        .take(63)
        .collect();
    let slug = slug.trim_matches('-').to_owned();
    if slug.is_empty() {
        "runner".to_owned()
    } else {
        slug
    }
}
impl Item {
    /// What it is about.
    pub(super) fn subject(&self) -> Sentence {
        match self {
            Self::Alias { hostname, .. } => say!("{}", hostname),
            Self::Dind { .. } => say!("dind"),
            Self::Volume { path, .. } => say!("the volume at {}", path),
            Self::Ca { host, .. } => say!("the authority of {}", host),
            Self::Selector { key, .. } => say!("node_selector {}", key),
            Self::Toleration { key, .. } => say!("a toleration of {}", key),
        }
    }

    /// What it says about it, without values of labels.
    pub(super) fn value(&self) -> Sentence {
        match self {
            Self::Alias { address, .. } => say!("{}", Printable::address(*address)),
            Self::Volume { content, .. } => match content {
                Content::EmptyDir { in_memory, size } => {
                    let size = size.clone().map_or(say!(""), |size| say!(" of {}", size));
                    say!(
                        "{}{}",
                        if *in_memory {
                            "a memory-backed emptyDir"
                        } else {
                            "an emptyDir"
                        },
                        size
                    )
                }
                Content::HostPath(path) => say!("the node's {}", path),
                Content::ConfigMap(name, _) => say!("ConfigMap {}", name),
            },
            Self::Ca {
                config_map, key, ..
            } => say!("key {} of ConfigMap {}", key, config_map),
            Self::Dind { .. } | Self::Selector { .. } | Self::Toleration { .. } => {
                say!("another one")
            }
        }
    }
}
