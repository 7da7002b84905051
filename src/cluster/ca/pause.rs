//! Times between looks: the more often something had to be written or failed, the further apart, so that neither an API server in trouble
//! nor somebody who undoes what drydock does is met with a flood.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// What a look came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Look {
    /// All is as it should be.
    Good,
    /// Something was written.
    Wrote,
    /// Something failed, or somebody else wrote first.
    Failed,
}

/// The time between looks.
#[derive(Debug)]
pub(super) struct Pause {
    /// Without a reason to look.
    look: Duration,
    /// With one.
    least: Duration,
}

impl Pause {
    /// The shortest pause that is one: a change of one's own is seen after it.
    const FIRST: Duration = Duration::from_millis(25);

    pub(super) fn new(look: Duration) -> Self {
        Self {
            look,
            least: Duration::ZERO,
        }
    }

    /// Returns how long to wait at least, whatever changes, and at most, if nothing does.
    ///
    /// A write grows it by more than the quiet look after it takes back: writing in turn with somebody else becomes slow, too.
    pub(super) fn after(&mut self, look: Look) -> (Duration, Duration) {
        let grown = (self.least * 4).clamp(Self::FIRST.min(self.look), self.look);
        self.least = match look {
            Look::Good if self.least < Self::FIRST => Duration::ZERO,
            Look::Good => self.least / 2,
            Look::Wrote | Look::Failed => grown,
        };
        let most = match look {
            Look::Failed => self.least,
            Look::Good | Look::Wrote => self.look,
        };
        (self.least, most)
    }
}
