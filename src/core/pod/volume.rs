//! A volume, whatever its source: what rules must know of it, and nothing else.

use super::{Text, bounds};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The sources of which rules read more than `readOnly`.
const READ_SOURCES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "hostPath",
    "nfs",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The other sources of Kubernetes 1.36.
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/>.
const OTHER_SOURCES: [&str; 21] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "image",
    "iscsi",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// A volume: its name and what rules must know of its source.
#[derive(Clone, Debug, Default)]
pub struct Volume<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// The source's field, `secret` for one; `emptyDir` where there is none, which is its default.
    pub kind: Text<'a>,
    /// How many sources it has: none means the default, and the API server refuses more than one.
    pub sources: usize,
    /// What is known of the source.
    pub source: SourceDetails<'a>,
}

/// The fields of a volume's source that rules look at, whatever its kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceDetails<'a> {
    /// Of an emptyDir.
    #[serde(borrow)]
    medium: Option<Text<'a>>,
    /// Of a hostPath or an NFS export.
    #[serde(borrow)]
    path: Option<Text<'a>>,
    /// Of an NFS export.
    #[serde(borrow)]
    server: Option<Text<'a>>,
    /// Of a persistentVolumeClaim.
    #[serde(borrow)]
    claim_name: Option<Text<'a>>,
    /// Of a ConfigMap.
    #[serde(borrow)]
    name: Option<Text<'a>>,
    /// Of most sources that can be mounted read-only.
    read_only: Option<bool>,
    /// Of a Secret, a ConfigMap or the downward API.
    #[serde(borrow, default, deserialize_with = "bounds::items")]
    items: Option<Vec<Item<'a>>>,
    /// Of a projected volume.
    #[serde(borrow, default, deserialize_with = "bounds::projections")]
    sources: Option<Vec<Projection<'a>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    path: Option<Text<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Projection<'a> {
    #[serde(borrow)]
    secret: Option<Projected<'a>>,
    #[serde(borrow)]
    config_map: Option<Projected<'a>>,
    #[serde(borrow)]
    downward_api: Option<Projected<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Projected<'a> {
    #[serde(borrow, default, deserialize_with = "bounds::items")]
    items: Option<Vec<Item<'a>>>,
}

impl<'a> Projection<'a> {
    fn items(&self) -> impl Iterator<Item = &Vec<Item<'a>>> {
        let sources = [&self.secret, &self.config_map, &self.downward_api];
        let sources = sources.into_iter().flatten();
        sources.filter_map(|source| source.items.as_ref())
    }

    /// Returns how many items it has.
    pub(super) fn items_read(&self) -> usize {
        self.items().map(Vec::len).sum()
    }
}

impl<'a> Volume<'a> {
    /// A memory-backed emptyDir.
    #[must_use]
    pub fn memory(name: Text<'a>) -> Self {
        let source = SourceDetails {
            medium: Some(Text::from("Memory")),
            ..SourceDetails::default()
        };
        Self {
            name,
            kind: Text::from("emptyDir"),
            sources: 1,
            source,
        }
    }

    /// A volume whose source is written in JSON. Of a kind whose fields no rule reads, nothing but the kind is known.
    #[must_use]
    pub fn of_source(name: Text<'a>, kind: &'a str, json: &'a str) -> Self {
        Self {
            name,
            kind: Text::from(kind),
            sources: 1,
            source: serde_json::from_str(json).unwrap_or_default(),
        }
    }

    /// A volume of a ConfigMap.
    #[must_use]
    pub fn of_config_map(name: Text<'a>, config_map: &'a str) -> Self {
        let source = SourceDetails {
            name: Some(Text::from(config_map)),
            ..SourceDetails::default()
        };
        Self {
            name,
            kind: Text::from("configMap"),
            sources: 1,
            source,
        }
    }

