//! Computes the status of each policy. Pure: it has no I/O, and the time is an argument.
//!
//! Replicas with the same inputs must compute the same status, but their clocks differ. Therefore a
//! time in the stored status is kept while the state to which it belongs is unchanged.

use super::distinct;
use super::store::{Store, StoredPolicy, StoredSource, sources_of};
use crate::core::crd::{JobPodPolicyStatus, ResolvedSource};
use crate::core::policy::set::Override;
use crate::core::policy::{Address, AddressSource, IngressHostnames, Policy};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::collections::{BTreeMap, HashMap};

/// Maximum length of the message of a condition. The API server accepts 32,768 characters.
const MAX_MESSAGE_CHARS: usize = 2000;

/// The statuses to write, by the name of the policy.
pub(super) type Statuses = BTreeMap<String, JobPodPolicyStatus>;

/// Returns the new status of each policy whose stored status differs.
pub(super) fn differences(store: &Store, now: Timestamp) -> Statuses {
    let set = store.policy_set();
    let overrides = set.overrides();
    let mut by_policy: HashMap<&str, Vec<&Override<'_>>> = HashMap::new();
    for overridden in &overrides {
        by_policy
            .entry(&overridden.policy.name)
            .or_default()
            .push(overridden);
    }
    // The status of an unreadable policy is written by the drydock version that accepted it.
    let policies = store
        .policies()
        .filter(|(_, policy)| !policy.is_unreadable());
    let policies = policies.filter_map(|(name, policy)| {
        let overrides = by_policy.get(name).map_or(&[][..], Vec::as_slice);
        let status = status(store, policy, overrides, now);
        (status != policy.status).then(|| (name.to_owned(), status))
    });
    policies.collect()
}

fn status(
    store: &Store,
    policy: &StoredPolicy,
    overrides: &[&Override<'_>],
    now: Timestamp,
) -> JobPodPolicyStatus {
    let in_force = policy.in_force.as_ref().map(|(policy, _)| policy);
    let sources = in_force.map(sources_of).unwrap_or_default();
    let sources: Vec<(&AddressSource, Option<&StoredSource>)> = sources
        .into_iter()
        .map(|source| (source, store.source(source)))
        .collect();
    let taken = in_force
        .map(|policy| rule_hostnames(store, policy))
        .unwrap_or_default();
    let conditions = [
        Some(("Accepted", accepted(policy))),
        Some(("AddressesResolved", resolved(in_force, &sources))),
        hostnames_taken(&taken).map(|state| ("HostnamesTaken", state)),
        Some(("Conflicting", conflicting(overrides))),
    ];
    let now = whole_seconds(now);
    let conditions = conditions.into_iter().flatten();
    let addresses = sources.into_iter();
    JobPodPolicyStatus {
        observed_generation: policy.generation,
        conditions: conditions
            .map(|(type_, state)| condition(type_, state, policy, &now))
            .collect(),
        addresses: addresses
            .map(|(source, stored)| resolved_source(policy, source, &taken, stored, &now))
            .collect(),
    }
}

/// The hostnames in the rules of an Ingress, for a `hostAliases` entry without `hostnames`.
struct RuleHostnames<'a> {
    source: &'a AddressSource,
    hostnames: IngressHostnames<'a>,
    lacks_suffixes: bool,
}

fn rule_hostnames<'a>(store: &'a Store, policy: &'a Policy) -> Vec<RuleHostnames<'a>> {
    let aliases = policy.host_aliases.iter();
    let of_rules = aliases.filter_map(|alias| match &alias.address {
        Address::Live(source) if alias.hostnames.is_empty() => {
            let stored = store.source(source);
            let hostnames = stored.map_or(&[][..], |stored| &stored.live.hostnames);
            Some(RuleHostnames {
                source,
                hostnames: alias.suffixes.select(hostnames),
                lacks_suffixes: alias.suffixes.are_missing(),
            })
        }
        _ => None,
    });
    of_rules.collect()
}

/// The content of a condition: whether it is true, its reason and its message.
type State = (bool, &'static str, String);

fn condition(type_: &str, state: State, policy: &StoredPolicy, now: &Time) -> Condition {
    let (is_true, reason, mut message) = state;
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
        message.truncate(end);
        message.push('…');
    }
    let status = if is_true { "True" } else { "False" };
    let mut before = policy.status.conditions.iter();
    let before = before.find(|before| before.type_ == type_ && before.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: policy.generation,
        last_transition_time: before
            .map_or(now, |before| &before.last_transition_time)
            .clone(),
    }
}

fn accepted(policy: &StoredPolicy) -> State {
    if policy.problems.is_empty() {
        let message = "the policy is in force as it is written";
        return (true, "InForce", message.to_owned());
    }
    let effect = match &policy.in_force {
        Some((_, Some(generation))) => format!("generation {generation} stays in force"),
        Some((_, None)) => "the last good version stays in force".to_owned(),
        None => "no version of the policy is in force".to_owned(),
    };
    let problems = policy.problems.join("; ");
    (false, "Invalid", format!("{effect}, because {problems}"))
}

