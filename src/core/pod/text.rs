//! Text and maps of text that borrow from the request where they can.

use crate::core::shown::shown;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Borrow;
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Reads null as the default, as the API server does.
pub(super) fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A string that borrows from the request where it holds no escapes.
///
/// Its `Display` is what may be shown of it ([`crate::core::shown`]): what is somebody else's text gets into a sentence in no other way.
#[derive(Clone)]
pub struct Text<'a>(Held<'a>);

/// A clone shares what it owns: names and paths go into many changes and notes.
#[derive(Clone)]
enum Held<'a> {
    Borrowed(&'a str),
    Owned(Arc<str>),
}

impl Text<'_> {
    /// Returns the string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Held::Borrowed(text) => text,
            Held::Owned(text) => text,
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self(Held::Borrowed(""))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Text").field(&self.as_str()).finish()
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Held::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Held::Owned(text.into()))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.as_str()).fmt(f)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text::from(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text::from(text.to_owned()))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Labels and annotations of a job pod, about.
const USUAL: usize = 10;

/// So many members are searched one by one, which is faster than an index of them.
const FEW: usize = 32;

/// A map of strings (labels, annotations, a node selector), in the order of the text. A null value is an empty one.
#[derive(Clone, Default)]
pub struct Map<'a> {
    members: Vec<(Text<'a>, Text<'a>)>,
    /// Where the last member of each key is, once somebody asks and there are many.
    index: OnceCell<BTreeMap<Text<'a>, usize>>,
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.members).finish()
    }
}

impl<'a> Map<'a> {
    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let member = if self.members.len() <= FEW {
            self.members.iter().rev().find(|(name, _)| name == key)
        } else {
            let index = self.index.get_or_init(|| {
                let names = self.members.iter().map(|(name, _)| name.clone());
                names.zip(0..).collect()
            });
            index.get(key).and_then(|at| self.members.get(*at))
        };
        member.map(|(_, value)| value.as_str())
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: Text<'a>, value: Text<'a>) {
        if self.get(&key).is_some() {
            self.members.retain(|(name, _)| *name != key);
            self.index.take();
        } else if let Some(index) = self.index.get_mut() {
            index.insert(key.clone(), self.members.len());
        }
        self.members.push((key, value));
    }

    /// Reads a map of at most so many members.
    pub(super) fn read<'de: 'a, D: Deserializer<'de>>(
        deserializer: D,
        most: usize,
        too_many: impl Fn() -> D::Error,
    ) -> Result<Self, D::Error> {
        struct TextMapVisitor<'t, E>(usize, &'t dyn Fn() -> E);
        impl<'de, E: Error> Visitor<'de> for TextMapVisitor<'_, E> {
            type Value = Vec<(Text<'de>, Text<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(USUAL));
                while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    members.push((key, value.unwrap_or_default()));
                    if members.len() > self.0 {
                        return Err(A::Error::custom((self.1)()));
                    }
                }
                Ok(members)
            }
        }
        let members = deserializer.deserialize_map(TextMapVisitor(most, &too_many))?;
        Ok(Self {
            members,
            index: OnceCell::new(),
        })
    }
}
