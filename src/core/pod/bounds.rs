//! How much of a pod is read (rule F6), in one table.
//!
//! The API server calls before it validates, and three bytes of a list (`{},`) become a hundred bytes of a structure. So each list is
//! counted while it is read, and reading ends at the first element too many. The bounds are far above every real job pod (some ten
//! containers with ten mounts each), and a pod at all of them takes a few megabytes and some milliseconds.
//!
//! `docs/limits.md` has the same table for people; a test compares the two.

use super::volume::Projection;
use super::{Container, HostAlias, Pod, Text, Volume};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Something of which a pod may have only so many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dimension {
    /// `spec.containers` and `spec.initContainers` together.
    Containers,
    /// Mounts of all containers.
    Mounts,
    /// Block devices of all containers.
    Devices,
    /// Words of `command` and `args` of all containers.
    Words,
    /// Environment variables of one container.
    Variables,
    /// Volumes.
    Volumes,
    /// Items and projected sources of all volumes.
    Items,
    /// Entries of `hostAliases`.
    HostAliases,
    /// Hostnames in all entries of `hostAliases`.
    Hostnames,
    /// Tolerations.
    Tolerations,
    /// Node labels that are asked for.
    NodeSelector,
    /// Labels.
    Labels,
    /// Annotations.
    Annotations,
    /// Owners.
    Owners,
    /// Bytes of a name.
    NameBytes,
    /// Bytes of a path, an image reference, or the value of a variable that a rule reads.
    PathBytes,
}

impl Dimension {
    /// All dimensions.
    pub const ALL: [Self; 16] = [
        Self::Containers,
        Self::Mounts,
        Self::Devices,
        Self::Words,
        Self::Variables,
        Self::Volumes,
        Self::Items,
        Self::HostAliases,
        Self::Hostnames,
        Self::Tolerations,
        Self::NodeSelector,
        Self::Labels,
        Self::Annotations,
        Self::Owners,
        Self::NameBytes,
        Self::PathBytes,
    ];

    /// Returns the most that is read, what is counted, and where. The structures of a list at its bound take at most a megabyte.
    #[must_use]
    pub fn row(self) -> (usize, &'static str, &'static str) {
        match self {
            Self::Containers => (
                256,
                "containers",
                "spec.containers and spec.initContainers together",
            ),
            Self::Mounts => (2_048, "mounts", "volumeMounts of all containers"),
            Self::Devices => (1_024, "block devices", "volumeDevices of all containers"),
            Self::Words => (8_192, "words", "command and args of all containers"),
            Self::Variables => (16_384, "variables", "env of one container"),
            Self::Volumes => (1_024, "volumes", "spec.volumes"),
            Self::Items => (
                4_096,
                "items and sources",
                "items and projected sources of all volumes",
            ),
            Self::HostAliases => (2_048, "entries", "spec.hostAliases"),
            Self::Hostnames => (8_192, "hostnames", "in all entries of spec.hostAliases"),
            Self::Tolerations => (1_024, "tolerations", "spec.tolerations"),
            Self::NodeSelector => (512, "node labels", "spec.nodeSelector"),
            Self::Labels => (1_024, "labels", "metadata.labels"),
            Self::Annotations => (2_048, "annotations", "metadata.annotations"),
            Self::Owners => (512, "owners", "metadata.ownerReferences"),
            Self::NameBytes => (512, "bytes", "in one name of a container, volume or host"),
            Self::PathBytes => (
                4_096,
                "bytes",
                "in one path, image, DOCKER_HOST or DOCKER_TLS_CERTDIR",
            ),
        }
    }

    /// Checks a count.
    fn check<E: Error>(self, count: usize) -> Result<(), E> {
        if count > self.row().0 {
            Err(E::custom(OverBound(self)))
        } else {
            Ok(())
        }
    }
}

/// A pod has more of something than is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub struct OverBound(pub Dimension);

impl fmt::Display for OverBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, what, place) = self.0.row();
        write!(
            f,
            "the pod has more than {most} {what} ({place}); drydock reads at most {most}. Give the pod fewer, or create it in a namespace without the label drydock.dev/job-pods"
        )
    }
}

impl OverBound {
    /// Finds the bound that ended a reading. serde's errors carry a text and nothing else; none of its own begins like this one.
    #[must_use]
    pub fn found_in(error: &serde_json::Error) -> Option<Self> {
        let text = error.to_string();
        let mut all = Dimension::ALL.into_iter().map(Self);
        all.find(|bound| text.starts_with(&bound.to_string()))
    }
}

/// A list of at most so many elements, and the sums over what is in them.
struct Counted<T, const PARTS: usize> {
    dimension: Dimension,
    parts: fn(&T) -> [usize; PARTS],
    of: [Dimension; PARTS],
}

impl<'de, T: Deserialize<'de>, const PARTS: usize> Visitor<'de> for Counted<T, PARTS> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, list: D) -> Result<Self::Value, D::Error> {
        list.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::with_capacity(list.size_hint().unwrap_or(0).min(16));
        let mut sums = [0; PARTS];
        while let Some(element) = list.next_element::<T>()? {
            for ((sum, part), dimension) in sums.iter_mut().zip((self.parts)(&element)).zip(self.of)
            {
                *sum += part;
                dimension.check(*sum)?;
            }
            elements.push(element);
            self.dimension.check(elements.len())?;
        }
        Ok(Some(elements))
    }
}

