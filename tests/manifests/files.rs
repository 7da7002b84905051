//! `drydock print manifests` prints all files under `manifests/`.

use crate::objects::{base, folder, list, parse, read, texts};
use assert_cmd::cargo::cargo_bin_cmd;
use std::collections::BTreeSet;
use std::path::Path;

/// Returns the relative path of each file below a folder.
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
fn every_committed_file_is_printed() {
    let written = tempfile::tempdir().unwrap();
    cargo_bin_cmd!("drydock")
        .args(["print", "manifests", "--write"])
        .arg(written.path())
        .assert()
        .success()
        .stdout("");
    let (printed, committed) = (below(written.path()), below(&folder()));
    let missing: Vec<&String> = committed.symmetric_difference(&printed).collect();
    assert!(
        missing.is_empty(),
        "add these files to src/cli/print/files.rs, or remove them from it: {missing:?}"
    );
    for name in &committed {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read(written.path()), read(&folder()), "{name}");
    }
}

#[test]
fn an_error_names_a_directory_that_cannot_be_created() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = cargo_bin_cmd!("drydock")
        .args(["print", "manifests", "--write"])
        .arg(&file)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let named = format!(
        "--write: cannot create the directory {} (use a writable directory)",
        file.display()
    );
    assert!(stderr.contains(&named), "{stderr}");
}

#[test]
fn the_stream_has_the_objects_of_the_base_in_order() {
    let output = cargo_bin_cmd!("drydock")
        .args(["print", "manifests"])
        .output()
        .unwrap();
    let printed = parse(&String::from_utf8(output.stdout).unwrap());
    assert!(printed.len() > 10);
    assert_eq!(printed, base());
}

#[test]
fn every_kustomization_lists_the_files_in_its_folder() {
    let mut seen = 0;
    for file in below(&folder()) {
        let Some(beside) = file.strip_suffix("kustomization.yaml") else {
            continue;
        };
        seen += 1;
        let kustomization = &read(&folder().join(&file))[0];
        let named: BTreeSet<&str> = texts(&kustomization["resources"])
            .into_iter()
            .filter(|name| !name.contains('/'))
            .collect();
        let files = below(&folder());
        let there: BTreeSet<&str> = files
            .iter()
            .filter_map(|other| other.strip_prefix(beside))
            .filter(|name| !name.contains('/'))
            .filter(|name| !["kustomization.yaml", "sample-policy.yaml"].contains(name))
            .collect();
        assert_eq!(named, there, "{file}");
    }
    assert_eq!(seen, 10);
}

/// drydock and cert-manager set these fields. Tools that compare a cluster with the files would
/// report a difference if the files contained them.
#[test]
fn no_file_has_a_ca_bundle_or_the_content_of_a_secret() {
    for file in below(&folder()) {
        if file.starts_with("chart/templates")
            || file.starts_with("chart/files")
            || !file.ends_with(".yaml")
        {
            continue;
        }
        for object in read(&folder().join(&file)) {
            if object["kind"] == "Secret" {
                assert_eq!(object.get("data"), None, "{file}");
                assert_eq!(object.get("stringData"), None, "{file}");
            }
            for webhook in list(&object["webhooks"]) {
                assert_eq!(webhook["clientConfig"].get("caBundle"), None);
            }
        }
    }
}

/// kubectl cannot create a CRD and an object of its kind in the same call.
#[test]
fn the_installation_has_no_job_pod_policy() {
    for object in base() {
        assert_ne!(object["kind"], "JobPodPolicy");
    }
}
