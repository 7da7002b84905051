//! What is to be done about the authorities, decided from what is known: no clock, no cluster.
//!
//! ```text
//!            two thirds of its life          trusted everywhere for the overlap
//! current ───────────── Publish ──► + next ─────────────── Promote ──► next is current, the old one previous
//!                                                                        │ lifetime of a leaf
//!                                                                        └─ Discard ──► only current
//! ```
//!
//! Every replica decides for itself; the Secret's version lets one of them write, and the others read again.

#[cfg(test)]
mod tests;

use super::lifetimes::{Lifetimes, after};
use super::secret::{Content, MOST_AUTHORITIES, has_ended};
use super::webhook::InForce;
use crate::pki::authority::{Authority, AuthorityError, CaCertificate};
use crate::telemetry::metrics::CertificateEvent;
use jiff::Timestamp;

/// What is known beside the content of the Secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    /// Now, by the wall clock: certificates end by it.
    pub(super) now: Timestamp,
    /// The authorities whose leafs may be served.
    pub(super) in_use: &'a [CaCertificate],
    /// The one of the replica's own leaf.
    pub(super) own: Option<&'a CaCertificate>,
    /// Whether somebody else has changed the content: its date says nothing about what is in use then.
    pub(super) is_changed_by_others: bool,
    /// Since when which authority has been trusted.
    pub(super) in_force: &'a InForce,
    /// How long things live.
    pub(super) lifetimes: Lifetimes,
}

/// A change of the content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Move {
    /// Make an authority and use it at once: there is none that could be used.
    Create,
    /// Make the next authority known.
    Publish,
    /// Let the next authority sign from now on.
    Promote,
    /// Trust authorities in use, which somebody took out or put another date to.
    Keep(Vec<CaCertificate>),
    /// Trust those no more of which nothing is in use.
    Discard,
}

impl Move {
    /// Returns how it is counted and told.
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

/// More moves in a row than there are kinds would go in circles.
const MOST: usize = 8;

/// Moves until there is nothing left to do; returns the content then, and the moves.
///
/// # Errors
/// Where no authority can be made.
pub(super) fn settle(
    mut content: Content,
    sight: &Sight<'_>,
) -> Result<(Content, Vec<Move>), AuthorityError> {
    let mut moves = Vec::new();
    while let Some(step) = decide(&content, sight).filter(|_| moves.len() < MOST) {
        content = perform(content, &step, sight)?;
        moves.push(step);
    }
    Ok((content, moves))
}

/// Decides what is to be done first, if anything.
pub(super) fn decide(content: &Content, sight: &Sight<'_>) -> Option<Move> {
    let Sight { now, lifetimes, .. } = *sight;
    let is_good = |authority: &&Authority| authority.certificate().is_good(now);
    let next = content.next.as_ref();
    // One that is not good yet signs nothing that anybody takes now: as bad as one that has ended.
    let Some(current) = content.current.as_ref().filter(is_good) else {
        return Some(match next.filter(is_good) {
            Some(_) => Move::Promote,
            None => Move::Create,
        });
    };
    let trusted = content.trusted();
    let lost = |it: &&CaCertificate| !has_ended(it, now) && !trusted.contains(it);
    // Beyond the bound only the one that this replica knows to be in use.
    let room = MOST_AUTHORITIES.saturating_sub(trusted.len());
    let (own, others): (Vec<_>, Vec<_>) = sight
        .in_use
        .iter()
        .filter(lost)
        .cloned()
        .partition(|it| Some(it) == sight.own);
    let lost: Vec<CaCertificate> = own
        .into_iter()
        .chain(others.into_iter().take(room))
        .collect();
    let in_a_leafs_life = after(now, lifetimes.leaf());
    let is_early = |until| until < in_a_leafs_life;
    let may_lose = sight.is_changed_by_others && content.previous_until.is_some_and(is_early);
    if may_lose || !lost.is_empty() {
        return Some(Move::Keep(lost));
    }
    let of_next = match next {
        Some(next) if !is_good(&next) => Some(Move::Publish),
        Some(next) => {
            let trusted_for = sight.in_force.how_long(next.certificate());
            trusted_for
                .is_some_and(|time| time >= lifetimes.overlap())
                .then_some(Move::Promote)
        }
        None => {
            let rest = current.certificate().rest(now);
            (rest <= lifetimes.ca() / 3).then_some(Move::Publish)
        }
    };
    of_next.or_else(|| about_previous(content, now))
}

fn about_previous(content: &Content, now: Timestamp) -> Option<Move> {
    let mut previous = content.previous.iter();
    let is_over = previous.any(|certificate| content.is_over(certificate, now));
    let is_excess = content.trusted().len() > MOST_AUTHORITIES;
    (is_over || is_excess).then_some(Move::Discard)
}

fn perform(
    mut content: Content,
    step: &Move,
    sight: &Sight<'_>,
) -> Result<Content, AuthorityError> {
    let Sight { now, lifetimes, .. } = *sight;
    let make = || Authority::make("drydock CA", now, lifetimes.ca());
    let until = Some(after(now, lifetimes.leaf()));
    match step {
        Move::Create => {
            content.previous = content.trusted().into_iter().cloned().collect();
            content.current = Some(make()?);
            content.next = None;
            content.previous_until = until;
        }
        Move::Publish => content.next = Some(make()?),
        Move::Promote => {
            let current = content.current.take();
            content
                .previous
                .extend(current.map(|current| current.certificate().clone()));
            content.current = content.next.take();
            content.previous_until = until;
        }
        Move::Keep(lost) => {
            content.trust(lost.iter().cloned());
            content.previous_until = until;
        }
        Move::Discard => {
            let previous = std::mem::take(&mut content.previous).into_iter();
            content.previous = previous.filter(|it| !content.is_over(it, now)).collect();
        }
    }
    content.drop_excess(sight.own, now);
    if content.previous.is_empty() {
        content.previous_until = None;
    }
    Ok(content)
}
