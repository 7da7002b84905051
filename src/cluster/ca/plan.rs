//! Decides the next steps of the rotation of authorities, from observations. Pure.
//!
//! ```text
//!          two thirds of its life        trusted everywhere for the overlap
//! current ───────── Publish ──► + next ────────────── Promote ──► next is current,
//!                                                                 the old one previous
//!                                                                   │ lifetime of a leaf
//!                                                                   └─ Discard ──► only current
//! ```
//!
//! Every replica decides on its own. By the resourceVersion of the Secret, the API server accepts
//! the write of one replica, and the others read the Secret again.

use super::ca_bundle::{TrustHistory, WebhookBundles};
use super::secret::{CaSecret, MAX_AUTHORITIES, has_expired};
use crate::pki::authority::{Authority, AuthorityError, CaCertificate};
use crate::telemetry::metrics::CertificateEvent;
use jiff::Timestamp;
use std::time::Duration;

/// Valid lifetimes, and the overlap: the time for which a new authority is trusted before it signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    pub(super) ca: Duration,
    pub(super) leaf: Duration,
    pub(super) overlap: Duration,
}

impl Lifetimes {
    /// Checks and combines lifetimes.
    ///
    /// # Errors
    /// If a third of a lifetime is not longer than the overlap. Renewal begins when a third is
    /// left, so a certificate could expire while its successor waits. The error is a sentence.
    pub fn new(ca: Duration, leaf: Duration, overlap: Duration) -> Result<Self, String> {
        for (what, life) in [("an authority", ca), ("a certificate", leaf)] {
            if life / 3 <= overlap {
                return Err(format!(
                    "{what} that lives for {life:?} is renewed when a third of that is left, which has to be longer than the overlap of {overlap:?}; let it live longer"
                ));
            }
        }
        Ok(Self { ca, leaf, overlap })
    }
}

/// Adds a duration to a time. The result is at most the maximum timestamp.
pub(super) fn after(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}

/// The observations that show which authorities have leaf certificates in use.
///
/// Replicas observe a rotation at different times: one serves a leaf of the new authority while
/// another still serves a leaf of the old one. If a replica considered only its own leaf, it would
/// remove the authority of the other replica from the `caBundle` after the Secret is replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    /// The content of the Secret; `None` if there is none.
    pub(super) secret: Option<&'a CaSecret>,
    /// The content of the Secret when it was last read or written; `None` at the start.
    pub(super) last: Option<&'a CaSecret>,
    /// The authority of the replica's own leaf.
    pub(super) own: Option<&'a CaCertificate>,
    pub(super) bundles: &'a WebhookBundles,
}

impl Evidence<'_> {
    /// Returns the authorities whose leaf certificates may be in use.
    ///
    /// If only replicas have written the Secret, an authority that is not in it was discarded. If
    /// another client has changed it, all authorities of the last Secret and of the webhooks count.
    pub(super) fn in_use(&self, now: Timestamp) -> Vec<CaCertificate> {
        let own = self.own.into_iter().cloned();
        if self.secret.is_some() && !self.is_changed_by_others() {
            return own.collect();
        }
        let last = self.last.into_iter().flat_map(|last| {
            let is_over = |it: &CaCertificate| last.previous.contains(it) && last.is_over(it, now);
            let trusted = last.trusted().into_iter();
            trusted.filter(move |it| !is_over(it)).cloned()
        });
        own.chain(last)
            .chain(self.bundles.trusted_by_any())
            .collect()
    }

    /// Whether another client has emptied, replaced or restored the Secret.
    pub(super) fn is_changed_by_others(&self) -> bool {
        match (self.secret, self.last) {
            (None, _) => false,
            (Some(secret), Some(last)) => secret.changed < last.changed,
            // A replica that has just started can only compare the Secret with the webhooks.
            (Some(secret), None) => {
                let trusted = secret.trusted();
                let bundles = self.bundles.trusted_by_any();
                bundles.iter().any(|it| !trusted.contains(&it))
            }
        }
    }
}

/// The inputs of a plan besides the content of the Secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observations<'a> {
    /// The wall-clock time, by which certificates expire.
    pub(super) now: Timestamp,
    /// The authorities whose leaf certificates may be in use.
    pub(super) in_use: &'a [CaCertificate],
    /// The authority of the replica's own leaf.
    pub(super) own: Option<&'a CaCertificate>,
    /// Whether another client has changed the content. Its `previous-until` is then not reliable.
    pub(super) is_changed_by_others: bool,
    pub(super) trust: &'a TrustHistory,
    pub(super) lifetimes: Lifetimes,
}

