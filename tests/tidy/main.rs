//! Checks that the compiler does not make: the imports between modules, the purity of the core, and
//! that no file is unused, out of date or secret.
//!
//! Each failure names the place and the fix. A new module of the crate needs a line in [`EDGES`].
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "the modules of a test are not a public API"
)]

mod dependencies;
mod docs;
mod files;
mod rules;
mod source;

use assert_cmd::cargo::cargo_bin_cmd;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use files::{files_below, packages, product_files, reached, relative, root};
use source::Source;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Each module of the crate, and the modules that it may import. These must be earlier in the list.
/// `src/lib.rs` has a diagram of it.
const EDGES: &[(&str, &[&str])] = &[
    ("core::document", &[]),
    ("core::mount_path", &[]),
    ("core::object_name", &[]),
    ("core::quote", &[]),
    ("core::crd", &[]),
    (
        "core::policy",
        &["core::crd", "core::document", "core::mount_path"],
    ),
    ("core::pod", &["core::mount_path", "core::quote"]),
    (
        "core::job_pod",
        &["core::mount_path", "core::pod", "core::policy"],
    ),
    (
        "core::rules",
        &[
            "core::job_pod",
            "core::mount_path",
            "core::pod",
            "core::policy",
            "core::quote",
        ],
    ),
    (
        "core::verdict",
        &["core::job_pod", "core::rules", "core::pod", "core::policy"],
    ),
    (
        "core::admission",
        &[
            "core::rules",
            "core::object_name",
            "core::pod",
            "core::policy",
            "core::quote",
            "core::verdict",
        ],
    ),
    (
        "telemetry",
        &[
            "core::admission",
            "core::job_pod",
            "core::rules",
            "core::verdict",
        ],
    ),
    ("pki", &[]),
    (
        "server",
        &[
            "pki",
            "core::admission",
            "core::object_name",
            "core::policy",
            "telemetry",
        ],
    ),
    ("names", &[]),
    (
        "cluster",
        &[
            "core::admission",
            "pki",
            "core::crd",
            "names",
            "core::object_name",
            "core::policy",
            "core::quote",
            "telemetry",
        ],
    ),
    (
        "import",
        &[
            "core::crd",
            "core::mount_path",
            "core::policy",
            "core::quote",
        ],
    ),
    (
        "diagnose",
        &[
            "core::crd",
            "core::job_pod",
            "core::pod",
            "core::policy",
            "core::rules",
            "core::quote",
            "core::verdict",
            "names",
            "pki",
        ],
    ),
    (
        "cli",
        &[
            "core::admission",
            "import",
            "pki",
            "cluster",
            "core::crd",
            "core::document",
            "diagnose",
            "core::rules",
            "names",
            "core::pod",
            "core::policy",
            "server",
            "core::quote",
            "telemetry",
            "core::verdict",
        ],
    ),
    ("main", &["cli"]),
];

/// The modules that use no clock, environment, file, network or thread.
const PURE: &[&str] = &[
    "core::document",
    "core::mount_path",
    "core::object_name",
    "core::quote",
    "core::crd",
    "names",
    "core::policy",
    "core::pod",
    "core::job_pod",
    "core::rules",
    "core::verdict",
    "core::admission",
    "diagnose",
    "import",
];

/// The packages that pure modules may use.
const PURE_PACKAGES: &[&str] = &[
    "base64",
    "diffy",
    "k8s_openapi",
    "kube",
    "regex",
    "schemars",
    "serde",
    "serde_json",
    "serde_path_to_error",
    "serde_saphyr",
    "simdutf8",
    "thiserror",
    "strsim",
    "toml",
    "wide",
];

/// Prefixes of the paths in std that pure modules must not use.
const IMPURE_STD: &[&str] = &[
    "std::*",
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::net::*",
    "std::net::Tcp",
    "std::net::ToSocketAddrs",
    "std::net::Udp",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::*",
    "std::time::Instant",
    "std::time::SystemTime",
];
/// Modules of std of which pure modules may use a part. They must not be imported as a whole,
/// because that would hide which part is used.
const HALF_PURE_STD: &[&str] = &["std", "std::io", "std::net", "std::time"];

