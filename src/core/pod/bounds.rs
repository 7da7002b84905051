//! Limits on the size of a pod (F6), in one table.
//!
//! The API server calls before it validates, and three bytes of a list (`{},`) become a hundred
//! bytes of a structure. So each list is counted while it is read, and reading stops at the first
//! element over the limit. The limits are far above real job pods (about ten containers with ten
//! mounts each); a pod at all limits takes a few megabytes and some milliseconds.
//!
//! A test compares the table with `docs/limits.md`.

use super::text::null_as_default;
use super::volume::Projection;
use super::{Container, HostAlias, Map, Pod, Text, Volume};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Defines [`Dimension`] by its limits: the maximum, the unit, and the fields that are counted.
macro_rules! dimensions {
    ($($name:ident: $max:literal, $unit:literal, $fields:literal;)*) => {
        /// A limited property of a pod.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Dimension {
            $(#[doc = $fields] $name,)*
        }

        impl Dimension {
            /// All dimensions.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the maximum, the unit, and the fields that are counted.
            pub(crate) fn limit(self) -> (usize, &'static str, &'static str) {
                match self {
                    $(Self::$name => ($max, $unit, $fields),)*
                }
            }
        }
    };
}

// The structures of a list at its limit take at most a megabyte.
dimensions! {
    Containers: 256, "containers", "spec.containers and spec.initContainers together";
    Mounts: 2_048, "mounts", "volumeMounts of all containers";
    Devices: 1_024, "block devices", "volumeDevices of all containers";
    Words: 8_192, "words", "command and args of all containers";
    Variables: 16_384, "variables", "env of one container";
    Volumes: 1_024, "volumes", "spec.volumes";
    Items: 4_096, "items and sources", "items and projected sources of all volumes";
    HostAliases: 2_048, "entries", "spec.hostAliases";
    Hostnames: 8_192, "hostnames", "in all entries of spec.hostAliases";
    Tolerations: 1_024, "tolerations", "spec.tolerations";
    NodeSelector: 512, "node labels", "spec.nodeSelector";
    Labels: 1_024, "labels", "metadata.labels";
    Annotations: 2_048, "annotations", "metadata.annotations";
    Owners: 512, "owners", "metadata.ownerReferences";
    NameBytes: 512, "bytes", "in one name of a container, volume or host";
    PathBytes: 4_096, "bytes", "in one path, image, DOCKER_HOST or DOCKER_TLS_CERTDIR";
}

impl Dimension {
    /// Checks a count.
    fn check<E: Error>(self, count: usize) -> Result<(), E> {
        if count > self.limit().0 {
            Err(E::custom(OverBound(self)))
        } else {
            Ok(())
        }
    }
}

/// A pod exceeds a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub struct OverBound(pub Dimension);

impl fmt::Display for OverBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (max, unit, fields) = self.0.limit();
        write!(
            f,
            "the pod has more than {max} {unit} ({fields}); drydock reads at most {max}. Give the pod fewer, or create it in a namespace without the label drydock.dev/job-pods"
        )
    }
}

impl OverBound {
    /// Finds the limit in an error of serde, which carries only a text. No message of serde begins
    /// like this one.
    #[must_use]
    pub fn found_in(error: &serde_json::Error) -> Option<Self> {
        let text = error.to_string();
        let mut all = Dimension::ALL.iter().copied().map(Self);
        all.find(|bound| text.starts_with(&bound.to_string()))
    }
}

/// Reads a list with a limit on its elements and on the sums over lists in them.
struct Counted<T, const PARTS: usize> {
    dimension: Dimension,
    parts: fn(&T) -> [usize; PARTS],
    part_dimensions: [Dimension; PARTS],
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
            for ((sum, part), dimension) in sums
                .iter_mut()
                .zip((self.parts)(&element))
                .zip(self.part_dimensions)
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

/// Reads a list or null.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    dimension: Dimension,
) -> Result<Option<Vec<T>>, D::Error> {
    deserializer.deserialize_option(Counted {
        dimension,
        parts: |_| [],
        part_dimensions: [],
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
        part_dimensions: [Dimension::Hostnames],
    })
}

/// Reads the sources of a projected volume. The limit of items applies to each and to the sum.
pub(super) fn projections<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Projection<'a>>>, D::Error> {
    deserializer.deserialize_option(Counted {
        dimension: Dimension::Items,
        parts: |projection: &Projection<'a>| [projection.item_count()],
        part_dimensions: [Dimension::Items],
    })
}

pub(super) fn volumes<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Volume<'a>>>, D::Error> {
    deserializer.deserialize_option(Counted {
        dimension: Dimension::Volumes,
        parts: |volume: &Volume<'a>| [volume.item_count()],
        part_dimensions: [Dimension::Items],
    })
}

/// The sums over the containers of both lists.
const PARTS_OF_CONTAINERS: [Dimension; 3] =
    [Dimension::Mounts, Dimension::Devices, Dimension::Words];

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
        part_dimensions: PARTS_OF_CONTAINERS,
    })
}

/// Checks the sums over `containers` and `initContainers`, each of which is within the limits.
pub(super) fn check_sums<E: Error>(pod: &Pod<'_>) -> Result<(), E> {
    // A single list was checked while it was read.
    if pod.spec.init_containers.is_none() || pod.spec.containers.is_none() {
        return Ok(());
    }
    Dimension::Containers.check(pod.containers().count())?;
    let mut sums = [0; PARTS_OF_CONTAINERS.len()];
    for (_, container) in pod.containers() {
        for (sum, part) in sums.iter_mut().zip(parts_of_container(container)) {
            *sum += part;
        }
    }
    for (sum, dimension) in sums.into_iter().zip(PARTS_OF_CONTAINERS) {
        dimension.check(sum)?;
    }
    Ok(())
}

fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
    dimension: Dimension,
) -> Result<Text<'de>, D::Error> {
    let text: Text<'de> = null_as_default(deserializer)?;
    dimension.check(text.len())?;
    Ok(text)
}

/// Reads a name or null. Names are copied into changes, the patch and findings.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
    text(deserializer, Dimension::NameBytes)
}

/// Reads a path, an image or null.
pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
    text(deserializer, Dimension::PathBytes)
}

/// Checks the number of variables of a container.
#[inline]
pub(crate) fn check_variables<E: Error>(count: usize) -> Result<(), E> {
    Dimension::Variables.check(count)
}

/// Checks the length of a path.
pub(super) fn check_path<E: Error>(text: &str) -> Result<(), E> {
    Dimension::PathBytes.check(text.len())
}

/// Checks the length of a name.
pub(super) fn check_name<E: Error>(text: &str) -> Result<(), E> {
    Dimension::NameBytes.check(text.len())
}

/// Reads a map or null.
fn map<'de, D: Deserializer<'de>>(
    deserializer: D,
    dimension: Dimension,
) -> Result<Option<Map<'de>>, D::Error> {
    struct CountedMap(Dimension);
    impl<'de> Visitor<'de> for CountedMap {
        type Value = Option<Map<'de>>;

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
            map.deserialize_map(self)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            // A job pod has about ten labels and annotations.
            let mut members = Vec::with_capacity(10);
            while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                members.push((key, value.unwrap_or_default()));
                self.0.check(members.len())?;
            }
            Ok(Some(Map(members)))
        }
    }
    deserializer.deserialize_option(CountedMap(dimension))
}

macro_rules! maps {
    ($($name:ident: $dimension:ident,)*) => {
        $(pub(super) fn $name<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Map<'de>>, D::Error> {
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
