//! The leaf that this replica serves: when it needs another, from whom, and what it hands over.

#[cfg(test)]
mod tests;

use super::Issued;
use super::lifetimes::{Lifetimes, after};
use super::secret::Content;
use super::webhook::InForce;
use crate::pki::authority::{Authority, BEFORE_NOW, CaCertificate, Leaf};
use jiff::Timestamp;
use std::time::Duration;

/// A leaf and the authority that signed it: that can sign another, also where the Secret has it no more.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) leaf: Leaf,
    pub(super) authority: Authority,
}

impl Serving {
    /// Returns the certificate of its authority.
    pub(super) fn ca(&self) -> &CaCertificate {
        self.authority.certificate()
    }

    /// Returns what the server needs of it.
    pub(super) fn issued(&self) -> Issued {
        Issued {
            chain_pem: self.leaf.certificate.clone(),
            key_pem: self.leaf.key.clone(),
            expires: self.leaf.expires,
            authority: self.ca().name().to_owned(),
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
        after(self.leaf.signed, life.mul_f64(part))
    }

    /// Whether its authority, which is trusted until then, is to sign another.
    fn is_to_renew(&self, until: Timestamp, now: Timestamp) -> bool {
        // A leaf that ends with the trust cannot be bettered; one that is not good yet is one of a clock that was put back.
        let gains = self.leaf.expires.as_second() < until.as_second();
        let begins = self.leaf.signed.checked_sub(BEFORE_NOW);
        (gains && self.renewal() <= now) || begins.is_ok_and(|begins| now < begins)
    }

    /// Returns until when its authority can sign, with trust; nothing where it cannot.
    fn signs_until(&self, content: &Content, now: Timestamp) -> Option<Timestamp> {
        let until = content.trusted_until(self.ca())?;
        (self.ca().is_good(now) && now < until).then_some(until)
    }
}

/// Returns the authority that is to sign a leaf now, where one is due, and how long the leaf may live.
///
/// A first leaf is signed once the current authority is trusted at all, or the next one where the current is about to end. While another one
/// can sign, the current authority is given time until every API server trusts it: that may be long, if nobody can see the API server. One that
/// ends before the leaf does is not waited for.
pub(super) fn signer<'a>(
    serving: Option<&'a Serving>,
    content: &'a Content,
    in_force: &InForce,
    now: Timestamp,
    lifetimes: Lifetimes,
) -> Option<(&'a Authority, Duration)> {
    let is_good = |authority: &&Authority| authority.certificate().is_good(now);
    let trusted_for = |authority: &Authority| in_force.how_long(authority.certificate());
    let Some(serving) = serving else {
        let authorities = [&content.next, &content.current].into_iter().flatten();
        let good = authorities.filter(|it| is_good(it) && trusted_for(it).is_some());
        let end = |it: &&Authority| after(now, lifetimes.leaf()).min(it.certificate().expires());
        return good.max_by_key(end).map(|it| (it, lifetimes.leaf()));
    };
    let current = content.current.as_ref().filter(is_good);
    let own_until = serving.signs_until(content, now);
    let takes_over = |current: &&Authority| match own_until {
        _ if serving.authority == **current => false,
        None if serving.has_ended(now) => trusted_for(current).is_some(),
        _ => {
            let gains = serving.leaf.expires < current.certificate().expires();
            gains && trusted_for(current).is_some_and(|time| time >= lifetimes.overlap())
        }
    };
    if let Some(current) = current.filter(takes_over) {
        return Some((current, lifetimes.leaf()));
    }
    let until = own_until.filter(|until| serving.is_to_renew(*until, now))?;
    let rest = Duration::try_from(until.duration_since(now)).ok()?;
    Some((&serving.authority, lifetimes.leaf().min(rest)))
}
