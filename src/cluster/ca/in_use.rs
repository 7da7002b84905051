//! Which authorities may have leafs in use, as far as one replica can know: what the Secret has to go on trusting. Pure.
//!
//! Replicas do not see the same things at the same time: one serves of a new authority while another still serves of the one before. So when
//! somebody else has changed the Secret, a replica that looked after its own leaf only would take the authority of another's out of the
//! `caBundle`. Whoever comes first keeps all that any of them could serve of.

#[cfg(test)]
mod tests;

use super::secret::Content;
use super::webhook::Live;
use crate::pki::authority::CaCertificate;
use jiff::Timestamp;

/// What a replica has to go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traces<'a> {
    /// What the Secret holds; nothing where it is gone.
    pub(super) held: Option<&'a Content>,
    /// What it held when it was last seen or written; nothing at the start.
    pub(super) known: Option<&'a Content>,
    /// The authority of the replica's own leaf.
    pub(super) own: Option<&'a CaCertificate>,
    /// What the webhooks trust.
    pub(super) live: &'a Live,
}

impl Traces<'_> {
    /// Returns the authority of the replica's own leaf, and where replicas alone have not made the Secret what it is, every one that another
    /// replica's leaf could be of: those that were known and those that the webhooks trust.
    ///
    /// A Secret that replicas alone have written is believed: what it does not hold any more has been discarded. Otherwise nobody could take
    /// an authority out of it, or out of the `caBundle`.
    pub(super) fn in_use(&self, now: Timestamp) -> Vec<CaCertificate> {
        let own = self.own.into_iter().cloned();
        if self.held.is_some() && !self.is_changed_by_others() {
            return own.collect();
        }
        let known = self.known.into_iter().flat_map(|known| {
            let is_over =
                |it: &CaCertificate| known.previous.contains(it) && known.is_over(it, now);
            let trusted = known.trusted().into_iter();
            trusted.filter(move |it| !is_over(it)).cloned()
        });
        own.chain(known).chain(self.live.trusted_by_any()).collect()
    }

    /// Whether somebody else has changed the Secret since it was known: emptied or replaced it, or put back an old one.
    pub(super) fn is_changed_by_others(&self) -> bool {
        match (self.held, self.known) {
            (None, _) => false,
            (Some(held), Some(known)) => held.changed < known.changed,
            // Who has just begun can only compare with the webhooks.
            (Some(held), None) => {
                let trusted = held.trusted();
                let live = self.live.trusted_by_any();
                live.iter().any(|it| !trusted.contains(&it))
            }
        }
    }
}
