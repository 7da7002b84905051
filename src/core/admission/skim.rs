//! Reading only what is asked for: a serde reader that jumps over what a type leaves out, 64 bytes at a time.
//!
//! More than half of a review is `managedFields`, which no rule reads, and reading it costs as much as reading the rest. This reader
//! stands in front of serde_json and knows less: at anything that is not plain (a broken text, an unexpected type, a number that is no
//! small integer) it gives up, and serde_json reads the text again and says what is wrong.
//!
//! # Invariant
//! What this reader returns, serde_json returns for the same text with every list and object that the type leaves out emptied.
//! `skim::tests` holds it, over mutated reviews.
//!
//! # What is not noticed
//! The whole text is UTF-8, and in a list or object that is left out strings end and as many brackets close as open. What stands between
//! is not looked at: `{"managedFields":[1 2 flase}{]}` is read as if it were JSON. serde_json would refuse it, for five times the instructions a byte.
//! Nor is it seen whether the escapes are good in the value of a variable that no rule asks for.
//! The API server, which alone sends reviews, writes each from objects in memory; and nothing of what is left out is used or sent on.

mod bytes;
mod variables;

use crate::core::pod::Env;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use std::borrow::Cow;
use std::fmt;
use variables::Variables;

/// Reads a JSON text; nothing where it is not plain.
pub(super) fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Option<T> {
    let text = simdutf8::basic::from_utf8(body).ok()?;
    Skim::new(text).read().ok()
}

/// The text and how far it is read.
struct Skim<'de> {
    text: &'de str,
    at: usize,
    /// The lists and objects that were left out.
    #[cfg(test)]
    left_out: Vec<std::ops::Range<usize>>,
}

/// Something that serde_json is to judge.
#[derive(Debug)]
struct Odd;

type Plain<T> = Result<T, Odd>;

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not plain")
    }
}

impl std::error::Error for Odd {}

impl serde::de::Error for Odd {
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
            left_out: Vec::new(),
        }
    }

    /// Reads the text, and nothing but white space behind.
    fn read<T: Deserialize<'de>>(&mut self) -> Plain<T> {
        let value = T::deserialize(&mut *self)?;
        match self.peek() {
            Ok(_) => Err(Odd),
            Err(Odd) => Ok(value),
        }
    }

    #[inline]
    fn byte(&self) -> Plain<u8> {
        self.text.as_bytes().get(self.at).copied().ok_or(Odd)
    }

    /// Returns the next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Plain<u8> {
        // The API server writes none.
        match self.byte()? {
            b' ' | b'\n' | b'\r' | b'\t' => self.peek_behind_space(),
            byte => Ok(byte),
        }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Plain<u8> {
        while matches!(self.byte()?, b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.byte()
    }

    /// Takes a byte that has to be there.
    #[inline]
    fn take(&mut self, byte: u8) -> Plain<()> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(Odd)
        }
    }

    /// Takes `true`, `false` or `null`.
    #[inline]
    fn word(&mut self, word: &'static str) -> Plain<()> {
        let rest = self.text.as_bytes().get(self.at..).ok_or(Odd)?;
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(Odd)
        }
    }

    /// Takes a string.
    #[inline]
    fn string(&mut self) -> Plain<Cow<'de, str>> {
        self.take(b'"')?;
        let start = self.at;
        self.at = bytes::plain_end(self.text.as_bytes(), start).ok_or(Odd)?;
        if self.byte()? != b'"' {
            return self.escaped_string(start).map(Cow::Owned);
        }
        let string = self.text.get(start..self.at).ok_or(Odd)?;
        self.at += 1;
        Ok(Cow::Borrowed(string))
    }

    /// Takes the rest of a string that began at `start`.
    #[cold]
    fn escaped_string(&mut self, start: usize) -> Plain<String> {
        while self.byte()? == b'\\' {
            self.at = bytes::plain_end(self.text.as_bytes(), self.at + 2).ok_or(Odd)?;
        }
        self.take(b'"')?;
        judged(self.text.get(start - 1..self.at).ok_or(Odd)?)
    }

    /// Takes a number as written.
    fn number(&mut self) -> Plain<&'de str> {
        let rest = self.text.get(self.at..).ok_or(Odd)?;
        let is_end = |byte: u8| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(is_end).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).ok_or(Odd)
    }

    /// Jumps over a list or object that ends before `end`.
    #[inline]
    fn leave_out(&mut self, end: usize) {
        #[cfg(test)]
        self.left_out.push(self.at..end);
        self.at = end;
    }

    /// Jumps over a value.
    fn skip(&mut self) -> Plain<()> {
        match self.peek()? {
            b'{' | b'[' => {
                let end = bytes::container_end(self.text.as_bytes(), self.at).ok_or(Odd)?;
                self.leave_out(end);
                Ok(())
            }
            b'"' => self.string().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => judged::<IgnoredAny>(self.number()?).map(|_| ()),
        }
    }
}

