//! A serde deserializer that skips the values that a type does not read, 64 bytes at a time.
//!
//! More than half of a review is `managedFields`, which no rule reads. This deserializer returns
//! [`Fallback`] for an error, an unexpected type, or a number that is not a `u64`. Then serde_json
//! reads the text, and describes the error if there is one.
//!
//! # Invariant
//! If every skipped list and object of an accepted text is replaced with an empty one, serde_json
//! reads the same value from the text. `skim::tests` checks this with mutated reviews.
//!
//! # What it does not check
//! The whole text is checked to be UTF-8. In a skipped list or object, only the ends of strings and
//! the number of brackets are checked: `{"managedFields":[1 2 flase}{]}` is accepted. serde_json
//! would reject it, with five times the instructions per byte. Escapes in the value of a skipped
//! variable are not checked. This is safe, because the API server serialises reviews from objects,
//! and drydock neither uses nor returns a skipped value.

mod bytes;
mod variables;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use std::borrow::Cow;
use std::fmt;
use variables::Variables;

/// Reads a JSON text. Returns `None` if serde_json must read it.
pub(super) fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Option<T> {
    let text = simdutf8::basic::from_utf8(body).ok()?;
    Skim::new(text).read().ok()
}

/// A deserializer: the text, and the position of the next byte to read.
struct Skim<'de> {
    text: &'de str,
    at: usize,
    /// The skipped lists and objects.
    #[cfg(test)]
    skipped: Vec<std::ops::Range<usize>>,
}

/// The error of this deserializer: serde_json must read the text.
#[derive(Debug)]
struct Fallback;

type Skimmed<T> = Result<T, Fallback>;

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("serde_json must read the text")
    }
}

impl std::error::Error for Fallback {}

impl serde::de::Error for Fallback {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Skim<'de> {
    fn new(text: &'de str) -> Self {
        Self {
            text,
            at: 0,
            #[cfg(test)]
            skipped: Vec::new(),
        }
    }

    /// Reads the whole text.
    fn read<T: Deserialize<'de>>(&mut self) -> Skimmed<T> {
        let value = T::deserialize(&mut *self)?;
        match self.peek() {
            Ok(_) => Err(Fallback),
            Err(Fallback) => Ok(value),
        }
    }

    #[inline]
    fn byte(&self) -> Skimmed<u8> {
        self.text.as_bytes().get(self.at).copied().ok_or(Fallback)
    }

    /// Returns the next byte that is not white space.
    #[inline]
    fn peek(&mut self) -> Skimmed<u8> {
        // The API server writes no white space.
        match self.byte()? {
            b' ' | b'\n' | b'\r' | b'\t' => self.peek_behind_space(),
            byte => Ok(byte),
        }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Skimmed<u8> {
        while matches!(self.byte()?, b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.byte()
    }

    /// Reads an expected byte.
    #[inline]
    fn take(&mut self, byte: u8) -> Skimmed<()> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(Fallback)
        }
    }

    /// Reads the literal `true`, `false` or `null`.
    #[inline]
    fn literal(&mut self, literal: &'static str) -> Skimmed<()> {
        let rest = self.text.as_bytes().get(self.at..).ok_or(Fallback)?;
        if rest.starts_with(literal.as_bytes()) {
            self.at += literal.len();
            Ok(())
        } else {
            Err(Fallback)
        }
    }

    /// Reads a string.
    #[inline]
    fn string(&mut self) -> Skimmed<Cow<'de, str>> {
        self.take(b'"')?;
        let start = self.at;
        self.at = bytes::find_special(self.text.as_bytes(), start).ok_or(Fallback)?;
        if self.byte()? != b'"' {
            return self.escaped_string(start).map(Cow::Owned);
        }
        let string = self.text.get(start..self.at).ok_or(Fallback)?;
        self.at += 1;
        Ok(Cow::Borrowed(string))
    }

    /// Reads the rest of a string with escapes. `start` is the position after the opening quote.
    #[cold]
    fn escaped_string(&mut self, start: usize) -> Skimmed<String> {
        while self.byte()? == b'\\' {
            self.at = bytes::find_special(self.text.as_bytes(), self.at + 2).ok_or(Fallback)?;
        }
        self.take(b'"')?;
        with_serde_json(self.text.get(start - 1..self.at).ok_or(Fallback)?)
    }

    /// Returns the text of a number.
    fn number(&mut self) -> Skimmed<&'de str> {
        let rest = self.text.get(self.at..).ok_or(Fallback)?;
        let is_end = |byte: u8| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(is_end).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).ok_or(Fallback)
    }

    /// Skips to `end`, the end of a list or object.
    #[inline]
    fn skip_to(&mut self, end: usize) {
        #[cfg(test)]
        self.skipped.push(self.at..end);
        self.at = end;
    }

    /// Skips a value.
    fn skip(&mut self) -> Skimmed<()> {
        match self.peek()? {
            b'{' | b'[' => {
                let end = bytes::container_end(self.text.as_bytes(), self.at).ok_or(Fallback)?;
                self.skip_to(end);
                Ok(())
            }
            b'"' => self.string().map(|_| ()),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => with_serde_json::<IgnoredAny>(self.number()?).map(|_| ()),
        }
    }
}

