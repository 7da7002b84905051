//! Jumping over the environment variables that no rule asks for: a job has a hundred of them in each container, two fifths of a review.

use super::{Members, Plain, bytes};
use crate::core::pod::{Env, VariableCount};
use serde::de::{DeserializeSeed, SeqAccess};

/// The members of a list of variables, without those that are plainly others.
pub(super) struct Variables<'s, 'de> {
    pub(super) members: Members<'s, 'de>,
    count: VariableCount,
}

impl<'s, 'de> Variables<'s, 'de> {
    pub(super) fn new(members: Members<'s, 'de>) -> Self {
        Self {
            members,
            count: VariableCount::default(),
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Variables<'_, 'de> {
    type Error = super::Odd;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Plain<Option<T::Value>> {
        while self.members.advance(b']')? {
            // The reader of the list sees only those that are not left out.
            self.count.add()?;
            match other_end(self.members.skim.text.as_bytes(), self.members.skim.at) {
                Some(end) => self.members.skim.leave_out(end),
                None => return seed.deserialize(&mut *self.members.skim).map(Some),
            }
        }
        Ok(None)
    }
}

/// Returns the position behind the variable that begins at `start`, where it is plainly one that no rule asks for:
/// `{"name":"CI","value":"true"}`, without white space and without an escape in the name.
#[inline]
fn other_end(bytes: &[u8], start: usize) -> Option<usize> {
    const NAME: &[u8] = br#"{"name":""#;
    const VALUE: &[u8] = br#"","value":""#;
    let rest = bytes.get(start..)?.strip_prefix(NAME)?;
    if Env::NAMES
        .iter()
        .any(|name| rest.starts_with(name.as_bytes()))
    {
        return None;
    }
    let name_end = bytes::plain_end(bytes, start + NAME.len())?;
    bytes.get(name_end..)?.strip_prefix(VALUE)?;
    let mut at = bytes::plain_end(bytes, name_end + VALUE.len())?;
    while bytes.get(at) == Some(&b'\\') {
        at = bytes::plain_end(bytes, at + 2)?;
    }
    bytes.get(at..)?.starts_with(br#""}"#).then_some(at + 2)
}