const LONGEST: usize = 450;

#[test]
fn modules_import_only_the_modules_in_edges() {
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for file in product_files() {
        let module = file.module.as_str();
        seen.insert(module.to_owned());
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == module) else {
            if !matches!(module, "lib" | "core") {
                wrong.push(format!(
                    "{}: module {module} is not in EDGES; add it in tests/tidy/main.rs and to the diagram in src/lib.rs",
                    file.name
                ));
            }
            continue;
        };
        for path in Source::parse(&file.name, &file.text).product().paths {
            let words: Vec<&str> = path.segments.iter().map(String::as_str).collect();
            let known = match words.as_slice() {
                ["crate", "core", known, ..] => format!("core::{known}"),
                ["crate", known, ..] if module != "main" => (*known).to_owned(),
                ["drydock", known, ..] if module == "main" => (*known).to_owned(),
                _ => {
                    let climbs = words.iter().take_while(|word| **word == "super").count();
                    if climbs >= file.depth + path.inline {
                        wrong.push(format!(
                            "{}:{}: {} refers to the crate root by `super`; write it as crate::…",
                            file.name,
                            path.line,
                            words.join("::")
                        ));
                    }
                    continue;
                }
            };
            if known == module {
                continue;
            }
            used.insert((module.to_owned(), known.clone()));
            if !allowed.contains(&known.as_str()) {
                wrong.push(format!(
                    "{}:{}: {module} must not import {known} ({})",
                    file.name,
                    path.line,
                    words.join("::")
                ));
            }
        }
    }
    for (index, (module, allowed)) in EDGES.iter().enumerate() {
        let above: Vec<&str> = EDGES[..index].iter().map(|(name, _)| *name).collect();
        for known in *allowed {
            if !above.contains(known) {
                wrong.push(format!(
                    "EDGES: {module} may import {known}, which is not earlier in the list"
                ));
            }
            if !used.contains(&((*module).to_owned(), (*known).to_owned())) {
                wrong.push(format!(
                    "EDGES: {module} does not import {known}; remove it from the line"
                ));
            }
        }
        if !seen.contains(*module) {
            wrong.push(format!(
                "EDGES: there is no module {module}; remove the line"
            ));
        }
    }
    assert_none(&wrong, "imports go one way");
}

#[test]
fn pure_modules_do_no_io() {
    let packages = packages();
    assert!(packages.contains("tokio"), "tokio not found in Cargo.toml");
    let mut wrong = Vec::new();
    for file in product_files()
        .iter()
        .filter(|file| PURE.contains(&file.module.as_str()))
    {
        let product = Source::parse(&file.name, &file.text).product();
        for path in &product.paths {
            let text = path.segments.join("::");
            let is_impure_std = HALF_PURE_STD.contains(&text.as_str())
                || IMPURE_STD.iter().any(|impure| text.starts_with(impure));
            let package = path.segments[0].as_str();
            let is_foreign = packages.contains(package) && !PURE_PACKAGES.contains(&package);
            if is_impure_std || is_foreign {
                wrong.push(format!("{}:{}: {text}", file.name, path.line));
            }
        }
        for line in product.asynchronous {
            wrong.push(format!("{}:{line}: async", file.name));
        }
    }
    assert_none(
        &wrong,
        "pure modules must do no I/O: pass the value as an argument, or move the code to server, telemetry or cli",
    );
}

/// Returns the paths that the tests above find in a source text.
fn paths(text: &str) -> Vec<String> {
    let product = Source::parse("snippet", text).product();
    let paths = product.paths.iter();
    paths.map(|path| path.segments.join("::")).collect()
}