/// Lets serde_json read what is rare.
#[cold]
fn judged<'de, T: Deserialize<'de>>(text: &'de str) -> Plain<T> {
    serde_json::from_str(text).map_err(|_| Odd)
}

impl<'de> Deserializer<'de> for &mut Skim<'de> {
    type Error = Odd;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        match self.peek()? {
            b'{' => self.deserialize_map(visitor),
            b'[' => self.deserialize_seq(visitor),
            b'"' => self.deserialize_str(visitor),
            b't' | b'f' => self.deserialize_bool(visitor),
            b'n' => {
                self.word("null")?;
                visitor.visit_unit()
            }
            _ => self.deserialize_i64(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        if self.peek()? == b'n' {
            self.word("null")?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        match self.string()? {
            Cow::Borrowed(string) => visitor.visit_borrowed_str(string),
            Cow::Owned(string) => visitor.visit_string(string),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        let is_true = self.peek()? == b't';
        self.word(if is_true { "true" } else { "false" })?;
        visitor.visit_bool(is_true)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        self.peek()?;
        match judged::<serde_json::Number>(self.number()?)?.as_u64() {
            Some(number) => visitor.visit_u64(number),
            None => Err(Odd),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        self.take(b'[')?;
        let mut members = Members::new(self);
        let value = visitor.visit_seq(&mut members)?;
        members.are_read(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        self.take(b'{')?;
        let mut members = Members::new(self);
        let value = visitor.visit_map(&mut members)?;
        members.are_read(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Plain<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Plain<V::Value> {
        if name != Env::TYPE {
            return visitor.visit_newtype_struct(self);
        }
        self.take(b'[')?;
        let mut variables = Variables::new(Members::new(self));
        let value = visitor.visit_seq(&mut variables)?;
        variables.members.are_read(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Plain<V::Value> {
        self.deserialize_str(visitor)
    }

    // No type of a review asks for these.
    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum
    }
}

/// The members of a list or object.
struct Members<'s, 'de> {
    skim: &'s mut Skim<'de>,
    position: Position,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Position {
    First,
    Behind,
    End,
}

impl<'s, 'de> Members<'s, 'de> {
    fn new(skim: &'s mut Skim<'de>) -> Self {
        Self {
            skim,
            position: Position::First,
        }
    }

    /// Goes to the next member, if there is one.
    #[inline]
    fn advance(&mut self, end: u8) -> Plain<bool> {
        let byte = self.skim.peek()?;
        if byte == end {
            self.skim.at += 1;
            self.position = Position::End;
            return Ok(false);
        }
        if self.position == Position::Behind {
            self.skim.take(b',')?;
        }
        self.position = Position::Behind;
        Ok(true)
    }

    /// A visitor that stops early leaves the rest unread.
    fn are_read<T>(&self, value: T) -> Plain<T> {
        if self.position == Position::End {
            Ok(value)
        } else {
            Err(Odd)
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Members<'_, 'de> {
    type Error = Odd;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Plain<Option<T::Value>> {
        if self.advance(b']')? {
            seed.deserialize(&mut *self.skim).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A guess: containers have half a dozen mounts, and lists that grow are copied.
    fn size_hint(&self) -> Option<usize> {
        Some(6)
    }
}

impl<'de> MapAccess<'de> for &mut Members<'_, 'de> {
    type Error = Odd;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Plain<Option<K::Value>> {
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
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Plain<V::Value> {
        seed.deserialize(&mut *self.skim)
    }
}

#[cfg(test)]
mod tests;
