//! An index of policies by required label values, so that a review evaluates few selectors.
//!
//! The key of a policy is the first label for which its podSelector lists values. If there is none,
//! the key is the first label for which its namespaceSelector lists values. A policy without a key
//! is always a candidate.

use super::{Namespace, Ranked, needs_labels};
use crate::core::policy::selector::Selector;
use std::collections::BTreeMap;

/// An index of policies. A policy is represented by its position in order of rank.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    by_pod: ByLabel,
    by_namespace: ByLabel,
    /// Policies of `by_namespace` that are candidates if the labels of the namespace are unknown.
    by_unknown_labels: Vec<usize>,
    always: Vec<usize>,
}

impl Index {
    pub(super) fn new(ranked: &[Ranked]) -> Self {
        let mut index = Self::default();
        for (rank, Ranked { policy, .. }) in ranked.iter().enumerate() {
            let namespace = &policy.namespace_selector;
            if index.by_pod.add(&policy.pod_selector, rank) {
                continue;
            }
            if !index.by_namespace.add(namespace, rank) {
                index.always.push(rank);
            } else if needs_labels(policy) {
                index.by_unknown_labels.push(rank);
            }
        }
        index
    }

    /// Returns a superset of the matching policies, in order of rank.
    pub(super) fn candidates<'l>(
        &self,
        label: impl Fn(&str) -> Option<&'l str>,
        namespace: Namespace<'_>,
    ) -> Vec<usize> {
        let mut candidates = self.always.clone();
        self.by_pod.find(label, &mut candidates);
        self.by_namespace
            .find(|key| namespace.label(key), &mut candidates);
        if namespace.labels.is_none() {
            candidates.extend(&self.by_unknown_labels);
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}

/// The positions of policies, by the key and value of a label.
#[derive(Clone, Debug, Default)]
struct ByLabel(BTreeMap<String, BTreeMap<String, Vec<usize>>>);

impl ByLabel {
    /// Adds a policy under each value that its selector lists for one key. Returns `false` if the
    /// selector lists no values.
    fn add(&mut self, selector: &Selector, rank: usize) -> bool {
        let Some((key, values)) = selector.listed() else {
            return false;
        };
        let by_value = self.0.entry(key.to_owned()).or_default();
        for value in values {
            let ranks = by_value.entry(value.clone()).or_default();
            // A selector may contain a value twice.
            if ranks.last() != Some(&rank) {
                ranks.push(rank);
            }
        }
        true
    }

    fn find<'l>(&self, label: impl Fn(&str) -> Option<&'l str>, candidates: &mut Vec<usize>) {
        for (key, by_value) in &self.0 {
            let ranks = label(key).and_then(|value| by_value.get(value));
            candidates.extend(ranks.into_iter().flatten());
        }
    }
}