    /// Returns the field that has to go when the volume becomes an emptyDir, where it has one.
    #[must_use]
    pub fn foreign_source(&self) -> Option<Text<'a>> {
        (self.sources > 0 && &*self.kind != "emptyDir").then(|| self.kind.clone())
    }

    /// Whether it is an emptyDir, whatever its medium.
    #[must_use]
    pub fn is_empty_dir(&self) -> bool {
        &*self.kind == "emptyDir" && self.sources <= 1
    }

    /// Whether it is an emptyDir in memory.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        self.is_empty_dir() && super::text(&self.source.medium) == "Memory"
    }

    /// Whether nothing can be written to it, whatever the mount says. A source that is not known counts as writable.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(
            &*self.kind,
            "secret" | "configMap" | "projected" | "downwardAPI" | "image"
        ) || self.source.read_only == Some(true)
    }

    /// Whether the kubelet itself fills it, and so makes mount points inside it although no
    /// container can write there.
    #[must_use]
    pub fn is_filled_by_kubelet(&self) -> bool {
        matches!(
            &*self.kind,
            "secret" | "configMap" | "projected" | "downwardAPI"
        )
    }

    /// Returns the directory of the node, where it is one.
    #[must_use]
    pub fn host_path(&self) -> Option<&str> {
        (&*self.kind == "hostPath").then(|| super::text(&self.source.path))
    }

    /// Returns the ConfigMap's name, where it is one.
    #[must_use]
    pub fn config_map(&self) -> Option<&str> {
        (&*self.kind == "configMap").then(|| super::text(&self.source.name))
    }

    /// Returns what makes two volumes one directory: the claim, the node's path or the export.
    #[must_use]
    pub fn identity(&self) -> Option<Cow<'_, str>> {
        match &*self.kind {
            "persistentVolumeClaim" => self
                .source
                .claim_name
                .as_ref()
                .map(|name| Cow::Borrowed(name.as_str())),
            "hostPath" => Some(crate::core::mount_path::clean(super::text(
                &self.source.path,
            ))),
            "nfs" => Some(Cow::Owned(format!(
                "{}:{}",
                super::text(&self.source.server),
                super::text(&self.source.path)
            ))),
            _ => None,
        }
    }

    /// Returns how many items and projected sources it has.
    pub(super) fn items_read(&self) -> usize {
        let own = self.source.items.as_ref().map_or(0, Vec::len);
        let projections = self.source.sources.iter().flatten();
        own + projections.map(|it| 1 + it.items_read()).sum::<usize>()
    }

    /// Returns the paths of the items that it projects into its directory.
    pub fn item_paths(&self) -> impl Iterator<Item = &str> {
        let projections = self.source.sources.iter().flatten();
        let projected = projections.flat_map(Projection::items);
        self.source
            .items
            .iter()
            .chain(projected)
            .flatten()
            .filter_map(|item| item.path.as_ref())
            .map(Text::as_str)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Volume<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VolumeVisitor<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for VolumeVisitor<'a> {
            type Value = Volume<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut volume = Volume {
                    kind: Text::from("emptyDir"),
                    ..Volume::default()
                };
                let mut others = 0;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    bounds::check_name(&key)?;
                    if &*key == "name" {
                        volume.name = map.next_value::<Option<Text<'de>>>()?.unwrap_or_default();
                        bounds::check_name(&volume.name)?;
                        continue;
                    }
                    let source = if READ_SOURCES.contains(&&*key) {
                        map.next_value::<Option<SourceDetails<'de>>>()?
                    } else {
                        map.next_value::<OtherField>()?.source()
                    };
                    let is_known = READ_SOURCES.contains(&&*key) || OTHER_SOURCES.contains(&&*key);
                    // Beside a source that Kubernetes knows today, a field of tomorrow is not taken for a second one.
                    match source {
                        Some(source) if is_known => {
                            volume.sources += 1;
                            if volume.sources == 1 {
                                (volume.kind, volume.source) = (key, source);
                            }
                        }
                        Some(source) => {
                            others += 1;
                            if volume.sources == 0 && others == 1 {
                                (volume.kind, volume.source) = (key, source);
                            }
                        }
                        None => {}
                    }
                }
                if volume.sources == 0 {
                    volume.sources = others;
                }
                Ok(volume)
            }
        }
        deserializer.deserialize_map(VolumeVisitor(PhantomData))
    }
}

/// The value of a field of a volume that drydock does not know: an object is a source of another kind, anything else is none.
enum OtherField {
    Source { read_only: Option<bool> },
    NotASource,
}

impl OtherField {
    fn source<'a>(self) -> Option<SourceDetails<'a>> {
        match self {
            Self::Source { read_only } => Some(SourceDetails {
                read_only,
                ..SourceDetails::default()
            }),
            Self::NotASource => None,
        }
    }
}

impl<'de> Deserialize<'de> for OtherField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OtherVisitor;
        impl<'de> Visitor<'de> for OtherVisitor {
            type Value = OtherField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field of a volume")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut read_only = None;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if &*key == "readOnly" {
                        read_only = map.next_value::<Option<bool>>()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(OtherField::Source { read_only })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(OtherField::NotASource)
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(OtherField::NotASource)
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(OtherField::NotASource)
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(OtherField::NotASource)
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
                Ok(OtherField::NotASource)
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(OtherField::NotASource)
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(OtherField::NotASource)
            }
        }
        deserializer.deserialize_any(OtherVisitor)
    }
}
