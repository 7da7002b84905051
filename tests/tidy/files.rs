//! The files that the tidy tests look at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What test code shares. It is compiled for tests only, so the picture does not have it.
const OF_TESTS: &[&str] = &["testing"];

/// A file of the product, `src/policy/set.rs` being of module `policy` and of depth 2.
pub struct ProductFile {
    pub name: String,
    pub module: String,
    pub depth: usize,
    pub text: String,
}

pub fn product_files() -> Vec<ProductFile> {
    let files: Vec<ProductFile> = files_below(&root().join("src"))
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| {
            let name = relative(&path);
            let inner: Vec<&str> = name.trim_end_matches(".rs").split('/').skip(1).collect();
            ProductFile {
                module: inner[0].to_owned(),
                depth: inner.len(),
                text: std::fs::read_to_string(&path).unwrap(),
                name,
            }
        })
        .filter(|file| !OF_TESTS.contains(&file.module.as_str()))
        .collect();
    assert!(files.len() > 40, "the sources are not found");
    files
}

/// The packages that `Cargo.toml` names, as Rust spells them.
pub fn packages() -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut section = "";
    let mut packages = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let ("[dependencies]", Some((name, _))) = (section, line.split_once('=')) {
            packages.insert(name.trim().replace('-', "_"));
        }
    }
    packages
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Every file below a folder, but for git's own and the build's.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let is_left_out = matches!(
                path.file_name().and_then(|name| name.to_str()),
                Some(".git" | "target")
            );
            if is_left_out {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
