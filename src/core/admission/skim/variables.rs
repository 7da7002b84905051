//! Skips environment variables that no rule reads. A container of a job pod has about a hundred
//! variables, which are two fifths of a review.

use super::{Fallback, Members, Skimmed, bytes};
use crate::core::pod::{Env, check_variables};
use serde::de::{DeserializeSeed, SeqAccess};

/// The name of [`Env`] in the data model of serde.
pub(super) const TYPE: &str = "Env";

/// The variables of a list whose names may be in [`Env::NAMES`]. Other variables are skipped.
pub(super) struct Variables<'s, 'de> {
    members: Members<'s, 'de>,
    count: usize,
}

impl<'s, 'de> Variables<'s, 'de> {
    pub(super) fn new(members: Members<'s, 'de>) -> Self {
        Self { members, count: 0 }
    }
}

impl<'de> SeqAccess<'de> for Variables<'_, 'de> {
    type Error = Fallback;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Skimmed<Option<T::Value>> {
        while self.members.advance(b']')? {
            // Skipped variables count too, but `Env` does not receive them.
            self.count += 1;
            check_variables(self.count)?;
            let skim = &mut *self.members.skim;
            match unread_end(skim.text.as_bytes(), skim.at) {
                Some(end) => skim.skip_to(end),
                None => return seed.deserialize(skim).map(Some),
            }
        }
        Ok(None)
    }
}

/// Returns the end of the variable at `start` if no rule reads it and it has the usual form:
/// `{"name":"CI","value":"true"}`, without white space and without an escape in the name.
#[inline]
fn unread_end(bytes: &[u8], start: usize) -> Option<usize> {
    const NAME: &[u8] = br#"{"name":""#;
    const VALUE: &[u8] = br#"","value":""#;
    let rest = bytes.get(start..)?.strip_prefix(NAME)?;
    if Env::NAMES
        .iter()
        .any(|name| rest.starts_with(name.as_bytes()))
    {
        return None;
    }
    let name_end = bytes::find_special(bytes, start + NAME.len())?;
    bytes.get(name_end..)?.strip_prefix(VALUE)?;
    let mut at = bytes::find_special(bytes, name_end + VALUE.len())?;
    while bytes.get(at) == Some(&b'\\') {
        at = bytes::find_special(bytes, at + 2)?;
    }
    bytes.get(at..)?.starts_with(br#""}"#).then_some(at + 2)
}
