//! What the Secret holds: the authority in use, the one that comes after it, and the certificates of those before.
//!
//! ```text
//! ca.crt, ca.key        the current authority: it signs
//! next.crt, next.key    the next one, while it is made known: it is trusted and does not sign yet
//! previous.crt          the certificates of earlier ones: what they signed may still be in use
//! previous-until        when nothing of theirs is in use any more (RFC 3339); without it they are trusted until they end
//! changed               when a replica changed it last (RFC 3339): what somebody else replaced or put back is told by it
//! ```
//!
//! What cannot be read is told and left out: a damaged Secret costs a new authority, never an admission.

#[cfg(test)]
mod tests;

use super::lifetimes::after;
use crate::pki::authority::{Authority, BEFORE_NOW, CaCertificate};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use std::collections::BTreeMap;
use std::time::Duration;

const CURRENT: [&str; 2] = ["ca.crt", "ca.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];
const PREVIOUS: &str = "previous.crt";
const PREVIOUS_UNTIL: &str = "previous-until";
const CHANGED: &str = "changed";

/// How many authorities are trusted at most. A rotation needs three. The clocks of two nodes that are months apart make each of them
/// take the authority of the other for a useless one and make its own, without end.
pub(super) const MOST_AUTHORITIES: usize = 16;

/// The least time between two changes, as they are noted: clocks differ.
const TICK: Duration = Duration::from_millis(1);

/// The content of the Secret.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Content {
    /// The one that signs.
    pub(super) current: Option<Authority>,
    /// The one that will.
    pub(super) next: Option<Authority>,
    /// Those that signed.
    pub(super) previous: Vec<CaCertificate>,
    /// When `previous` is not needed any more.
    pub(super) previous_until: Option<Timestamp>,
    /// When a replica changed it last, and later than the time before; nothing where none has.
    pub(super) changed: Option<Timestamp>,
}

/// Data of a Secret, decoded.
pub(super) type Data = BTreeMap<String, ByteString>;

impl Content {
    /// Reads it, and says what cannot be read: texts that name a field and never quote it.
    pub(super) fn read(data: &Data) -> (Self, Vec<String>) {
        let mut reader = Reader {
            data,
            problems: Vec::new(),
            orphans: Vec::new(),
        };
        let current = reader.authority(CURRENT);
        let next = reader.authority(NEXT);
        let mut content = Self {
            current,
            next,
            previous: reader.certificates(PREVIOUS),
            previous_until: reader.time(PREVIOUS_UNTIL),
            changed: reader.time(CHANGED),
        };
        content.trust(reader.orphans);
        (content, reader.problems)
    }

    /// Keeps trusting authorities that are trusted now.
    pub(super) fn trust(&mut self, certificates: impl IntoIterator<Item = CaCertificate>) {
        for certificate in certificates {
            if !self.trusted().contains(&&certificate) {
                self.previous.push(certificate);
            }
        }
    }

    /// Notes that a replica changes it now: later than it was, and than another time at which it is known to have been changed.
    pub(super) fn change(&mut self, last: Option<Timestamp>, now: Timestamp) {
        let last = self.changed.max(last);
        let next = last.map(|last| after(last, TICK));
        self.changed = next.max(Some(now));
    }

    /// Writes it to a Secret's data, whose other fields stay.
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

    /// Returns all certificates to be trusted, each once, in an order that is the same for every replica.
    pub(super) fn trusted(&self) -> Vec<&CaCertificate> {
        let authorities = [&self.current, &self.next].into_iter().flatten();
        let all = self.previous.iter();
        let mut trusted: Vec<&CaCertificate> = Vec::new();
        for certificate in all.chain(authorities.map(Authority::certificate)) {
            if !trusted.contains(&certificate) {
                trusted.push(certificate);
            }
        }
        trusted
    }

    /// Returns until when leafs of an authority are trusted; nothing where it is not.
    ///
    /// Those of previous ones are until their date, if they do not end before. Where somebody took that out, until they end.
    pub(super) fn trusted_until(&self, certificate: &CaCertificate) -> Option<Timestamp> {
        let mut authorities = [&self.current, &self.next].into_iter().flatten();
        if authorities.any(|authority| authority.certificate() == certificate) {
            return Some(certificate.expires());
        }
        let date = self.previous_until.unwrap_or(Timestamp::MAX);
        let is_previous = self.previous.contains(certificate);
        is_previous.then(|| date.min(certificate.expires()))
    }

    /// Whether a previous authority is not needed any more: its date has come, or it has ended.
    pub(super) fn is_over(&self, previous: &CaCertificate, now: Timestamp) -> bool {
        self.previous_until.is_some_and(|until| until <= now) || has_ended(previous, now)
    }

    /// Drops previous authorities until there are few enough: first those that cannot be in use now, then the oldest. `kept` stays.
    pub(super) fn drop_excess(&mut self, kept: Option<&CaCertificate>, now: Timestamp) {
        // Counted once: a Secret has room for more than a thousand.
        let mut excess = self.trusted().len().saturating_sub(MOST_AUTHORITIES);
        for whatever in [false, true] {
            self.previous.retain(|it| {
                let may_go = Some(it) != kept && (whatever || !it.is_good(now));
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

/// Whether an authority has ended by any clock: one that is ahead does not take it from those that still serve of it.
pub(super) fn has_ended(certificate: &CaCertificate, now: Timestamp) -> bool {
    let end = certificate.expires().checked_add(BEFORE_NOW);
    end.is_ok_and(|end| end <= now)
}

struct Reader<'a> {
    data: &'a Data,
    problems: Vec<String>,
    /// Certificates of authorities whose keys are lost.
    orphans: Vec<CaCertificate>,
}

impl Reader<'_> {
    fn text(&mut self, name: &str) -> Option<String> {
        let bytes = &self.data.get(name)?.0;
        let text = String::from_utf8(bytes.clone());
        if text.is_err() {
            self.problems.push(format!("{name} is not text"));
        }
        text.ok()
    }

    fn authority(&mut self, [certificate, key]: [&str; 2]) -> Option<Authority> {
        let (certificate_pem, key_pem) = (self.text(certificate), self.text(key));
        if certificate_pem.is_none() && key_pem.is_none() {
            return None;
        }
        let certificate_pem = certificate_pem.unwrap_or_default();
        match Authority::from_pem(&certificate_pem, &key_pem.unwrap_or_default()) {
            Ok(authority) => Some(authority),
            Err(error) => {
                self.problems
                    .push(format!("{certificate} with {key}: {error}"));
                self.orphans
                    .extend(CaCertificate::all_from_pem(&certificate_pem).0);
                None
            }
        }
    }

    fn certificates(&mut self, name: &str) -> Vec<CaCertificate> {
        let text = self.text(name).unwrap_or_default();
        let (certificates, unreadable) = CaCertificate::all_from_pem(&text);
        if unreadable > 0 {
            self.problems
                .push(format!("{name}: {unreadable} certificates cannot be read"));
        }
        certificates
    }

    fn time(&mut self, name: &str) -> Option<Timestamp> {
        let time = self.text(name)?.trim().parse();
        if time.is_err() {
            self.problems
                .push(format!("{name} is not a time (RFC 3339)"));
        }
        time.ok()
    }
}
