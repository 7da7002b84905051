//! Limits on the size of a pod (rule F6).
//!
//! The API server calls webhooks before it validates the pod, and three bytes of JSON (`{},`) can
//! take a hundred bytes of memory. So the elements of a list are counted while they are read, and
//! reading stops at the first element over the limit. Real job pods have about ten containers with
//! ten mounts each, far below the limits. A pod that reaches every limit takes a few megabytes of
//! memory and a few milliseconds.
//!
//! A test compares the table of limits with `docs/limits.md`.

use super::text::null_as_default;
use super::volume::ProjectedSource;
use super::{
    Container, HostAlias, Map, OwnerReference, Pod, Text, Toleration, Volume, VolumeDevice,
    VolumeMount,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Defines [`Dimension`] from a table: the maximum, its unit, and the fields that are counted.
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

// A list at its limit takes at most one megabyte of memory.
dimensions! {
    Containers: 256, "containers", "spec.containers and spec.initContainers together";
    Mounts: 2_048, "mounts", "volumeMounts of all containers";
    Devices: 1_024, "block devices", "volumeDevices of all containers";
    Words: 8_192, "words", "command and args of all containers";
    Variables: 16_384, "variables", "env of one container";
    Volumes: 1_024, "volumes", "spec.volumes";
    Items: 4_096, "items and sources", "items and projected sources of all volumes";
    HostAliases: 2_048, "entries", "spec.hostAliases";
    Hostnames: 8_192, "hostnames", "hostnames of all entries of spec.hostAliases";
    Tolerations: 1_024, "tolerations", "spec.tolerations";
    NodeSelector: 512, "node labels", "spec.nodeSelector";
    Labels: 1_024, "labels", "metadata.labels";
    Annotations: 2_048, "annotations", "metadata.annotations";
    Owners: 512, "owners", "metadata.ownerReferences";
    NameBytes: 512, "bytes in one name", "names of containers, volumes and hosts";
    PathBytes: 4_096, "bytes in one value", "paths, images, DOCKER_HOST and DOCKER_TLS_CERTDIR";
}

impl Dimension {
    /// Returns an error if `count` exceeds the limit.
    fn check<E: Error>(self, count: usize) -> Result<(), E> {
        if count > self.limit().0 {
            Err(E::custom(OverBound(self)))
        } else {
            Ok(())
        }
    }
}

/// An error: the pod exceeds this limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub struct OverBound(pub Dimension);

impl fmt::Display for OverBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (max, unit, fields) = self.0.limit();
        write!(
            f,
            "the pod has more than {max} {unit} ({fields}), the maximum that drydock reads. Reduce the number, or create the pod in a namespace without the label drydock.dev/job-pods"
        )
    }
}

impl OverBound {
    /// Returns the limit that an error of serde reports. Such an error contains only text, so the
    /// text is compared with the message of each limit.
    pub fn found_in(error: &serde_json::Error) -> Option<Self> {
        let text = error.to_string();
        let mut all = Dimension::ALL.iter().copied().map(Self);
        all.find(|bound| text.starts_with(&bound.to_string()))
    }
}

/// An element of a list. A limit can apply to the total length of the lists inside all elements.
pub(super) trait Element {
    /// Adds the lengths of the lists inside the element to the sums.
    fn count<E: Error>(&self, _: &mut Sums) -> Result<(), E> {
        Ok(())
    }
}

/// For each dimension, the number counted so far in the elements of a list.
#[derive(Default)]
pub(super) struct Sums([usize; Dimension::ALL.len()]);

impl Sums {
    fn add<E: Error>(&mut self, dimension: Dimension, count: usize) -> Result<(), E> {
        let sum = self.0.get_mut(dimension as usize);
        let sum = sum.expect("each dimension should have a sum");
        *sum += count;
        dimension.check(*sum)
    }
}

impl Element for Text<'_> {}
impl Element for VolumeMount<'_> {}
impl Element for VolumeDevice<'_> {}
impl Element for Toleration<'_> {}
impl Element for OwnerReference {}

impl Element for HostAlias<'_> {
    fn count<E: Error>(&self, sums: &mut Sums) -> Result<(), E> {
        sums.add(Dimension::Hostnames, len(&self.hostnames))
    }
}

impl Element for Volume<'_> {
    fn count<E: Error>(&self, sums: &mut Sums) -> Result<(), E> {
        sums.add(Dimension::Items, self.item_count())
    }
}

/// The limit `Items` applies to the items of all projected sources of a volume together.
impl Element for ProjectedSource<'_> {
    fn count<E: Error>(&self, sums: &mut Sums) -> Result<(), E> {
        sums.add(Dimension::Items, self.item_count())
    }
}

impl Element for Container<'_> {
    fn count<E: Error>(&self, sums: &mut Sums) -> Result<(), E> {
        sums.add(Dimension::Mounts, len(&self.volume_mounts))?;
        sums.add(Dimension::Devices, len(&self.volume_devices))?;
        sums.add(Dimension::Words, len(&self.command) + len(&self.args))
    }
}

fn len<T>(list: &Option<Vec<T>>) -> usize {
    list.as_ref().map_or(0, Vec::len)
}

/// A visitor that reads a list, and checks the number of its elements and the total length of the
/// lists inside them.
struct Counted<T>(Dimension, PhantomData<T>);

impl<'de, T: Deserialize<'de> + Element> Visitor<'de> for Counted<T> {
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
        let mut sums = Sums::default();
        while let Some(element) = list.next_element::<T>()? {
            element.count(&mut sums)?;
            elements.push(element);
            self.0.check(elements.len())?;
        }
        Ok(Some(elements))
    }
}

macro_rules! lists {
    ($($name:ident: $dimension:ident,)*) => {
        $(pub(super) fn $name<'de, D: Deserializer<'de>, T: Deserialize<'de> + Element>(
            deserializer: D,
        ) -> Result<Option<Vec<T>>, D::Error> {
            deserializer.deserialize_option(Counted(Dimension::$dimension, PhantomData))
        })*
    };
}

// Each function reads a list or null, and checks its limit.
lists! {
    containers: Containers,
    volumes: Volumes,
    host_aliases: HostAliases,
    projected_sources: Items,
    mounts: Mounts,
    devices: Devices,
    words: Words,
    hostnames: Hostnames,
    items: Items,
    tolerations: Tolerations,
    owners: Owners,
}

/// Checks the limits for `containers` and `initContainers` together. Each list alone was checked
/// while it was read.
pub(super) fn check_sums<E: Error>(pod: &Pod<'_>) -> Result<(), E> {
    // If only one list exists, nothing is left to check.
    if pod.spec.init_containers.is_none() || pod.spec.containers.is_none() {
        return Ok(());
    }
    let mut sums = Sums::default();
    for (_, container) in pod.containers() {
        sums.add(Dimension::Containers, 1)?;
        container.count(&mut sums)?;
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

/// Reads a name or null. Names have a limit because changes, the patch and findings contain them.
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
