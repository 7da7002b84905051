//! The status of each policy: the same from every replica, because it is made from the same inputs. Pure.
//!
//! The one input that replicas do not share is the clock, so a time that the API server already has for the same fact is kept.

use super::store::{Known, KnownPolicy, KnownSource, sources_of};
use crate::core::crd::{JobPodPolicyStatus, ResolvedSource};
use crate::core::policy::set::Loss;
use crate::core::policy::{Address, HostAlias, Policy, Source, Taken};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::collections::{BTreeMap, HashMap};

/// The API server takes 32,768 characters; nobody reads that many.
const LONGEST_MESSAGE: usize = 2000;

/// Returns the status of each policy whose object does not have it yet.
#[must_use]
pub fn differences(known: &Known, now: Timestamp) -> BTreeMap<String, JobPodPolicyStatus> {
    let set = known.set();
    let losses = set.losses();
    let mut by_loser: HashMap<&str, Vec<&Loss<'_>>> = HashMap::new();
    for loss in &losses {
        by_loser.entry(&loss.loser.name).or_default().push(loss);
    }
    let of = |(name, policy): (&str, &KnownPolicy)| {
        let lost = by_loser.get(name).map_or(&[][..], Vec::as_slice);
        let status = status(known, policy, lost, now);
        (status != policy.status).then(|| (name.to_owned(), status))
    };
    known.policies().filter_map(of).collect()
}

fn status(
    known: &Known,
    policy: &KnownPolicy,
    losses: &[&Loss<'_>],
    now: Timestamp,
) -> JobPodPolicyStatus {
    let in_force = policy.in_force.as_ref().map(|(policy, _)| policy);
    let sources: Vec<(&Source, Option<&KnownSource>)> = in_force
        .map(sources_of)
        .unwrap_or_default()
        .into_iter()
        .map(|source| (source, known.source(source)))
        .collect();
    let taken: Vec<OfRules<'_>> = in_force
        .map(|policy| taken(known, policy))
        .unwrap_or_default();
    let facts = [
        Some(("Accepted", accepted(policy))),
        Some(("AddressesResolved", resolved(in_force, &sources))),
        hostnames_taken(&taken).map(|fact| ("HostnamesTaken", fact)),
        Some(("Conflicting", conflicting(losses))),
    ];
    let now = whole_seconds(now);
    JobPodPolicyStatus {
        observed_generation: policy.generation(),
        conditions: facts
            .into_iter()
            .flatten()
            .map(|(type_, fact)| fact.condition(type_, policy, &now))
            .collect(),
        addresses: sources
            .into_iter()
            .map(|(source, seen)| address(policy, source, &taken, seen, &now))
            .collect(),
    }
}

/// The hostnames of the rules of one Ingress, for an entry that lists none.
struct OfRules<'a> {
    source: &'a Source,
    all: Taken<'a>,
    /// The entry names no domains that hostnames must belong to.
    lacks_suffixes: bool,
}

/// Returns which hostnames each entry without hostnames takes from the rules of its Ingress.
fn taken<'a>(known: &'a Known, policy: &'a Policy) -> Vec<OfRules<'a>> {
    let without_hostnames = policy
        .host_aliases
        .iter()
        .filter(|alias| alias.hostnames.is_empty());
    let of = |alias: &'a HostAlias| match &alias.address {
        Address::Live(source) => {
            let live = known.source(source).map(|known| &known.live);
            let hostnames = live.map_or(&[][..], |live| live.hostnames.as_slice());
            Some(OfRules {
                source,
                all: alias.suffixes.take(hostnames),
                lacks_suffixes: alias.suffixes.are_missing(),
            })
        }
        Address::Fixed(_) => None,
    };
    without_hostnames.filter_map(of).collect()
}

