//! Where volumes sit in a container.

use super::{Text, bounds, text};
use crate::core::mount_path;
use serde::Deserialize;
use serde::de::Deserializer;
use std::borrow::Cow;

/// A mount of a volume in a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount<'a> {
    /// The volume.
    #[serde(borrow, default, deserialize_with = "bounds::name")]
    pub name: Option<Text<'a>>,
    /// Where.
    #[serde(borrow)]
    pub mount_path: Option<MountPath<'a>>,
    /// Whether it is mounted read-only.
    pub read_only: Option<bool>,
    /// Whether submounts are read-only too.
    #[serde(borrow, default, deserialize_with = "bounds::name")]
    pub recursive_read_only: Option<Text<'a>>,
    /// A path in the volume.
    #[serde(borrow, default, deserialize_with = "bounds::path")]
    pub sub_path: Option<Text<'a>>,
    /// The same, with variables.
    #[serde(borrow, default, deserialize_with = "bounds::path")]
    pub sub_path_expr: Option<Text<'a>>,
    /// How mounts propagate.
    #[serde(borrow)]
    pub mount_propagation: Option<Text<'a>>,
}

/// A mount's path, as written and as the kubelet resolves it: rules compare the second one, and often.
#[derive(Clone, Debug, Default)]
pub struct MountPath<'a> {
    written: Text<'a>,
    /// Where cleaning made something else of it.
    clean: Option<Box<str>>,
}

impl MountPath<'_> {
    /// Returns the path that the mount lands at: absolute and clean.
    fn clean(&self) -> &str {
        self.clean.as_deref().unwrap_or(self.written.as_str())
    }
}

impl<'a> From<Text<'a>> for MountPath<'a> {
    fn from(written: Text<'a>) -> Self {
        let clean = match mount_path::clean(&written) {
            Cow::Borrowed(_) => None,
            Cow::Owned(clean) => Some(clean.into_boxed_str()),
        };
        Self { written, clean }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MountPath<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Text::deserialize(deserializer)?;
        bounds::check_path(&written)?;
        Ok(Self::from(written))
    }
}

impl<'a> VolumeMount<'a> {
    /// Returns the volume's name.
    #[must_use]
    pub fn volume(&self) -> &str {
        text(&self.name)
    }

    /// Returns the path that it lands at, clean.
    #[must_use]
    pub fn path(&self) -> &str {
        self.mount_path.as_ref().map_or("/", MountPath::clean)
    }

    /// Returns the path as written; empty where there is none.
    #[must_use]
    pub fn written_path(&self) -> Text<'a> {
        let path = self.mount_path.as_ref();
        path.map(|path| path.written.clone()).unwrap_or_default()
    }

    /// Whether the mount itself forbids writing.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only == Some(true)
    }

    /// Returns subPath and subPathExpr, empty where they are not set.
    #[must_use]
    pub fn sub_paths(&self) -> (&str, &str) {
        (text(&self.sub_path), text(&self.sub_path_expr))
    }
}
