//! The leaf that this replica serves: when it needs another, from whom, and what it hands over.

#[cfg(test)]
mod tests;

use super::Issued;
use super::lifetimes::Lifetimes;
use super::live::InForce;
use crate::authority::{Authority, BEFORE_NOW, CaCertificate, Leaf};
use jiff::Timestamp;
use std::time::Duration;

/// A leaf and the authority that signed it.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) leaf: Leaf,
    pub(super) ca: CaCertificate,
}

impl Serving {
    /// Returns what the server needs of it.
    pub(super) fn issued(&self) -> Issued {
        Issued {
            chain_pem: self.leaf.certificate.clone(),
            key_pem: self.leaf.key.clone(),
            expires: self.leaf.expires,
            authority: self.ca.name().to_owned(),
        }
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.leaf.expires <= now
    }

    /// When a good part of its life is over: from 60% to two thirds, so that replicas that began together do not renew together.
    fn renewal(&self) -> Timestamp {
        let life = self.leaf.expires.duration_since(self.leaf.signed);
        let life = Duration::try_from(life).unwrap_or_default();
        // The certificate's own bytes are random enough, and do not change.
        let draw: u32 = self.leaf.certificate.bytes().map(u32::from).sum();
        let part = 2.0 / 3.0 - f64::from(draw % 256) / 256.0 / 15.0;
        let until = self.leaf.signed.checked_add(life.mul_f64(part));
        until.unwrap_or(Timestamp::MAX)
    }
}

/// Decides whether a leaf is to be signed now, by the authority that is current.
///
/// A first leaf is signed once the authority is trusted at all. While another one's leaf is good, the new authority is given time until every
/// API server trusts it.
pub(super) fn is_due(
    serving: Option<&Serving>,
    current: &Authority,
    in_force: &InForce,
    now: Timestamp,
    lifetimes: Lifetimes,
) -> bool {
    let current = current.certificate();
    if !current.is_good(now) {
        return false;
    }
    let trusted_for = in_force.how_long(current);
    match serving {
        None => trusted_for.is_some(),
        Some(serving) if serving.ca == *current => {
            // A leaf that ends with its authority cannot be bettered; one that is not good yet is one of a clock that was put back.
            let gains = serving.leaf.expires < current.expires();
            let begins = serving.leaf.signed.checked_sub(BEFORE_NOW);
            (gains && serving.renewal() <= now) || begins.is_ok_and(|begins| now < begins)
        }
        Some(serving) if serving.has_ended(now) => trusted_for.is_some(),
        Some(_) => trusted_for.is_some_and(|time| time >= lifetimes.overlap()),
    }
}
