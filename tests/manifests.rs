//! The files under `manifests/`: they are the printed ones, they fit together, and drydock runs as nobody with no rights to spare.
//!
//! What needs an API server is in `tests/cluster`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect is to fail"
)]

use drydock::manifests;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}

#[test]
fn the_committed_files_are_the_printed_ones() {
    let stale: Vec<String> = manifests::files()
        .unwrap()
        .into_iter()
        .filter(|file| {
            std::fs::read_to_string(folder().join(&file.path)).unwrap_or_default() != file.text
        })
        .map(|file| file.path)
        .collect();
    assert!(
        stale.is_empty(),
        "out of date: {stale:?}; run `cargo run -- print manifests --write manifests`"
    );
}
