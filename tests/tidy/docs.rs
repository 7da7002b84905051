//! Source files that documents name and targets of links exist.

use super::assert_none;
use super::files::{files_below, relative, root};

const DOCUMENTS: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "benches/README.md",
    "certs/README.md",
    "docs/ARCHITECTURE.md",
    "docs/doctor.md",
    "docs/import.md",
    "docs/install.md",
    "docs/limits.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/policy.md",
    "docs/rules.md",
    "docs/runbook.md",
    "docs/slo.md",
    "docs/testing-policies.md",
    "manifests/chart/README.md",
];

fn read(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap()
}

/// Returns the names of source files in backticks, with or without a folder.
fn source_files(text: &str) -> Vec<&str> {
    let quoted = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted
        .filter(|name| name.ends_with(".rs") && !name.contains([' ', '*', '…']))
        .collect()
}

/// Returns the targets of links to files.
fn link_targets(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1);
    let targets = links.filter_map(|rest| rest.split([')', '#']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn source_files_that_documents_name_exist() {
    let files: Vec<String> = files_below(&root())
        .iter()
        .map(|path| relative(path))
        .collect();
    let exists = |name: &str| {
        let end = format!("/{name}");
        files
            .iter()
            .any(|file| file == name || file.ends_with(&end))
    };
    let mut named = 0;
    let mut missing = Vec::new();
    for document in ["CONTRIBUTING.md", "README.md", "docs/ARCHITECTURE.md"] {
        for name in source_files(&read(document)) {
            named += 1;
            if !exists(name) {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(named > 60, "the documents name only {named} files");
    assert_none(&missing, "name the file that is there now");
}

#[test]
fn no_document_has_a_placeholder() {
    let is_unfinished = |document: &&&str| read(document).contains("@@");
    let unfinished: Vec<&&str> = DOCUMENTS.iter().filter(is_unfinished).collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

#[test]
fn links_between_documents_lead_to_files() {
    let mut missing = Vec::new();
    let mut links = 0;
    for document in DOCUMENTS {
        let path = root().join(document);
        let folder = path.parent().unwrap();
        for target in link_targets(&read(document)) {
            links += 1;
            if !folder.join(target).exists() {
                missing.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(links > 15, "the documents have only {links} links");
    assert_none(&missing, "link to the file that is there now");
}

#[test]
fn names_and_links_are_found() {
    let text =
        "`src/a.rs`, `b/{c,d}.rs x` and [e](docs/e.md#part), [f](https://f.example/), [g](#g)";
    assert_eq!(source_files(text), ["src/a.rs"]);
    assert_eq!(link_targets(text), ["docs/e.md"]);
}
