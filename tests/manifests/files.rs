//! What is committed is what is printed, and nothing is left over.

use crate::objects::{list, parse, texts};
use assert_cmd::cargo::cargo_bin_cmd;
use drydock::manifests;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}

/// Every file below a folder, by its path from there.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    files
}

#[test]
fn the_committed_files_are_the_printed_ones() {
    let written = tempfile::tempdir().unwrap();
    cargo_bin_cmd!("drydock")
        .args(["print", "manifests", "--write"])
        .arg(written.path())
        .assert()
        .success()
        .stdout("");
    let read =
        |folder: &Path, name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let printed = below(written.path());
    let stale: Vec<&String> = printed
        .iter()
        .filter(|name| read(written.path(), name) != read(&folder(), name))
        .collect();
    assert!(
        stale.is_empty(),
        "out of date: {stale:?}; run `cargo run -- print manifests --write manifests`"
    );
    let mut committed = below(&folder());
    assert!(committed.remove("sample-policy.yaml"));
    let left_over: Vec<&String> = committed.difference(&printed).collect();
    assert!(
        left_over.is_empty(),
        "nothing prints these, take them out: {left_over:?}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = cargo_bin_cmd!("drydock")
        .args(["print", "manifests", "--write"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let named = format!(
        "{} cannot be made a folder; give --write one",
        file.display()
    );
    assert!(said.contains(&named), "{said}");
}

#[test]
fn the_stream_has_the_objects_of_the_base_in_order() {
    let output = cargo_bin_cmd!("drydock")
        .args(["print", "manifests"])
        .output()
        .unwrap();
    let printed = parse(&String::from_utf8(output.stdout).unwrap());
    let kustomization =
        &parse(&std::fs::read_to_string(folder().join("kustomization.yaml")).unwrap())[0];
    let of_files: Vec<_> = texts(&kustomization["resources"])
        .into_iter()
        .flat_map(|name| parse(&std::fs::read_to_string(folder().join(name)).unwrap()))
        .collect();
    assert!(printed.len() > 10);
    assert_eq!(printed, of_files);
}

#[test]
fn every_kustomization_names_the_files_that_lie_beside_it() {
    let mut seen = 0;
    for file in manifests::files().unwrap() {
        let Some(beside) = file.path.strip_suffix("kustomization.yaml") else {
            continue;
        };
        seen += 1;
        let kustomization = &parse(&file.text)[0];
        let named: BTreeSet<&str> = texts(&kustomization["resources"]).into_iter().collect();
        let files = manifests::files().unwrap();
        let there: BTreeSet<&str> = files
            .iter()
            .filter_map(|other| other.path.strip_prefix(beside))
            .filter(|name| !name.contains('/') && *name != "kustomization.yaml")
            .collect();
        assert_eq!(named, there, "{}", file.path);
    }
    assert_eq!(seen, 9);
}

/// What drydock or cert-manager fills in would be a difference for every tool that compares a cluster with the files.
#[test]
fn no_file_has_a_ca_bundle_or_a_secret() {
    for file in manifests::files().unwrap() {
        for object in parse(&file.text) {
            assert_ne!(object["kind"], "Secret", "{}", file.path);
            for webhook in list(&object["webhooks"]) {
                assert_eq!(webhook["clientConfig"].get("caBundle"), None);
            }
        }
    }
}

/// kubectl cannot map an object whose definition comes in the same call: it makes the definition, and fails.
#[test]
fn the_installation_has_no_object_of_its_own_definition() {
    for object in crate::objects::base() {
        assert_ne!(object["kind"], "JobPodPolicy");
    }
}