/// A change of the content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Create an authority and use it immediately, because there is no usable one.
    Create,
    /// Publish the next authority.
    Publish,
    /// Make the next authority the current one, which signs.
    Promote,
    /// Trust these authorities again, and extend `previous-until`: they are in use, and another
    /// client has removed them or changed the date.
    Keep(Vec<CaCertificate>),
    /// Stop trusting authorities without leaf certificates in use.
    Discard,
}

impl Step {
    pub(super) fn event(&self) -> CertificateEvent {
        match self {
            Self::Create => CertificateEvent::CaCreated,
            Self::Publish => CertificateEvent::CaPublished,
            Self::Promote => CertificateEvent::CaPromoted,
            Self::Keep(_) => CertificateEvent::CaKept,
            Self::Discard => CertificateEvent::CaDiscarded,
        }
    }
}

/// Maximum number of steps of one plan; more would repeat themselves.
const MAX_STEPS: usize = 8;

/// Takes steps until none is due. Returns the new content and the steps.
///
/// # Errors
/// If an authority cannot be created.
pub(super) fn plan(
    mut secret: CaSecret,
    observed: &Observations<'_>,
) -> Result<(CaSecret, Vec<Step>), AuthorityError> {
    let mut steps = Vec::new();
    while let Some(step) = next_step(&secret, observed).filter(|_| steps.len() < MAX_STEPS) {
        secret = take(secret, &step, observed)?;
        steps.push(step);
    }
    Ok((secret, steps))
}

/// Returns the next step that is due.
pub(super) fn next_step(secret: &CaSecret, observed: &Observations<'_>) -> Option<Step> {
    let Observations { now, lifetimes, .. } = *observed;
    let is_valid = |authority: &&Authority| authority.certificate().is_valid_at(now);
    let next = secret.next.as_ref();
    // An authority that is not valid yet is as unusable as an expired one.
    let Some(current) = secret.current.as_ref().filter(is_valid) else {
        return Some(match next.filter(is_valid) {
            Some(_) => Step::Promote,
            None => Step::Create,
        });
    };
    let trusted = secret.trusted();
    let lost = observed.in_use.iter();
    let lost = lost
        .filter(|it| !has_expired(it, now) && !trusted.contains(it))
        .cloned();
    // If there are too many, only the authority of the replica's own leaf is kept.
    let (mut keep, others): (Vec<_>, Vec<_>) = lost.partition(|it| Some(it) == observed.own);
    let free = MAX_AUTHORITIES.saturating_sub(trusted.len());
    keep.extend(others.into_iter().take(free));
    let is_early = |until| until < after(now, lifetimes.leaf);
    let is_date_wrong =
        observed.is_changed_by_others && secret.previous_until.is_some_and(is_early);
    if is_date_wrong || !keep.is_empty() {
        return Some(Step::Keep(keep));
    }
    let trusted_for = next.and_then(|next| observed.trust.how_long(next.certificate()));
    let is_over = |it: &CaCertificate| secret.is_over(it, now);
    match next {
        Some(next) if !is_valid(&next) => Some(Step::Publish),
        Some(_) if trusted_for.is_some_and(|time| time >= lifetimes.overlap) => Some(Step::Promote),
        None if current.certificate().remaining(now) <= lifetimes.ca / 3 => Some(Step::Publish),
        _ if secret.previous.iter().any(is_over) => Some(Step::Discard),
        _ => (trusted.len() > MAX_AUTHORITIES).then_some(Step::Discard),
    }
}

fn take(
    mut secret: CaSecret,
    step: &Step,
    observed: &Observations<'_>,
) -> Result<CaSecret, AuthorityError> {
    let Observations { now, lifetimes, .. } = *observed;
    let make = || Authority::make("drydock CA", now, lifetimes.ca);
    let until = Some(after(now, lifetimes.leaf));
    match step {
        Step::Create => {
            secret.previous = secret.trusted().into_iter().cloned().collect();
            secret.current = Some(make()?);
            secret.next = None;
            secret.previous_until = until;
        }
        Step::Publish => secret.next = Some(make()?),
        Step::Promote => {
            let current = secret.current.take();
            let current = current.map(|current| current.certificate().clone());
            secret.previous.extend(current);
            secret.current = secret.next.take();
            secret.previous_until = until;
        }
        Step::Keep(lost) => {
            secret.trust(lost.iter().cloned());
            secret.previous_until = until;
        }
        Step::Discard => {
            let mut previous = std::mem::take(&mut secret.previous);
            previous.retain(|it| !secret.is_over(it, now));
            secret.previous = previous;
        }
    }
    secret.drop_excess(observed.own, now);
    if secret.previous.is_empty() {
        secret.previous_until = None;
    }
    Ok(secret)
}

#[cfg(test)]
mod tests;