/// H7; nothing where the policy takes no hostnames from rules.
fn hostnames_taken(taken: &[OfRules<'_>]) -> Option<Fact> {
    if taken.is_empty() {
        return None;
    }
    let mut problems = Vec::new();
    for OfRules {
        source,
        all,
        lacks_suffixes,
    } in taken
    {
        let outside = if *lacks_suffixes {
            problems.push(format!(
                "from.ingress of {source} has no hostnameSuffixes, so only hostnames are taken that were taken before; add it"
            ));
            "were not taken before"
        } else {
            "belong to none of its hostnameSuffixes"
        };
        for (hostnames, why) in [(&all.outside, outside), (&all.too_many, "are too many")] {
            if !hostnames.is_empty() {
                let shown = first_of(hostnames);
                problems.push(format!(
                    "hostnames of the rules of {source} are not taken, because they {why}: {shown}"
                ));
            }
        }
    }
    let reason = match taken.iter().any(|of_rules| of_rules.lacks_suffixes) {
        true => "NoSuffixes",
        false => "Refused",
    };
    Some(if problems.is_empty() {
        let message = "every hostname of the rules is taken";
        Fact::new(true, "AllTaken", message)
    } else {
        Fact::new(false, reason, problems.join(". "))
    })
}

fn first_of(hostnames: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = hostnames.iter().copied().take(SHOWN).collect();
    match hostnames.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What a condition says.
struct Fact {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Fact {
    fn new(holds: bool, reason: &'static str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = match message.char_indices().nth(LONGEST_MESSAGE) {
            None => message,
            Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        };
        Self {
            holds,
            reason,
            message,
        }
    }

    fn condition(self, type_: &str, policy: &KnownPolicy, now: &Time) -> Condition {
        let status = if self.holds { "True" } else { "False" };
        let before = policy
            .status
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_ && condition.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message,
            observed_generation: policy.generation(),
            last_transition_time: before
                .map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
        }
    }
}

fn accepted(policy: &KnownPolicy) -> Fact {
    if policy.problems.is_empty() {
        return Fact::new(true, "InForce", "the policy is in force as it is written");
    }
    let stays = match &policy.in_force {
        Some((_, Some(generation))) => format!("generation {generation} stays in force"),
        Some((_, None)) => "the last good version stays in force".to_owned(),
        None => "nothing of it is in force".to_owned(),
    };
    let problems = policy.problems.join("; ");
    Fact::new(false, "Invalid", format!("{stays}, because {problems}"))
}

fn resolved(in_force: Option<&Policy>, sources: &[(&Source, Option<&KnownSource>)]) -> Fact {
    if in_force.is_none() {
        return Fact::new(false, "NotInForce", "nothing of the policy is in force");
    }
    if sources.is_empty() {
        let message = "every address is written in the policy";
        return Fact::new(true, "NoLiveSources", message);
    }
    let mut unresolved = false;
    let mut problems = Vec::new();
    for (source, known) in sources {
        let Some(problem) = known.and_then(|known| known.problem.as_ref()) else {
            continue;
        };
        let last = match known {
            Some(known) if known.is_stale() => {
                format!("its last known address stays in use: {}", addresses(known))
            }
            _ => {
                unresolved = true;
                "its hostnames are left alone".to_owned()
            }
        };
        problems.push(format!("{source} {problem}; {last}"));
    }
    match (problems.is_empty(), unresolved) {
        (true, _) => Fact::new(true, "AllResolved", "every live source has an address"),
        (false, true) => Fact::new(false, "NoAddress", problems.join(". ")),
        (false, false) => Fact::new(false, "Stale", problems.join(". ")),
    }
}

fn addresses(known: &KnownSource) -> String {
    let texts: Vec<String> = known
        .live
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    texts.join(", ")
}

fn conflicting(losses: &[&Loss<'_>]) -> Fact {
    if losses.is_empty() {
        let message = "no policy of higher rank decides what this one asks for";
        return Fact::new(false, "NoConflict", message);
    }
    let of = |loss: &&Loss<'_>| {
        format!(
            "policy \"{}\" (priority {}) decides {}",
            loss.winner.name, loss.winner.priority, loss.what
        )
    };
    let losses: Vec<String> = losses.iter().map(of).collect();
    let message = format!("where both match a pod, {}", losses.join("; "));
    Fact::new(true, "HigherRank", message)
}

fn address(
    policy: &KnownPolicy,
    source: &Source,
    taken: &[OfRules<'_>],
    known: Option<&KnownSource>,
    now: &Time,
) -> ResolvedSource {
    let name = source.to_string();
    let texts: Vec<String> = known
        .map(|known| known.live.addresses.iter().map(ToString::to_string))
        .into_iter()
        .flatten()
        .collect();
    let recorded = policy
        .status
        .addresses
        .iter()
        .find(|entry| entry.source == name && entry.addresses == texts);
    let since = match recorded {
        Some(entry) => entry.since.clone(),
        None if texts.is_empty() => None,
        None => Some(
            known
                .and_then(|known| known.since)
                .map_or_else(|| now.clone(), whole_seconds),
        ),
    };
    let mut hostnames: Vec<String> = Vec::new();
    let of_source = taken.iter().filter(|of_rules| of_rules.source == source);
    for hostname in of_source.flat_map(|of_rules| &of_rules.all.taken) {
        if !hostnames.iter().any(|known| known == hostname) {
            hostnames.push((*hostname).to_owned());
        }
    }
    ResolvedSource {
        source: name,
        addresses: texts,
        hostnames,
        since,
        stale: known.is_some_and(KnownSource::is_stale),
    }
}

/// The API server's times have no fractions: with one, what is read back would always differ.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
