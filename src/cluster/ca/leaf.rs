//! Decides when this replica needs a new leaf certificate, and which authority signs it.

use super::ca_bundle::TrustHistory;
use super::plan::{Lifetimes, after};
use super::secret::CaSecret;
use crate::pki::authority::{Authority, BACKDATING};
use crate::pki::leaf::Leaf;
use jiff::Timestamp;
use std::time::Duration;

/// Returns when a leaf is renewed: after 60% to two thirds of its life, so that replicas that
/// started at the same time do not renew at the same time.
fn renewal(leaf: &Leaf) -> Timestamp {
    let life = leaf.expires.duration_since(leaf.signed);
    let life = Duration::try_from(life).unwrap_or_default();
    // The bytes of the certificate are random enough, and do not change.
    let bytes = leaf.certificate().iter();
    let draw: u32 = bytes.map(|&byte| u32::from(byte)).sum();
    let part = 2.0 / 3.0 - f64::from(draw % 256) / 256.0 / 15.0;
    after(leaf.signed, life.mul_f64(part))
}

/// Whether the authority of a leaf, which is trusted until `until`, should sign a new one.
fn is_renewal_due(leaf: &Leaf, until: Timestamp, now: Timestamp) -> bool {
    // A new leaf gains nothing if this one expires with the trust. A leaf from the future was
    // signed before the clock was set back, and is replaced.
    let gains = leaf.expires.as_second() < until.as_second();
    let begins = leaf.signed.checked_sub(BACKDATING);
    (gains && renewal(leaf) <= now) || begins.is_ok_and(|begins| now < begins)
}

/// Returns until when certificates of the leaf's authority are trusted; `None` if it cannot sign.
fn signs_until(leaf: &Leaf, secret: &CaSecret, now: Timestamp) -> Option<Timestamp> {
    let ca = leaf.authority.certificate();
    let until = secret.trusted_until(ca)?;
    (ca.is_valid_at(now) && now < until).then_some(until)
}

/// Returns the authority that signs a leaf now, and the lifetime of the leaf; `None` if no leaf is
/// due.
///
/// The first leaf is signed by the trusted authority whose leaf lasts longest. Later, the authority
/// of the leaf renews it until the current authority has been trusted for the overlap, so that
/// every API server trusts the new leaf. That may take long if no replica can reach the API server.
/// A current authority that expires before the leaf does not replace its authority.
pub(super) fn signer<'a>(
    serving: Option<&'a Leaf>,
    secret: &'a CaSecret,
    trust: &TrustHistory,
    now: Timestamp,
    lifetimes: Lifetimes,
) -> Option<(&'a Authority, Duration)> {
    let is_valid = |authority: &&Authority| authority.certificate().is_valid_at(now);
    let trusted_for = |authority: &Authority| trust.how_long(authority.certificate());
    let Some(serving) = serving else {
        let authorities = [&secret.next, &secret.current].into_iter().flatten();
        let good = authorities.filter(|it| is_valid(it) && trusted_for(it).is_some());
        let end = |it: &&Authority| after(now, lifetimes.leaf).min(it.certificate().expires());
        return good.max_by_key(end).map(|it| (it, lifetimes.leaf));
    };
    let current = secret.current.as_ref().filter(is_valid);
    let own_until = signs_until(serving, secret, now);
    let takes_over = |current: &&Authority| {
        let Some(time) = trusted_for(current).filter(|_| serving.authority != **current) else {
            return false;
        };
        let has_expired = serving.expires <= now;
        let gains = serving.expires < current.certificate().expires();
        (has_expired && own_until.is_none()) || (gains && time >= lifetimes.overlap)
    };
    if let Some(current) = current.filter(takes_over) {
        return Some((current, lifetimes.leaf));
    }
    let until = own_until.filter(|until| is_renewal_due(serving, *until, now))?;
    let rest = Duration::try_from(until.duration_since(now)).ok()?;
    Some((&serving.authority, lifetimes.leaf.min(rest)))
}

#[cfg(test)]
mod tests;
