//! How long authorities and leafs live, and how long two authorities are trusted side by side before the new one signs.

use jiff::Timestamp;
use std::time::Duration;

/// Times that fit together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    ca: Duration,
    leaf: Duration,
    overlap: Duration,
}

/// Why times do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum LifetimesError {
    /// There is not enough time to make a new authority known before the old one ends.
    #[error(
        "an authority that lives for {ca:?} is renewed when a third of that is left, which has to be longer than the overlap of {overlap:?}; let it live longer"
    )]
    Ca {
        /// What was asked for.
        ca: Duration,
        /// What was asked for.
        overlap: Duration,
    },
    /// A leaf could end while its successor waits for the new authority.
    #[error(
        "a certificate that lives for {leaf:?} is renewed when a third of that is left, which has to be longer than the overlap of {overlap:?}; let it live longer"
    )]
    Leaf {
        /// What was asked for.
        leaf: Duration,
        /// What was asked for.
        overlap: Duration,
    },
}

impl Default for Lifetimes {
    /// A year for authorities, a day for leafs, five minutes until every API server trusts a new authority.
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        Self {
            ca: HOUR * 24 * 365,
            leaf: HOUR * 24,
            overlap: HOUR / 12,
        }
    }
}

impl Lifetimes {
    /// Puts them together.
    ///
    /// # Errors
    /// Where a third of a lifetime, at which renewal begins, is not longer than the overlap.
    pub fn new(ca: Duration, leaf: Duration, overlap: Duration) -> Result<Self, LifetimesError> {
        if ca / 3 <= overlap {
            return Err(LifetimesError::Ca { ca, overlap });
        }
        if leaf / 3 <= overlap {
            return Err(LifetimesError::Leaf { leaf, overlap });
        }
        Ok(Self { ca, leaf, overlap })
    }

    pub(super) fn ca(&self) -> Duration {
        self.ca
    }

    pub(super) fn leaf(&self) -> Duration {
        self.leaf
    }

    pub(super) fn overlap(&self) -> Duration {
        self.overlap
    }
}

/// Returns the time at the end of a duration, or the last one that there is.
pub(super) fn after(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}
