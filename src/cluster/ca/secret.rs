//! The Secret of the self-managed authority: the current authority, the next one, and the
//! certificates of earlier ones.
//!
//! ```text
//! ca.crt, ca.key      the current authority, which signs
//! next.crt, next.key  the next authority during a rotation: trusted, does not sign yet
//! previous.crt        earlier authorities that may have leaf certificates in use
//! previous-until      when the previous authorities are discarded (RFC 3339); if it is missing,
//!                     they are discarded when they expire
//! changed             when a replica last changed the Secret (RFC 3339): an earlier time shows
//!                     that another client has replaced or restored it
//! ```
//!
//! Unreadable fields are logged and ignored. A damaged Secret leads to a new authority, but not to
//! a failed admission.

use super::plan::after;
use crate::cluster::distinct;
use crate::pki::authority::{Authority, BACKDATING, CaCertificate};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use std::collections::BTreeMap;
use std::time::Duration;

const CURRENT: [&str; 2] = ["ca.crt", "ca.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];
const PREVIOUS: &str = "previous.crt";
const PREVIOUS_UNTIL: &str = "previous-until";
const CHANGED: &str = "changed";

/// Maximum number of trusted authorities. A rotation needs three.
pub(super) const MAX_AUTHORITIES: usize = 16;

/// Minimum increase of `changed` at each write. The clock of another replica may be ahead, so the
/// current time is not always later than the old value.
const MIN_INCREASE: Duration = Duration::from_millis(1);

/// The content of the Secret.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct CaSecret {
    pub(super) current: Option<Authority>,
    pub(super) next: Option<Authority>,
    pub(super) previous: Vec<CaCertificate>,
    pub(super) previous_until: Option<Timestamp>,
    pub(super) changed: Option<Timestamp>,
}

/// The `data` of a Secret, decoded from base64.
pub(super) type Data = BTreeMap<String, ByteString>;