fn resolved(
    in_force: Option<&Policy>,
    sources: &[(&AddressSource, Option<&StoredSource>)],
) -> State {
    if in_force.is_none() {
        let message = "no version of the policy is in force";
        return (false, "NotInForce", message.to_owned());
    }
    if sources.is_empty() {
        let message = "all addresses are fixed in the policy";
        return (true, "NoLiveSources", message.to_owned());
    }
    let (mut problems, mut is_any_unresolved) = (Vec::new(), false);
    for (source, stored) in sources {
        let Some((stored, problem)) = stored.and_then(|it| Some((it, it.problem.as_ref()?))) else {
            continue;
        };
        is_any_unresolved |= !stored.is_stale();
        problems.push(match stored.is_stale() {
            true => format!(
                "{source} {problem}; its last known address stays in use: {}",
                stored.addresses()
            ),
            false => format!("{source} {problem}; drydock adds no hostAliases for its hostnames"),
        });
    }
    let reason = match is_any_unresolved {
        true => "NoAddress",
        false => "Stale",
    };
    let resolved = ("AllResolved", "every live source has an address");
    true_unless(&problems, reason, resolved)
}

/// Returns the state of a condition that is true if there are no problems.
fn true_unless(
    problems: &[String],
    reason: &'static str,
    (good_reason, message): (&'static str, &str),
) -> State {
    match problems.is_empty() {
        true => (true, good_reason, message.to_owned()),
        false => (false, reason, problems.join(". ")),
    }
}

/// Returns the state of the condition HostnamesTaken (rule H7); `None` if the policy takes no
/// hostnames from the rules of an Ingress.
fn hostnames_taken(taken: &[RuleHostnames<'_>]) -> Option<State> {
    let mut problems = Vec::new();
    for of_rules in taken {
        let source = of_rules.source;
        let mut outside = "match none of the hostnameSuffixes";
        if of_rules.lacks_suffixes {
            problems.push(format!(
                "a hostAliases entry for {source} has no hostnameSuffixes, so drydock takes no new hostnames from the rules of this Ingress; add from.ingress.hostnameSuffixes"
            ));
            outside = "are not in the policy's status.addresses";
        }
        let of_ingress = &of_rules.hostnames;
        for (hostnames, reason) in [
            (&of_ingress.outside_domains, outside),
            (&of_ingress.over_limit, "exceed the limit"),
        ] {
            if !hostnames.is_empty() {
                problems.push(format!(
                    "drydock ignores these hostnames in the rules of {source}, because they {reason}: {}",
                    first_of(hostnames)
                ));
            }
        }
    }
    let reason = match taken.iter().any(|of_rules| of_rules.lacks_suffixes) {
        true => "NoSuffixes",
        false => "Refused",
    };
    let all_taken = (
        "AllTaken",
        "drydock takes every hostname of the Ingress rules",
    );
    (!taken.is_empty()).then(|| true_unless(&problems, reason, all_taken))
}

fn first_of(hostnames: &[&str]) -> String {
    const SHOWN: usize = 5;
    match hostnames.split_at_checked(SHOWN) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{} and {} more", first.join(", "), rest.len())
        }
        _ => hostnames.join(", "),
    }
}

fn conflicting(overrides: &[&Override<'_>]) -> State {
    if overrides.is_empty() {
        let message = "no policy of higher rank overrides a setting of this one";
        return (false, "NoConflict", message.to_owned());
    }
    let overrides = overrides.iter().map(|Override { by, subject, .. }| {
        let Policy { name, priority, .. } = by;
        format!("policy \"{name}\" (priority {priority}) decides {subject}")
    });
    let overrides = overrides.collect::<Vec<_>>().join("; ");
    (
        true,
        "HigherRank",
        format!("for pods that both policies match, {overrides}"),
    )
}

fn resolved_source(
    policy: &StoredPolicy,
    source: &AddressSource,
    taken: &[RuleHostnames<'_>],
    stored: Option<&StoredSource>,
    now: &Time,
) -> ResolvedSource {
    let name = source.to_string();
    let live = stored.map(|stored| &stored.live);
    let addresses = live.into_iter().flat_map(|live| &live.addresses);
    let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
    let mut recorded = policy.status.addresses.iter();
    let recorded = recorded.find(|it| it.source == name && it.addresses == addresses);
    let since = match recorded {
        Some(recorded) => recorded.since.clone(),
        None if addresses.is_empty() => None,
        None => {
            let since = stored.and_then(|stored| stored.since);
            Some(since.map_or_else(|| now.clone(), whole_seconds))
        }
    };
    let of_source = taken.iter().filter(|of_rules| of_rules.source == source);
    let hostnames = of_source.flat_map(|of_rules| &of_rules.hostnames.accepted);
    let hostnames = distinct(hostnames.map(|hostname| (*hostname).to_owned()));
    ResolvedSource {
        source: name,
        addresses,
        hostnames,
        since,
        stale: stored.is_some_and(StoredSource::is_stale),
    }
}

/// Removes the fraction of a second. The API server stores whole seconds, so a status with a
/// fraction would always differ from the stored one.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
