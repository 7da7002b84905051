//! Mounts of volumes in a container.

use super::{Text, bounds};
use crate::core::mount_path;
use serde::Deserialize;
use serde::de::Deserializer;
use std::borrow::Cow;

/// A mount of a volume in a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub struct VolumeMount<'a> {
    /// The name of the volume.
    #[serde(default, deserialize_with = "bounds::name")]
    pub name: Text<'a>,
    /// The path in the container.
    pub mount_path: Option<MountPath<'a>>,
    /// Whether the mount is read-only.
    pub read_only: Option<bool>,
    /// Whether a read-only mount is recursively read-only: `Disabled`, `IfPossible` or `Enabled`.
    #[serde(default, deserialize_with = "bounds::name")]
    pub recursive_read_only: Text<'a>,
    /// The path in the volume that is mounted; empty for the whole volume.
    #[serde(default, deserialize_with = "bounds::path")]
    pub sub_path: Text<'a>,
    /// Like `sub_path`, with references to environment variables.
    #[serde(default, deserialize_with = "bounds::path")]
    pub sub_path_expr: Text<'a>,
    /// How mounts are propagated between the node and the container.
    pub mount_propagation: Option<Text<'a>>,
}

/// The path of a mount, as written and as a clean path. Rules compare clean paths.
#[derive(Clone, Debug, Default)]
pub struct MountPath<'a> {
    written: Text<'a>,
    /// The clean path, if it differs from the written path.
    clean: Option<Box<str>>,
}

impl MountPath<'_> {
    /// Returns the absolute, clean path.
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
    /// Returns the absolute, clean path.
    pub fn path(&self) -> &str {
        self.mount_path.as_ref().map_or("/", MountPath::clean)
    }

    /// Returns the path as written; empty if there is none.
    pub fn written_path(&self) -> Text<'a> {
        let path = self.mount_path.as_ref();
        path.map(|path| path.written.clone()).unwrap_or_default()
    }

    /// Returns whether the mount is read-only.
    pub fn is_read_only(&self) -> bool {
        self.read_only == Some(true)
    }

    /// Returns `subPath` and `subPathExpr`. A field that is not set is an empty string.
    pub fn sub_paths(&self) -> (&str, &str) {
        (&self.sub_path, &self.sub_path_expr)
    }
}