#[test]
fn paths_are_found_in_all_syntax() {
    for text in [
        "use crate::server::Limits;",
        "#[cfg(test)] mod tests; use crate::server::Limits;",
        "#[cfg(test)] use a::b; fn f() { crate::server::Limits::default(); }",
        "#[cfg(not(test))] use crate::server::Limits;",
        "#[cfg(any(test, unix))] use crate::server::Limits;",
        "use crate::{policy::{Mode}, server::{Limits}};",
        "use ::crate::server::Limits as Other;",
        "mod inner { fn f(limits: &crate::server::Limits) {} }",
        "impl crate::server::Limits { #[cfg(test)] fn f() {} fn g() {} }",
        "fn f() -> Vec<Option<crate::server::Limits>> {}",
        "fn f() { let text = format!(\"{:?}\", crate::server::Limits::default()); }",
        "macro_rules! m { () => { use crate::{server::Limits}; } }",
        "thread_local! { static A: crate::server::Limits = b; }",
        "#[derive(Deserialize)] struct A { #[serde(with = \"crate::server::Limits\")] b: u8 }",
        "#[arg(value_parser = crate::server::Limits::parse)] struct A;",
    ] {
        let found = paths(text);
        let is_found = found
            .iter()
            .any(|path| path.contains("crate::server::Limits"));
        assert!(is_found, "{text}: {found:?}");
    }
    for (text, path) in [
        ("use crate as everything;", "crate::*"),
        ("use crate::{self as everything};", "crate::*"),
        ("extern crate self as everything;", "crate::*"),
        ("use crate::*;", "crate::*"),
        ("use std as other;", "std"),
        ("use std::{time};", "std::time"),
        ("use tokio;", "tokio"),
    ] {
        assert!(paths(text).contains(&path.to_owned()), "{text}");
    }
}

