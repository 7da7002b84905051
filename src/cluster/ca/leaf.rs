//! Decides when this replica needs a new leaf certificate, and which authority signs it.

use super::ca_bundle::TrustHistory;
use super::plan::{Lifetimes, after};
use super::secret::CaSecret;
use crate::pki::authority::{Authority, BACKDATING};
use crate::pki::leaf::Leaf;
use jiff::Timestamp;
use std::time::Duration;

/// Returns when a leaf is renewed: after 60% to 67% of its lifetime. The fraction differs between
/// leaves, so that replicas that started at the same time do not renew at the same time.
fn renewal(leaf: &Leaf) -> Timestamp {
    let life = leaf.expires.duration_since(leaf.signed);
    let life = Duration::try_from(life).unwrap_or_default();
    // The sum of the certificate's bytes serves as a random number that is fixed for this leaf.
    let bytes = leaf.certificate().iter();
    let sum: u32 = bytes.map(|&byte| u32::from(byte)).sum();
    let fraction = 2.0 / 3.0 - f64::from(sum % 256) / 256.0 / 15.0;
    after(leaf.signed, life.mul_f64(fraction))
}

/// Returns whether the leaf's authority, which is trusted until `until`, should sign a new leaf.
fn is_renewal_due(leaf: &Leaf, until: Timestamp, now: Timestamp) -> bool {
    // A new leaf expires at `until` or earlier, so the old one must expire earlier.
    let can_extend = leaf.expires.as_second() < until.as_second();
    // A leaf with a signing time in the future was signed before the clock was set back.
    let earliest = leaf.signed.checked_sub(BACKDATING);
    (can_extend && renewal(leaf) <= now) || earliest.is_ok_and(|earliest| now < earliest)
}

/// Returns the time until which the leaf's authority is trusted; `None` if the authority cannot
/// sign.
fn signs_until(leaf: &Leaf, secret: &CaSecret, now: Timestamp) -> Option<Timestamp> {
    let ca = leaf.authority.certificate();
    let until = secret.trusted_until(ca)?;
    (ca.is_valid_at(now) && now < until).then_some(until)
}

/// Returns the authority that signs a leaf now, and the lifetime of the leaf; `None` if no leaf is
/// due.
///
/// The first leaf is signed by the trusted authority whose leaf would expire last. Later leaves are
/// signed by the authority of the previous leaf, until the current authority of the Secret has been
/// trusted for the overlap: by then, every API server trusts the new leaf. This can take long if no
/// replica can reach the API server. A current authority that expires before the leaf does not
/// sign.
pub(super) fn signer<'a>(
    serving: Option<&'a Leaf>,
    secret: &'a CaSecret,
    trust: &TrustHistory,
    now: Timestamp,
    lifetimes: Lifetimes,
) -> Option<(&'a Authority, Duration)> {
    let is_valid = |authority: &&Authority| authority.certificate().is_valid_at(now);
    let trusted_for = |authority: &Authority| trust.trusted_for(authority.certificate());
    let Some(serving) = serving else {
        let authorities = [&secret.next, &secret.current].into_iter().flatten();
        let usable = authorities.filter(|it| is_valid(it) && trusted_for(it).is_some());
        let end = |it: &&Authority| after(now, lifetimes.leaf).min(it.certificate().expires());
        return usable.max_by_key(end).map(|it| (it, lifetimes.leaf));
    };
    let current = secret.current.as_ref().filter(is_valid);
    let own_until = signs_until(serving, secret, now);
    let takes_over = |current: &&Authority| {
        let Some(time) = trusted_for(current).filter(|_| serving.authority != **current) else {
            return false;
        };
        let has_expired = serving.expires <= now;
        let can_extend = serving.expires < current.certificate().expires();
        (has_expired && own_until.is_none()) || (can_extend && time >= lifetimes.overlap)
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
