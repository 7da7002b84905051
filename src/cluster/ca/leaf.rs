//! The leaf certificate that this replica serves: when another is due, and who signs it.

use super::ca_bundle::TrustHistory;
use super::plan::{Lifetimes, after};
use super::secret::CaSecret;
use crate::pki::authority::{Authority, BACKDATING};
use crate::pki::leaf::Leaf;
use jiff::Timestamp;
use std::time::Duration;

/// After 60% to two thirds of its life, so that replicas that started together do not renew
/// together.
fn renewal(leaf: &Leaf) -> Timestamp {
    let life = leaf.expires.duration_since(leaf.signed);
    let life = Duration::try_from(life).unwrap_or_default();
    // The certificate's own bytes are random enough, and do not change.
    let bytes = leaf.certificate().iter();
    let draw: u32 = bytes.map(|&byte| u32::from(byte)).sum();
    let part = 2.0 / 3.0 - f64::from(draw % 256) / 256.0 / 15.0;
    after(leaf.signed, life.mul_f64(part))
}

/// Whether its authority, which is trusted until then, is to sign another.
fn is_renewal_due(leaf: &Leaf, until: Timestamp, now: Timestamp) -> bool {
    // A leaf that expires with the trust cannot be prolonged; one from the future was signed
    // before the clock was put back.
    let gains = leaf.expires.as_second() < until.as_second();
    let begins = leaf.signed.checked_sub(BACKDATING);
    (gains && renewal(leaf) <= now) || begins.is_ok_and(|begins| now < begins)
}

/// Returns until when its authority can sign trusted certificates; `None` if it cannot.
fn signs_until(leaf: &Leaf, secret: &CaSecret, now: Timestamp) -> Option<Timestamp> {
    let ca = leaf.authority.certificate();
    let until = secret.trusted_until(ca)?;
    (ca.is_valid_at(now) && now < until).then_some(until)
}

/// Returns the authority that is to sign a leaf now, if one is due, and the lifetime of the leaf.
///
/// A first leaf is signed once the current authority is trusted at all, or the next one if the
/// current is about to expire. While another one can sign, the current authority waits until every
/// API server trusts it. That may be long, if no replica can reach the API server. One that expires
/// before the leaf does not take over.
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