#[test]
fn code_that_only_tests_compile_is_ignored() {
    for text in [
        "#[cfg(test)] mod tests { use crate::server::Limits; }",
        "#![cfg(test)] use crate::server::Limits;",
        "#[cfg(all(test, unix))] fn f() { crate::server::run(); }",
        "impl A { #[cfg(test)] fn f() { crate::server::run(); } }",
        "// use crate::server::Limits;",
        "const A: &str = \"use crate::server::Limits\";",
    ] {
        assert_eq!(paths(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn async_is_found_in_all_syntax() {
    for text in [
        "async fn f() {}",
        "#[cfg(test)] mod tests; impl A { async fn f() {} }",
        "fn f() { let a = async { 1 }; }",
        "fn f() { let a = async || 1; }",
        "fn f() { m!(a.b().await); }",
    ] {
        let product = Source::parse("snippet", text).product();
        assert_eq!(product.asynchronous, [1], "{text}");
    }
}

#[test]
fn every_source_file_is_compiled() {
    let root = root();
    let all: BTreeSet<PathBuf> = ["src", "tests", "benches", "examples"]
        .iter()
        .flat_map(|folder| files_below(&root.join(folder)))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    assert!(all.len() > 50, "only {} source files found", all.len());
    let is_root = |path: &PathBuf| {
        let name = relative(path);
        let parts: Vec<&str> = name.split('/').collect();
        matches!(
            parts.as_slice(),
            ["src", "lib.rs" | "main.rs"]
                | ["src", "bin", _]
                | ["tests" | "benches" | "examples", _]
                | ["tests" | "benches" | "examples", _, "main.rs"]
        )
    };
    let roots: Vec<PathBuf> = all.iter().filter(|path| is_root(path)).cloned().collect();
    let reached = reached(&roots, is_root, true);
    let dead: Vec<String> = all
        .difference(&reached)
        .map(|path| format!("{}: no mod declaration leads here", relative(path)))
        .collect();
    assert_none(&dead, "declare it in its parent, or delete it");
}

#[test]
fn the_committed_crd_is_up_to_date() {
    let output = cargo_bin_cmd!("drydock")
        .args(["print", "crd"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let committed =
        std::fs::read_to_string(root().join("manifests/chart/crds/jobpodpolicies.yaml"))
            .unwrap_or_default();
    let differs = printed
        .lines()
        .zip(committed.lines())
        .position(|(printed, committed)| printed != committed)
        .unwrap_or_else(|| printed.lines().count().min(committed.lines().count()));
    assert!(
        printed == committed,
        "manifests/chart/crds/jobpodpolicies.yaml is out of date from line {} on; run `cargo run -- print crd > manifests/chart/crds/jobpodpolicies.yaml`",
        differs + 1
    );
}

#[test]
fn no_source_file_exceeds_450_lines() {
    let long: Vec<String> = files_below(&root().join("src"))
        .iter()
        .filter_map(|path| {
            let lines = std::fs::read_to_string(path).unwrap().lines().count();
            (lines > LONGEST).then(|| format!("{}: {lines} lines", relative(path)))
        })
        .collect();
    assert_none(&long, "split files of more than 450 lines");
}

#[test]
fn comments_fit_in_100_columns() {
    let mut wide = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz"] {
        for path in files_below(&root().join(folder)) {
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (index, line) in text.lines().enumerate() {
                let comment = line.trim_start();
                // A URL cannot be wrapped.
                let is_wide = comment.starts_with("//")
                    && !comment.contains("https://")
                    && line.chars().count() > 100;
                if is_wide {
                    wide.push(format!("{}:{}", relative(&path), index + 1));
                }
            }
        }
    }
    assert_none(&wide, "wrap the comment");
}

#[test]
fn no_private_key_is_committed() {
    let root = root();
    let mut files: BTreeSet<PathBuf> = files_below(&root)
        .into_iter()
        .filter(|path| !is_ignored(&relative(path)))
        .collect();
    // Also checks ignored files that are committed. Without git, as in a source archive, checks all
    // files that are not ignored.
    let tracked = std::process::Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(&root)
        .output();
    if let Ok(tracked) = tracked {
        let names = String::from_utf8(tracked.stdout).unwrap();
        let names = names.split_terminator('\0').map(|name| root.join(name));
        files.extend(names.filter(|path| path.is_file()));
    }
    assert!(files.len() > 50, "only {} files found", files.len());
    let keys: Vec<String> = files
        .iter()
        .filter(|path| holds_private_key(&std::fs::read(path).unwrap()))
        .map(|path| relative(path))
        .collect();
    assert_none(
        &keys,
        "do not commit a private key; create one when it is needed with `drydock certs`",
    );
}

/// Returns whether `.gitignore` has a pattern for a file: build output, or output of `drydock
/// certs`.
fn is_ignored(name: &str) -> bool {
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
    ignored.lines().any(|pattern| {
        let pattern = pattern.trim_start_matches('/');
        match pattern.split_once('*') {
            Some((before, after)) => {
                let inner = name
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after));
                inner.is_some_and(|inner| !inner.contains('/'))
            }
            None => !pattern.is_empty() && name.starts_with(&format!("{pattern}/")),
        }
    })
}

/// Returns whether a file contains a private key as PEM, or as base64 of PEM as in a Secret.
fn holds_private_key(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let begin = "-----BEGIN ";
    let in_pem = text.split(begin).skip(1).any(|rest| {
        let kind = rest.split("-----").next().unwrap_or_default();
        kind.ends_with("PRIVATE KEY")
    });
    let in_base64 = ["", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH "]
        .iter()
        .any(|kind| {
            let encoded = STANDARD.encode(format!("{begin}{kind}PRIVATE "));
            // The last four characters depend on the text that follows.
            text.contains(&encoded[..encoded.len() - 4])
        });
    in_pem || in_base64
}

#[track_caller]
fn assert_none(wrong: &[String], what_to_do: &str) {
    assert!(wrong.is_empty(), "{what_to_do}:\n{}", wrong.join("\n"));
}
