//! Decides the next steps of a CA rotation. Pure: it has no I/O, and observations are arguments.
//!
//! ```text
//!          two thirds of its life        trusted everywhere for the overlap
//! current ───────── Publish ──► + next ────────────── Promote ──► next is current,
//!                                                                 the old one previous
//!                                                                   │ lifetime of a leaf
//!                                                                   └─ Discard ──► only current
//! ```
//!
//! Every replica decides on its own. The API server accepts the write of one replica. The writes of
//! the others fail, because the resourceVersion has changed, and they read the Secret again.

use super::ca_bundle::{TrustHistory, WebhookBundles};
use super::secret::{CaSecret, MAX_AUTHORITIES, has_expired};
use crate::pki::authority::{Authority, AuthorityError, CaCertificate};
use crate::telemetry::metrics::CertificateEvent;
use jiff::Timestamp;
use std::time::Duration;

/// Lifetimes of authorities and leaf certificates, and the overlap: the time for which a new
/// authority is trusted before it signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    pub(super) ca: Duration,
    pub(super) leaf: Duration,
    pub(super) overlap: Duration,
}

impl Lifetimes {
    /// Checks the lifetimes and the overlap.
    ///
    /// # Errors
    /// If a third of a lifetime is not longer than the overlap. Renewal begins when a third is
    /// left, so a certificate could expire before its successor signs. The error is a message for
    /// the user.
    pub fn new(ca: Duration, leaf: Duration, overlap: Duration) -> Result<Self, String> {
        for (what, lifetime) in [("CA", ca), ("certificate", leaf)] {
            if lifetime / 3 <= overlap {
                return Err(format!(
                    "a third of the {what}'s lifetime of {lifetime:?} must be longer than the overlap of {overlap:?}; increase the lifetime"
                ));
            }
        }
        Ok(Self { ca, leaf, overlap })
    }
}

/// Adds a duration to a time. Returns the maximum timestamp on overflow.
pub(super) fn after(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}

/// The observations from which a replica decides which authorities may have leaf certificates in
/// use.
///
/// Replicas observe a rotation at different times: one serves a leaf of the new authority while
/// another still serves a leaf of the old one. A replica that considered only its own leaf would,
/// after the Secret is replaced, remove the authority of the other replica from the `caBundle`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    /// The content of the Secret; `None` if the Secret does not exist.
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
    /// These are the authority of the replica's own leaf and, if another client has deleted or
    /// changed the Secret, all authorities of the last Secret and of the webhooks. If only replicas
    /// have written the Secret, it contains every other authority with a leaf in use.
    pub(super) fn in_use(&self, now: Timestamp) -> Vec<CaCertificate> {
        let own = self.own.into_iter().cloned();
        if self.secret.is_some() && !self.is_changed_by_others() {
            return own.collect();
        }
        let last = self.last.into_iter().flat_map(|last| {
            let is_discardable =
                |it: &CaCertificate| last.previous.contains(it) && last.is_discardable(it, now);
            let trusted = last.trusted().into_iter();
            trusted.filter(move |it| !is_discardable(it)).cloned()
        });
        own.chain(last)
            .chain(self.bundles.trusted_by_any())
            .collect()
    }

    /// Returns whether another client has emptied, replaced or restored the Secret.
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

/// The inputs of a plan, except the content of the Secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observations<'a> {
    /// The wall-clock time of the API server, which verifies certificates by it.
    pub(super) now: Timestamp,
    /// The authorities whose leaf certificates may be in use.
    pub(super) in_use: &'a [CaCertificate],
    /// The authority of the replica's own leaf.
    pub(super) own: Option<&'a CaCertificate>,
    /// Whether another client has changed the Secret. If so, its `previous-until` may be wrong.
    pub(super) is_changed_by_others: bool,
    pub(super) trust: &'a TrustHistory,
    pub(super) lifetimes: Lifetimes,
}

/// A change of the content of the Secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Create an authority and sign with it immediately, because no usable one exists.
    Create,
    /// Create the next authority, which is trusted but does not sign yet.
    Publish,
    /// Make the next authority the current one, which signs.
    Promote,
    /// Trust these authorities again and extend `previous-until`, because their leaf certificates
    /// may be in use and another client has removed them or changed the date.
    Keep(Vec<CaCertificate>),
    /// Stop trusting previous authorities that have expired, that are past `previous-until`, or
    /// that exceed the maximum number.
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

/// Maximum number of steps in one plan. It prevents an endless loop.
const MAX_STEPS: usize = 8;

/// Applies steps until none is due. Returns the new content and the steps.
///
/// # Errors
/// If an authority cannot be created.
pub(super) fn plan(
    mut secret: CaSecret,
    observed: &Observations<'_>,
) -> Result<(CaSecret, Vec<Step>), AuthorityError> {
    let mut steps = Vec::new();
    while let Some(step) = next_step(&secret, observed).filter(|_| steps.len() < MAX_STEPS) {
        secret = apply(secret, &step, observed)?;
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
    // The authority of the replica's own leaf is kept even if the maximum is reached.
    let (mut keep, others): (Vec<_>, Vec<_>) = lost.partition(|it| Some(it) == observed.own);
    let free = MAX_AUTHORITIES.saturating_sub(trusted.len());
    keep.extend(others.into_iter().take(free));
    let is_early = |until| until < after(now, lifetimes.leaf);
    let is_date_wrong =
        observed.is_changed_by_others && secret.previous_until.is_some_and(is_early);
    if is_date_wrong || !keep.is_empty() {
        return Some(Step::Keep(keep));
    }
    let trusted_for = next.and_then(|next| observed.trust.trusted_for(next.certificate()));
    let is_discardable = |it: &CaCertificate| secret.is_discardable(it, now);
    match next {
        Some(next) if !is_valid(&next) => Some(Step::Publish),
        Some(_) if trusted_for.is_some_and(|time| time >= lifetimes.overlap) => Some(Step::Promote),
        None if current.certificate().remaining(now) <= lifetimes.ca / 3 => Some(Step::Publish),
        _ if secret.previous.iter().any(is_discardable) => Some(Step::Discard),
        _ => (trusted.len() > MAX_AUTHORITIES).then_some(Step::Discard),
    }
}

fn apply(
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
            previous.retain(|it| !secret.is_discardable(it, now));
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