/// Reads a list, or null, of at most so many elements.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    dimension: Dimension,
) -> Result<Option<Vec<T>>, D::Error> {
    deserializer.deserialize_option(Counted {
        dimension,
        parts: |_| [],
        of: [],
    })
}

macro_rules! lists {
    ($($name:ident: $dimension:ident,)*) => {
        $(pub(super) fn $name<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
            deserializer: D,
        ) -> Result<Option<Vec<T>>, D::Error> {
            list(deserializer, Dimension::$dimension)
        })*
    };
}

lists! {
    mounts: Mounts,
    devices: Devices,
    words: Words,
    hostnames: Hostnames,
    items: Items,
    tolerations: Tolerations,
    owners: Owners,
}

pub(super) fn host_aliases<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<HostAlias<'a>>>, D::Error> {
    deserializer.deserialize_option(Counted {
        dimension: Dimension::HostAliases,
        parts: |alias: &HostAlias<'a>| [alias.hostnames.as_ref().map_or(0, Vec::len)],
        of: [Dimension::Hostnames],
    })
}

/// Reads the sources of a projected volume: each may have as many items as all together.
pub(super) fn projections<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Projection<'a>>>, D::Error> {
    deserializer.deserialize_option(Counted {
        dimension: Dimension::Items,
        parts: |projection: &Projection<'a>| [projection.items_read()],
        of: [Dimension::Items],
    })
}

pub(super) fn volumes<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Volume<'a>>>, D::Error> {
    deserializer.deserialize_option(Counted {
        dimension: Dimension::Volumes,
        parts: |volume: &Volume<'a>| [volume.items_read()],
        of: [Dimension::Items],
    })
}

/// What is summed over the containers of both lists.
const OF_CONTAINERS: [Dimension; 3] = [Dimension::Mounts, Dimension::Devices, Dimension::Words];

fn parts_of_container(container: &Container<'_>) -> [usize; 3] {
    let words = |words: &Option<Vec<Text<'_>>>| words.as_ref().map_or(0, Vec::len);
    [
        container.mounts().len(),
        container.volume_devices.as_ref().map_or(0, Vec::len),
        words(&container.command) + words(&container.args),
    ]
}

pub(super) fn containers<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Container<'a>>>, D::Error> {
    deserializer.deserialize_option(Counted {
        dimension: Dimension::Containers,
        parts: parts_of_container,
        of: OF_CONTAINERS,
    })
}

/// Checks what two lists have together, each of which is within the bounds.
pub(super) fn check_sums<E: Error>(pod: &Pod<'_>) -> Result<(), E> {
    // Of one list that was counted already.
    if pod.spec.init_containers.is_none() || pod.spec.containers.is_none() {
        return Ok(());
    }
    Dimension::Containers.check(pod.containers().count())?;
    let mut sums = [0; OF_CONTAINERS.len()];
    for (_, container) in pod.containers() {
        for (sum, part) in sums.iter_mut().zip(parts_of_container(container)) {
            *sum += part;
        }
    }
    for (sum, dimension) in sums.into_iter().zip(OF_CONTAINERS) {
        dimension.check(sum)?;
    }
    Ok(())
}

fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
    dimension: Dimension,
) -> Result<Option<Text<'de>>, D::Error> {
    let text: Option<Text<'de>> = Deserialize::deserialize(deserializer)?;
    dimension.check(text.as_ref().map_or(0, |text| text.len()))?;
    Ok(text)
}

/// Reads a name, or null. Names are copied: into changes, the patch and notes.
pub(super) fn name<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Text<'a>>, D::Error> {
    text(deserializer, Dimension::NameBytes)
}

/// Reads a path or an image, or null.
pub(super) fn path<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Text<'a>>, D::Error> {
    text(deserializer, Dimension::PathBytes)
}

/// Counts the variables of a container.
#[derive(Debug, Default)]
pub(crate) struct VariableCount(usize);

impl VariableCount {
    /// Counts one more.
    #[inline]
    pub(crate) fn add<E: Error>(&mut self) -> Result<(), E> {
        self.0 += 1;
        Dimension::Variables.check(self.0)
    }
}

/// Checks the number of bytes of a text whose type reads itself.
pub(super) fn check_path<E: Error>(text: &str) -> Result<(), E> {
    Dimension::PathBytes.check(text.len())
}

/// Checks the number of bytes of a name whose type reads itself.
pub(super) fn check_name<E: Error>(text: &str) -> Result<(), E> {
    Dimension::NameBytes.check(text.len())
}

/// A map of at most so many members.
pub(super) fn map<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
    dimension: Dimension,
) -> Result<Option<super::Map<'a>>, D::Error> {
    struct Optional<'a>(Dimension, PhantomData<&'a ()>);
    impl<'de: 'a, 'a> Visitor<'de> for Optional<'a> {
        type Value = Option<super::Map<'a>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of strings")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, map: D) -> Result<Self::Value, D::Error> {
            let most = self.0.row().0;
            super::Map::read(map, most, || Error::custom(OverBound(self.0))).map(Some)
        }
    }
    deserializer.deserialize_option(Optional(dimension, PhantomData))
}

macro_rules! maps {
    ($($name:ident: $dimension:ident,)*) => {
        $(pub(super) fn $name<'de: 'a, 'a, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<super::Map<'a>>, D::Error> {
            map(deserializer, Dimension::$dimension)
        })*
    };
}

maps! {
    labels: Labels,
    annotations: Annotations,
    node_selector: NodeSelector,
}

#[cfg(test)]
mod tests;
