//! What several policies ask for, folded to one (rules M1 to M4).

use super::{Host, Ranked};
use crate::core::policy::{
    ClientCerts, Dind, DindVolume, Glob, Policy, PolicyToleration, RegistryCa, Source,
    TolerationTerms,
};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// Something that a policy asks for.
#[derive(Debug)]
pub struct Asked<'s, T> {
    /// Who asks.
    pub policy: &'s Policy,
    /// What for.
    pub what: &'s T,
}

impl<T> Clone for Asked<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Asked<'_, T> {}

/// What policies ask for, folded: what a pod should look like.
#[derive(Debug, Default)]
pub struct Desired<'s> {
    /// The policies, in rank.
    pub policies: Vec<&'s Policy>,
    /// Hostnames, each with the policy that owns it (M2).
    pub hosts: Vec<Asked<'s, Host>>,
    /// Ingresses whose rules would name further hostnames.
    pub hostnames_from: Vec<Asked<'s, Source>>,
    /// What dind pods get; `None` where no policy speaks about docker.
    pub dind: Option<DesiredDind<'s>>,
    /// Who asked for something that another policy decides.
    pub losses: Vec<Loss<'s>>,
}

/// What policies ask for in dind pods, folded (M3).
#[derive(Debug)]
pub struct DesiredDind<'s> {
    /// Whole from the first policy with `dind`.
    pub client_certs: Asked<'s, ClientCerts>,
    /// A union.
    pub images: Vec<&'s Glob>,
    /// The first in rank wins each mount path.
    pub volumes: Vec<Asked<'s, DindVolume>>,
    /// The first in rank wins each host.
    pub registry_cas: Vec<Asked<'s, RegistryCa>>,
    /// The first in rank wins each key.
    pub node_selector: Vec<(Asked<'s, String>, &'s str)>,
    /// A union.
    pub tolerations: Vec<Asked<'s, PolicyToleration>>,
}

/// A policy asked for something that a policy of higher rank decides otherwise.
#[derive(Clone, Debug)]
pub struct Loss<'s> {
    /// Who asked in vain.
    pub loser: &'s Policy,
    /// Who decides.
    pub winner: &'s Policy,
    /// About what, as in `hostname gitlab.mylab.com`.
    pub what: String,
}

impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            loser,
            winner,
            what,
        } = self;
        write!(
            f,
            "policy \"{}\" has no say about {what}: policy \"{}\" ranks higher and decides it",
            loser.name, winner.name
        )
    }
}

/// What policies of higher rank asked for, by what decides whether another policy asks for the same.
#[derive(Default)]
struct Known<'s> {
    images: BTreeSet<&'s Glob>,
    volumes: BTreeMap<&'s str, Asked<'s, DindVolume>>,
    registry_cas: BTreeMap<&'s str, Asked<'s, RegistryCa>>,
    node_selector: BTreeMap<&'s str, (&'s Policy, &'s str)>,
    tolerations: BTreeSet<&'s TolerationTerms>,
}

impl<'s> Desired<'s> {
    /// Folds policies, given in rank.
    pub(super) fn fold(ranked: &[&'s Ranked]) -> Self {
        let mut desired = Self {
            policies: ranked.iter().map(|ranked| &ranked.policy).collect(),
            ..Self::default()
        };
        desired.fold_hosts(ranked);
        let mut known = Known::default();
        for policy in desired.policies.clone() {
            if let Some(dind) = &policy.dind {
                desired.fold_dind(policy, dind, &mut known);
            }
        }
        desired
    }

    fn fold_hosts(&mut self, ranked: &[&'s Ranked]) {
        let mut owners: HashMap<&str, Asked<'s, Host>> = HashMap::new();
        for Ranked {
            policy,
            hosts,
            hostnames_from,
        } in ranked
        {
            self.hostnames_from
                .extend(hostnames_from.iter().map(|what| Asked { policy, what }));
            for host in hosts {
                let asked = Asked { policy, what: host };
                // One policy lists a hostname once; only several need the look-up.
                match if ranked.len() > 1 {
                    owners.get(host.hostname.as_str())
                } else {
                    None
                } {
                    Some(owner) if owner.what != host => {
                        self.losses.push(Loss {
                            loser: policy,
                            winner: owner.policy,
                            what: format!("hostname {}", host.hostname),
                        });
                    }
                    Some(_) => {}
                    None => {
                        if ranked.len() > 1 {
                            owners.insert(&host.hostname, asked);
                        }
                        self.hosts.push(asked);
                    }
                }
            }
        }
    }

    fn fold_dind(&mut self, policy: &'s Policy, dind: &'s Dind, known: &mut Known<'s>) {
        let losses = &mut self.losses;
        let mut lose = |winner: &'s Policy, what: String| {
            losses.push(Loss {
                loser: policy,
                winner,
                what,
            })
        };
        let desired = self.dind.get_or_insert_with(|| DesiredDind {
            client_certs: Asked {
                policy,
                what: &dind.client_certs,
            },
            images: Vec::new(),
            volumes: Vec::new(),
            registry_cas: Vec::new(),
            node_selector: Vec::new(),
            tolerations: Vec::new(),
        });
        if *desired.client_certs.what != dind.client_certs {
            lose(desired.client_certs.policy, "clientCerts".to_owned());
        }
        for image in &dind.images {
            if known.images.insert(image) {
                desired.images.push(image);
            }
        }
        for volume in &dind.volumes {
            let asked = Asked {
                policy,
                what: volume,
            };
            match known.volumes.entry(&volume.path) {
                Entry::Occupied(other) if !other.get().what.is_same(volume) => {
                    lose(other.get().policy, format!("the volume at {}", volume.path))
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => desired.volumes.push(*free.insert(asked)),
            }
        }
        for ca in &dind.registry_cas {
            match known.registry_cas.entry(&ca.host) {
                Entry::Occupied(other) if other.get().what != ca => lose(
                    other.get().policy,
                    format!("the certificate authority of {}", ca.host),
                ),
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => desired
                    .registry_cas
                    .push(*free.insert(Asked { policy, what: ca })),
            }
        }
        for (key, value) in &dind.node_selector {
            match known.node_selector.entry(key) {
                Entry::Occupied(other) if other.get().1 != value => {
                    lose(other.get().0, format!("the node selector {key}"))
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => {
                    free.insert((policy, value));
                    let asked = Asked { policy, what: key };
                    desired.node_selector.push((asked, value));
                }
            }
        }
        for toleration in &dind.tolerations {
            if known.tolerations.insert(&toleration.terms) {
                desired.tolerations.push(Asked {
                    policy,
                    what: toleration,
                });
            }
        }
    }

    /// Whether a policy speaks at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }
}

impl DindVolume {
    /// Whether two volumes for one path come to the same.
    fn is_same(&self, other: &Self) -> bool {
        self.read_only == other.read_only
            && self.containers == other.containers
            && self.source.field == other.source.field
            && self.source.json.get() == other.source.json.get()
    }
}
