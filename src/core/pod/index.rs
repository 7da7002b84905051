//! Volumes of a pod by name.

use super::{Text, Volume};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// The greatest number of volumes for which a linear search is faster than an index.
const MAX_LINEAR: usize = 32;

/// The position of the first volume of each name, built at the first look-up among many volumes.
///
/// # Invariant
/// Volumes are appended through [`VolumeIndex::add`], and keep position and name. A list of another
/// length than the indexed one is searched linearly.
#[derive(Clone, Debug, Default)]
pub(super) struct VolumeIndex<'a>(OnceCell<Positions<'a>>);

#[derive(Clone, Debug)]
struct Positions<'a> {
    by_name: BTreeMap<Text<'a>, usize>,
    /// The number of volumes.
    count: usize,
}

impl<'a> VolumeIndex<'a> {
    /// Returns the index of the first volume with a name.
    pub(super) fn find(&self, volumes: &[Volume<'a>], name: &str) -> Option<usize> {
        if volumes.len() > MAX_LINEAR {
            let index = self.0.get_or_init(|| Positions::of(volumes));
            if index.count == volumes.len() {
                return index.by_name.get(name).copied();
            }
        }
        volumes.iter().position(|volume| &*volume.name == name)
    }

    /// Adds a volume that is appended at a position.
    pub(super) fn add(&mut self, position: usize, name: &Text<'a>) {
        if let Some(index) = self.0.get_mut().filter(|index| index.count == position) {
            index.by_name.entry(name.clone()).or_insert(position);
            index.count += 1;
        }
    }
}

impl<'a> Positions<'a> {
    fn of(volumes: &[Volume<'a>]) -> Self {
        let mut by_name = BTreeMap::new();
        for (position, volume) in volumes.iter().enumerate() {
            by_name.entry(volume.name.clone()).or_insert(position);
        }
        let count = volumes.len();
        Self { by_name, count }
    }
}
