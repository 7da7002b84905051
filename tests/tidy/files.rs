//! Lists the files that the tidy tests read.

use crate::source::Source;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A source file of the product. `src/cluster/ca/plan.rs` belongs to the module `cluster` at depth
/// 3. Each module of `src/core` counts separately: `src/core/policy/set.rs` belongs to
/// `core::policy` at depth 2.
pub struct ProductFile {
    pub name: String,
    pub module: String,
    pub depth: usize,
    pub text: String,
}

/// Returns the source files of the program and the library, without modules that only tests
/// compile.
pub fn product_files() -> Vec<ProductFile> {
    let source = root().join("src");
    let roots = ["lib.rs", "main.rs"].map(|name| source.join(name));
    let files: Vec<ProductFile> = reached(&roots, |path| roots.contains(path), false)
        .into_iter()
        .map(|path| {
            let name = relative(&path);
            let inner: Vec<&str> = name.trim_end_matches(".rs").split('/').skip(1).collect();
            let (module, depth) = match inner.as_slice() {
                ["core", module, ..] => (format!("core::{module}"), inner.len() - 1),
                _ => (inner[0].to_owned(), inner.len()),
            };
            ProductFile {
                module,
                depth,
                text: std::fs::read_to_string(&path).unwrap(),
                name,
            }
        })
        .collect();
    assert!(files.len() > 40, "only {} source files found", files.len());
    files
}

/// Returns the files that are reachable by `mod` declarations from some files, including those.
pub fn reached(
    from: &[PathBuf],
    is_root: impl Fn(&PathBuf) -> bool,
    with_tests: bool,
) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut to_read = from.to_vec();
    while let Some(path) = to_read.pop() {
        // Resolves `..` in `#[path]`.
        let Ok(path) = path.canonicalize() else {
            continue;
        };
        if !path.is_file() || !reached.insert(path.clone()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let stands_for_its_folder = is_root(&path) || path.ends_with("mod.rs");
        let source = Source::parse(&relative(&path), &text);
        to_read.extend(source.modules(&path, stands_for_its_folder, with_tests));
    }
    reached
}

/// Returns the names of the packages in `Cargo.toml`, with underscores.
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

/// Returns all files below a folder, except those of git and of the build.
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