/// Reads a value of a rare kind with serde_json.
#[cold]
fn with_serde_json<'de, T: Deserialize<'de>>(text: &'de str) -> Skimmed<T> {
    serde_json::from_str(text).map_err(|_| Fallback)
}

impl<'de> Deserializer<'de> for &mut Skim<'de> {
    type Error = Fallback;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Skimmed<V::Value> {
        match self.peek()? {
            b'{' => self.deserialize_map(visitor),
            b'[' => self.deserialize_seq(visitor),
            b'"' => self.deserialize_str(visitor),
            b't' => self.literal("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self
                .literal("false")
                .and_then(|()| visitor.visit_bool(false)),
            b'n' => self.literal("null").and_then(|()| visitor.visit_unit()),
            _ => match with_serde_json::<serde_json::Number>(self.number()?)?.as_u64() {
                Some(number) => visitor.visit_u64(number),
                None => Err(Fallback),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Skimmed<V::Value> {
        if self.peek()? == b'n' {
            self.literal("null")?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Skimmed<V::Value> {
        match self.string()? {
            Cow::Borrowed(string) => visitor.visit_borrowed_str(string),
            Cow::Owned(string) => visitor.visit_string(string),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Skimmed<V::Value> {
        self.take(b'[')?;
        let value = visitor.visit_seq(Members::new(self))?;
        self.take(b']').map(|()| value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Skimmed<V::Value> {
        self.take(b'{')?;
        let value = visitor.visit_map(Members::new(self))?;
        self.take(b'}').map(|()| value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Skimmed<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Skimmed<V::Value> {
        if name != variables::TYPE {
            return visitor.visit_newtype_struct(self);
        }
        self.take(b'[')?;
        let value = visitor.visit_seq(Variables::new(Members::new(self)))?;
        self.take(b']').map(|()| value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Skimmed<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    // `deserialize_any` is sufficient for the types of a review.
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char string bytes byte_buf unit
        unit_struct tuple tuple_struct enum identifier
    }
}

/// The members of a list or object.
struct Members<'s, 'de> {
    skim: &'s mut Skim<'de>,
    is_first: bool,
}

impl<'s, 'de> Members<'s, 'de> {
    fn new(skim: &'s mut Skim<'de>) -> Self {
        let is_first = true;
        Self { skim, is_first }
    }

    /// Moves to the next member. Returns whether there is one before the closing bracket `end`.
    #[inline]
    fn advance(&mut self, end: u8) -> Skimmed<bool> {
        if self.skim.peek()? == end {
            return Ok(false);
        }
        if !self.is_first {
            self.skim.take(b',')?;
        }
        self.is_first = false;
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Members<'_, 'de> {
    type Error = Fallback;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Skimmed<Option<T::Value>> {
        if self.advance(b']')? {
            seed.deserialize(&mut *self.skim).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Prevents the reallocation of a growing list: a container has about six mounts.
    fn size_hint(&self) -> Option<usize> {
        Some(6)
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Fallback;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Skimmed<Option<K::Value>> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        let key = match self.skim.string()? {
            Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
            Cow::Owned(key) => seed.deserialize(key.into_deserializer()),
        };
        self.skim.take(b':')?;
        key.map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Skimmed<V::Value> {
        seed.deserialize(&mut *self.skim)
    }
}

#[cfg(test)]
mod tests;
