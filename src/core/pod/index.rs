//! Where the volumes of a pod are, by name.

use super::{Text, Volume};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// So many volumes are searched one by one, which is faster than an index of them.
const FEW: usize = 32;

/// The place of the first volume of each name, once somebody asks and there are many.
///
/// # Invariant
/// Volumes are appended through [`VolumeIndex::add`], and keep their place and name. A list of another length than the one
/// that was counted is searched one by one.
#[derive(Clone, Debug, Default)]
pub(super) struct VolumeIndex<'a>(OnceCell<Known<'a>>);

#[derive(Clone, Debug)]
struct Known<'a> {
    places: BTreeMap<Text<'a>, usize>,
    /// How many volumes there are.
    count: usize,
}

impl<'a> VolumeIndex<'a> {
    /// Returns the index of the first volume of a name.
    pub(super) fn find(&self, volumes: &[Volume<'a>], name: &str) -> Option<usize> {
        if volumes.len() <= FEW {
            return one_by_one(volumes, name);
        }
        let known = self.0.get_or_init(|| Known::of(volumes));
        if known.count != volumes.len() {
            return one_by_one(volumes, name);
        }
        known.places.get(name).copied()
    }

    /// Takes note of a volume that is appended at a place.
    pub(super) fn add(&mut self, place: usize, name: &Text<'a>) {
        if let Some(known) = self.0.get_mut().filter(|known| known.count == place) {
            known.places.entry(name.clone()).or_insert(place);
            known.count += 1;
        }
    }
}

impl<'a> Known<'a> {
    fn of(volumes: &[Volume<'a>]) -> Self {
        let mut places = BTreeMap::new();
        for (place, volume) in volumes.iter().enumerate() {
            places.entry(volume.name.clone()).or_insert(place);
        }
        Self {
            places,
            count: volumes.len(),
        }
    }
}

fn one_by_one(volumes: &[Volume<'_>], name: &str) -> Option<usize> {
    volumes.iter().position(|volume| &*volume.name == name)
}
