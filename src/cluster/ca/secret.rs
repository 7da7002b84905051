//! The Secret of the self-managed authority: the current authority, the next one, and the
//! certificates of earlier ones.
//!
//! ```text
//! ca.crt, ca.key      the current authority, which signs
//! next.crt, next.key  the next authority during a rotation: trusted, does not sign yet
//! previous.crt        earlier authorities that may have leaf certificates in use
//! previous-until      when the previous authorities are discarded (RFC 3339); without it, when
//!                     they expire
//! changed             when a replica last changed the Secret (RFC 3339): an earlier time shows
//!                     that another client has replaced or restored it
//! ```
//!
//! Unreadable fields are logged and ignored: a damaged Secret leads to a new authority, but to no
//! lost admission.

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

/// Minimum difference between two values of `changed`, because clocks differ.
const TICK: Duration = Duration::from_millis(1);

/// The content of the Secret.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct CaSecret {
    pub(super) current: Option<Authority>,
    pub(super) next: Option<Authority>,
    pub(super) previous: Vec<CaCertificate>,
    pub(super) previous_until: Option<Timestamp>,
    pub(super) changed: Option<Timestamp>,
}

/// Data of a Secret, decoded.
pub(super) type Data = BTreeMap<String, ByteString>;

impl CaSecret {
    /// Reads the data of a Secret. The problems name fields and never contain their values.
    pub(super) fn read(data: &Data) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let mut text = |name: &str| {
            let text = String::from_utf8(data.get(name)?.0.clone());
            if text.is_err() {
                problems.push(format!("{name} is not text"));
            }
            text.ok()
        };
        let pairs = [CURRENT, NEXT].map(|pair| (pair, pair.map(&mut text)));
        let [previous, until, changed] = [PREVIOUS, PREVIOUS_UNTIL, CHANGED].map(&mut text);
        // Certificates of authorities without a readable key.
        let mut orphans = Vec::new();
        let mut authority = |([crt, key], pair): ([&str; 2], [Option<String>; 2])| {
            if pair == [None, None] {
                return None;
            }
            let [certificate, private] = pair.map(Option::unwrap_or_default);
            let read = Authority::from_pem(&certificate, &private);
            read.inspect_err(|error| {
                problems.push(format!("{crt} with {key}: {error}"));
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
                problems.push(format!("{name} is not a time (RFC 3339)"));
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

    /// Adds authorities to the trusted ones.
    pub(super) fn trust(&mut self, certificates: impl IntoIterator<Item = CaCertificate>) {
        for certificate in certificates {
            if !self.trusted().contains(&&certificate) {
                self.previous.push(certificate);
            }
        }
    }

    /// Sets `changed` to now, or to a later time if the Secret or `last` has a later one.
    pub(super) fn change(&mut self, last: Option<Timestamp>, now: Timestamp) {
        let last = self.changed.max(last);
        let next = last.map(|last| after(last, TICK));
        self.changed = next.max(Some(now));
    }

    /// Writes the content to the data of a Secret. Other fields stay.
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

    /// Returns the certificates to trust, each once, in the same order on every replica.
    pub(super) fn trusted(&self) -> Vec<&CaCertificate> {
        let authorities = [&self.current, &self.next].into_iter().flatten();
        let previous = self.previous.iter();
        distinct(previous.chain(authorities.map(Authority::certificate)))
    }

    /// Returns until when an authority is trusted; `None` if it is not trusted.
    pub(super) fn trusted_until(&self, certificate: &CaCertificate) -> Option<Timestamp> {
        let mut authorities = [&self.current, &self.next].into_iter().flatten();
        if authorities.any(|authority| authority.certificate() == certificate) {
            return Some(certificate.expires());
        }
        let date = self.previous_until.unwrap_or(Timestamp::MAX);
        let is_previous = self.previous.contains(certificate);
        is_previous.then(|| date.min(certificate.expires()))
    }

    /// Whether a previous authority can be removed: `previous-until` has passed, or it has expired.
    pub(super) fn is_over(&self, previous: &CaCertificate, now: Timestamp) -> bool {
        self.previous_until.is_some_and(|until| until <= now) || has_expired(previous, now)
    }

    /// Drops previous authorities above the maximum: first invalid ones, then the oldest. `kept`
    /// stays.
    pub(super) fn drop_excess(&mut self, kept: Option<&CaCertificate>, now: Timestamp) {
        // Counted once, because a Secret can have more than a thousand.
        let mut excess = self.trusted().len().saturating_sub(MAX_AUTHORITIES);
        for even_good in [false, true] {
            self.previous.retain(|it| {
                let may_go = Some(it) != kept && (even_good || !it.is_valid_at(now));
                let goes = excess > 0 && may_go;
                excess -= usize::from(goes);
                !goes
            });
        }
    }

    /// Returns the `caBundle`, PEM.
    pub(super) fn bundle(&self) -> String {
        let trusted = self.trusted().into_iter();
        trusted.map(CaCertificate::pem).collect()
    }
}

/// Whether an authority has expired by every clock: a replica whose clock is ahead must not remove
/// an authority that another replica still uses.
pub(super) fn has_expired(certificate: &CaCertificate, now: Timestamp) -> bool {
    let end = certificate.expires().checked_add(BACKDATING);
    end.is_ok_and(|end| end <= now)
}

#[cfg(test)]
mod tests;
