//! An object of two texts, `{"name":"CI","value":"true"}`: nearly every variable of a job is one, and they are a third of a review.

use super::{Odd, Plain, Skim, bytes};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

impl<'de> Skim<'de> {
    /// Takes an object of two texts that are a type's first two fields, in their order and without white space: most variables of a job.
    #[inline]
    pub(super) fn pair(&mut self, fields: &[&str]) -> Option<Pair<'de>> {
        let [first, second, ..] = fields else {
            return None;
        };
        let (first, at) = self.member(self.at, b'{', first)?;
        let (second, at) = self.member(at, b',', second)?;
        (self.text.as_bytes().get(at) == Some(&b'}')).then(|| {
            self.at = at + 1;
            Pair([Some(first), Some(second)].into_iter())
        })
    }

    /// Returns the text that a member has which begins here, and the position behind it.
    #[inline]
    fn member(&self, at: usize, before: u8, key: &str) -> Option<(&'de str, usize)> {
        let bytes = self.text.as_bytes();
        let rest = bytes.get(at..)?.strip_prefix(&[before, b'"'])?;
        rest.strip_prefix(key.as_bytes())?.strip_prefix(b"\":\"")?;
        let start = at + key.len() + 5;
        let end = bytes::plain_end(bytes, start)?;
        (bytes.get(end) == Some(&b'"')).then_some((self.text.get(start..end)?, end + 1))
    }
}

/// The values of the fields of a type, in their order: two texts, and null for the others. serde's derived visitors take them as they
/// take an object without the others.
pub(super) struct Pair<'de>(std::array::IntoIter<Option<&'de str>, 2>);

impl<'de> SeqAccess<'de> for Pair<'de> {
    type Error = Odd;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Plain<Option<T::Value>> {
        seed.deserialize(Value(self.0.next().flatten())).map(Some)
    }
}

/// A text or null.
struct Value<'de>(Option<&'de str>);

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Odd;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        match self.0 {
            Some(text) => visitor.visit_borrowed_str(text),
            None => visitor.visit_unit(),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        match self.0 {
            Some(_) => visitor.visit_some(self),
            None => visitor.visit_none(),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