impl CaSecret {
    /// Reads the data of a Secret. Returns the content, and the problems of unreadable fields. A
    /// problem names the field and never contains its value.
    pub(super) fn read(data: &Data) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let mut text = |name: &str| {
            let text = String::from_utf8(data.get(name)?.0.clone());
            if text.is_err() {
                problems.push(format!("{name} is not UTF-8 text"));
            }
            text.ok()
        };
        let pairs = [CURRENT, NEXT].map(|pair| (pair, pair.map(&mut text)));
        let [previous, until, changed] = [PREVIOUS, PREVIOUS_UNTIL, CHANGED].map(&mut text);
        // Certificates of authorities whose key is missing or unreadable.
        let mut orphans = Vec::new();
        let mut authority = |([crt, key], pair): ([&str; 2], [Option<String>; 2])| {
            if pair == [None, None] {
                return None;
            }
            let [certificate, private] = pair.map(Option::unwrap_or_default);
            let read = Authority::from_pem(&certificate, &private);
            read.inspect_err(|error| {
                problems.push(format!("{crt} and {key}: {error}"));
                orphans.extend(CaCertificate::all_from_pem(&certificate).0);
            })
            .ok()
        };
        let [current, next] = pairs.map(&mut authority);
        let (previous, unreadable) = CaCertificate::all_from_pem(&previous.unwrap_or_default());
        if unreadable > 0 {
            problems.push(format!(
                "{PREVIOUS}: {unreadable} certificates cannot be read"
            ));
        }
        let mut time = |name: &str, text: Option<String>| {
            let time = text?.trim().parse();
            if time.is_err() {
                problems.push(format!("{name} is not an RFC 3339 time"));
            }
            time.ok()
        };
        let mut secret = Self {
            current,
            next,
            previous,
            previous_until: time(PREVIOUS_UNTIL, until),
            changed: time(CHANGED, changed),
        };
        secret.trust(orphans);
        (secret, problems)
    }

    /// Adds the certificates that are not trusted yet to the previous authorities.
    pub(super) fn trust(&mut self, certificates: impl IntoIterator<Item = CaCertificate>) {
        for certificate in certificates {
            if !self.trusted().contains(&&certificate) {
                self.previous.push(certificate);
            }
        }
    }

    /// Sets `changed` to `now`, or to [`MIN_INCREASE`] after the later of the old value and `last`,
    /// whichever is later.
    pub(super) fn set_changed(&mut self, last: Option<Timestamp>, now: Timestamp) {
        let last = self.changed.max(last);
        let next = last.map(|last| after(last, MIN_INCREASE));
        self.changed = next.max(Some(now));
    }

    /// Writes the content to the data of a Secret. Other fields are unchanged.
    pub(super) fn write(&self, data: &mut Data) {
        let mut set = |name: &str, value: Option<String>| match value {
            Some(value) => drop(data.insert(name.to_owned(), ByteString(value.into_bytes()))),
            None => drop(data.remove(name)),
        };
        for ([certificate, key], authority) in [(CURRENT, &self.current), (NEXT, &self.next)] {
            let authority = authority.as_ref();
            set(
                certificate,
                authority.map(|it| it.certificate().pem().to_owned()),
            );
            set(key, authority.map(Authority::key_pem));
        }
        let previous: String = self.previous.iter().map(CaCertificate::pem).collect();
        set(PREVIOUS, (!previous.is_empty()).then_some(previous));
        for (name, time) in [
            (PREVIOUS_UNTIL, self.previous_until),
            (CHANGED, self.changed),
        ] {
            set(name, time.map(|time| time.to_string()));
        }
    }

    /// Returns the certificates to trust, without duplicates, in the same order on every replica.
    pub(super) fn trusted(&self) -> Vec<&CaCertificate> {
        let authorities = [&self.current, &self.next].into_iter().flatten();
        let previous = self.previous.iter();
        distinct(previous.chain(authorities.map(Authority::certificate)))
    }

    /// Returns the time until which an authority is trusted; `None` if it is not trusted.
    pub(super) fn trusted_until(&self, certificate: &CaCertificate) -> Option<Timestamp> {
        let mut authorities = [&self.current, &self.next].into_iter().flatten();
        if authorities.any(|authority| authority.certificate() == certificate) {
            return Some(certificate.expires());
        }
        let date = self.previous_until.unwrap_or(Timestamp::MAX);
        let is_previous = self.previous.contains(certificate);
        is_previous.then(|| date.min(certificate.expires()))
    }

    /// Returns whether a previous authority can be discarded, because it has expired or
    /// `previous-until` has passed.
    pub(super) fn is_discardable(&self, previous: &CaCertificate, now: Timestamp) -> bool {
        self.previous_until.is_some_and(|until| until <= now) || has_expired(previous, now)
    }

    /// Removes previous authorities until at most [`MAX_AUTHORITIES`] are trusted: first those that
    /// are not valid at `now`, then the oldest. Never removes `kept`.
    pub(super) fn drop_excess(&mut self, kept: Option<&CaCertificate>, now: Timestamp) {
        // Computed once, because a Secret can contain more than a thousand certificates.
        let mut excess = self.trusted().len().saturating_sub(MAX_AUTHORITIES);
        for even_valid in [false, true] {
            self.previous.retain(|it| {
                let is_removable = Some(it) != kept && (even_valid || !it.is_valid_at(now));
                let is_removed = excess > 0 && is_removable;
                excess -= usize::from(is_removed);
                !is_removed
            });
        }
    }

    /// Returns the content of the `caBundle`: all trusted certificates as PEM.
    pub(super) fn bundle(&self) -> String {
        let trusted = self.trusted().into_iter();
        trusted.map(CaCertificate::pem).collect()
    }
}

/// Returns whether an authority expired at least [`BACKDATING`] ago. Without this margin, a replica
/// whose clock is ahead would remove an authority that another replica still uses.
pub(super) fn has_expired(certificate: &CaCertificate, now: Timestamp) -> bool {
    let latest = certificate.expires().checked_add(BACKDATING);
    latest.is_ok_and(|latest| latest <= now)
}

#[cfg(test)]
mod tests;
