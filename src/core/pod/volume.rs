//! A volume with the fields of its source that rules read.

use super::{Text, bounds, text};
use crate::core::mount_path;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The volume sources of Kubernetes 1.36. The sources that job pods use are first. See
/// <https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/>.
const SOURCES: [&str; 30] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "hostPath",
    "nfs",
    "persistentVolumeClaim",
    "projected",
    "secret",
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

/// A volume: its name and the fields of its source that rules read.
#[derive(Clone, Debug, Default)]
pub struct Volume<'a> {
    /// The name.
    pub name: Text<'a>,
    /// The field that contains the source, for example `secret`; `emptyDir` if there is none.
    pub kind: Text<'a>,
    /// The number of sources. The API server rejects more than one, and treats none as emptyDir.
    pub source_count: usize,
    /// The first source.
    pub source: SourceDetails<'a>,
}

/// The fields that rules read, from all kinds of sources.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub struct SourceDetails<'a> {
    /// Set in an emptyDir.
    medium: Option<Text<'a>>,
    /// Set in a hostPath or NFS volume.
    path: Option<Text<'a>>,
    /// Set in an NFS volume.
    server: Option<Text<'a>>,
    /// Set in a persistentVolumeClaim.
    claim_name: Option<Text<'a>>,
    /// Set in a ConfigMap volume.
    name: Option<Text<'a>>,
    /// Set in most sources that can be read-only.
    read_only: Option<bool>,
    /// Set in a Secret, ConfigMap or downward API volume.
    #[serde(default, deserialize_with = "bounds::items")]
    items: Option<Vec<Item<'a>>>,
    /// Set in a projected volume.
    #[serde(
        default,
        rename = "sources",
        deserialize_with = "bounds::projected_sources"
    )]
    projected_sources: Option<Vec<ProjectedSource<'a>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Item<'a> {
    path: Option<Text<'a>>,
}

impl bounds::Element for Item<'_> {}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub(super) struct ProjectedSource<'a> {
    secret: Option<SourceItems<'a>>,
    config_map: Option<SourceItems<'a>>,
    downward_api: Option<SourceItems<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct SourceItems<'a> {
    #[serde(default, deserialize_with = "bounds::items")]
    items: Option<Vec<Item<'a>>>,
}

impl<'a> ProjectedSource<'a> {
    fn item_lists(&self) -> impl Iterator<Item = &Vec<Item<'a>>> {
        let sources = [&self.secret, &self.config_map, &self.downward_api];
        let sources = sources.into_iter().flatten();
        sources.filter_map(|source| source.items.as_ref())
    }

    pub(super) fn item_count(&self) -> usize {
        self.item_lists().map(Vec::len).sum()
    }
}

impl<'a> Volume<'a> {
    /// Creates a volume. `kind` is the field of its source, and `source` is the value of the field.
    pub fn new(name: Text<'a>, kind: &'a str, source: &'a Value) -> Self {
        Self {
            name,
            kind: Text::from(kind),
            source_count: 1,
            source: SourceDetails::deserialize(source).unwrap_or_default(),
        }
    }

    /// Returns whether the volume is an emptyDir, in memory or on disk.
    pub fn is_empty_dir(&self) -> bool {
        &*self.kind == "emptyDir" && self.source_count <= 1
    }

    /// Returns whether the volume is a memory-backed emptyDir.
    pub fn is_memory(&self) -> bool {
        self.is_empty_dir() && text(&self.source.medium) == "Memory"
    }

    /// Returns whether the source is read-only even if the mount is not. An unknown source counts
    /// as writable.
    pub fn is_read_only(&self) -> bool {
        matches!(
            &*self.kind,
            "secret" | "configMap" | "projected" | "downwardAPI" | "image"
        ) || self.source.read_only == Some(true)
    }

    /// Returns whether the kubelet writes the files of the volume. In such a volume the kubelet can
    /// also create mount points, although no container can write to it.
    pub fn is_filled_by_kubelet(&self) -> bool {
        matches!(
            &*self.kind,
            "secret" | "configMap" | "projected" | "downwardAPI"
        )
    }

    /// Returns the path on the node; `None` if the volume is not a hostPath.
    pub fn host_path(&self) -> Option<&str> {
        (&*self.kind == "hostPath").then(|| text(&self.source.path))
    }

    /// Returns the name of the ConfigMap; `None` if the volume is not a ConfigMap volume.
    pub fn config_map(&self) -> Option<&str> {
        (&*self.kind == "configMap").then(|| text(&self.source.name))
    }

    /// Returns the name of the claim, the path on the node, or the NFS export; `None` for other
    /// kinds. Volumes of one kind with equal identities share their files.
    pub fn identity(&self) -> Option<Cow<'_, str>> {
        let (source, path) = (&self.source, text(&self.source.path));
        match &*self.kind {
            "persistentVolumeClaim" => source.claim_name.as_deref().map(Cow::Borrowed),
            "hostPath" => Some(mount_path::clean(path)),
            "nfs" => Some(Cow::Owned(format!("{}:{path}", text(&source.server)))),
            _ => None,
        }
    }

    /// Returns the number of items and projected sources, including the items of these sources.
    pub(super) fn item_count(&self) -> usize {
        let own = self.source.items.as_ref().map_or(0, Vec::len);
        let projected = self.source.projected_sources.iter().flatten();
        own + projected.map(|it| 1 + it.item_count()).sum::<usize>()
    }

    /// Returns the paths of all items, including the items of projected sources.
    pub fn item_paths(&self) -> impl Iterator<Item = &str> {
        let projected = self.source.projected_sources.iter().flatten();
        let projected = projected.flat_map(ProjectedSource::item_lists);
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
                let mut unknown = 0;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    bounds::check_name(&key)?;
                    if &*key == "name" {
                        volume.name = map.next_value::<Option<Text<'de>>>()?.unwrap_or_default();
                        bounds::check_name(&volume.name)?;
                    } else if SOURCES.contains(&&*key) {
                        let Some(source) = map.next_value::<Option<SourceDetails<'de>>>()? else {
                            continue;
                        };
                        volume.source_count += 1;
                        if volume.source_count == 1 {
                            (volume.kind, volume.source) = (key, source);
                        }
                    } else if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                        // An unknown field is the source if the volume has no known source.
                        unknown += 1;
                        if volume.source_count == 0 && unknown == 1 {
                            volume.kind = key;
                        }
                    }
                }
                if volume.source_count == 0 {
                    volume.source_count = unknown;
                }
                Ok(volume)
            }
        }
        deserializer.deserialize_map(VolumeVisitor(PhantomData))
    }
}
