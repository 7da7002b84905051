//! Pods from public reports (`tests/fixtures/field`): repairs, unchanged parts, and findings.
//!
//! The tests check the volumes that are mounted in the changed pod, not the patch.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "laws/verdict.rs"]
mod verdict;

use drydock::core::policy::{AddressesBySource, Mode, PolicySet, read};
use drydock::core::rules::Audience;
use rstest::rstest;
use serde_json::{Value, json};
use verdict::{judge, patched};

/// A pod of `tests/fixtures/field` before and after the change, and the findings.
struct Case {
    before: Value,
    after: Value,
    /// Audience, rule and sentence.
    findings: Vec<(Audience, &'static str, String)>,
}

impl Case {
    fn of(name: &str) -> Self {
        let pod = file(name, "pod.yaml");
        let before: Value = serde_saphyr::from_str(&pod).unwrap();
        let policies = read("policy.yaml", &file(name, "policy.yaml"));
        assert_eq!(policies.errors, []);
        let set = PolicySet::new(policies.policies, &AddressesBySource::new());
        let (after, findings) = mutate(&before, &set);
        let (again, _) = mutate(&after, &set);
        assert_eq!(again, after, "a second plan made changes (A2)");
        Self {
            before,
            after,
            findings,
        }
    }

    /// Returns the findings for exactly this audience.
    fn reported_to(&self, audience: Audience) -> Vec<&str> {
        let found = self.findings.iter().filter(|finding| finding.0 == audience);
        found.map(|(_, _, sentence)| sentence.as_str()).collect()
    }

    /// Returns the findings of a rule for any audience.
    fn reported_by(&self, rule: &str) -> Vec<&str> {
        let found = self.findings.iter().filter(|finding| finding.1 == rule);
        found.map(|(_, _, sentence)| sentence.as_str()).collect()
    }

    #[track_caller]
    fn assert_reported(&self, audience: Audience, rule: &str, words: &[&str]) {
        let has_all = |sentence: &str| words.iter().all(|word| sentence.contains(word));
        let found = self
            .findings
            .iter()
            .any(|(whom, by, sentence)| *whom == audience && *by == rule && has_all(sentence));
        assert!(
            found,
            "{audience:?}, {rule}, {words:?}: {:#?}",
            self.findings
        );
    }

    #[track_caller]
    fn assert_not_reported(&self, words: &str) {
        let found = self
            .findings
            .iter()
            .find(|finding| finding.2.contains(words));
        assert_eq!(found, None);
    }

    /// Asserts that the mounts of a container and their volumes are unchanged.
    #[track_caller]
    fn assert_mounts_stay(&self, container: &str) {
        for mount in mounts(&self.before, container) {
            let path = mount["mountPath"].as_str().unwrap();
            assert_eq!(mount_at(&self.after, container, path), Some(mount));
            let name = mount["name"].as_str().unwrap();
            assert_eq!(volume(&self.after, name), volume(&self.before, name));
        }
    }

    /// Asserts that the containers share a writable emptyDir at the path, which drydock added or
    /// swapped (rules D3, D9). Returns its name.
    #[track_caller]
    fn assert_shared(&self, containers: &[&str], path: &str) -> &str {
        let name = |container: &&str| {
            let mount = mount_at(&self.after, container, path);
            let mount = mount.unwrap_or_else(|| panic!("{container} has no mount at {path}"));
            assert!(mount.get("subPath").is_none() && mount["readOnly"] != true);
            mount["name"].as_str().unwrap()
        };
        let names: Vec<&str> = containers.iter().map(name).collect();
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        let source = json!({"medium": "Memory", "sizeLimit": "1Mi"});
        assert_eq!(volume(&self.after, names[0]).unwrap()["emptyDir"], source);
        names[0]
    }

    /// Asserts that the dind container has the policy's volumes and the CA of the registry (rules
    /// V1, R1).
    #[track_caller]
    fn assert_dind_is_equipped(&self, dind: &str) {
        assert_eq!(self.source(dind, "/var/lib/docker"), "emptyDir");
        assert_eq!(self.source(dind, "/lib/modules"), "hostPath");
        let authority = "/etc/docker/certs.d/registry.corp.example";
        assert_eq!(self.source(dind, authority), "configMap");
    }

    /// Returns the source of the volume that is mounted at a path, or an empty string without a
    /// mount.
    #[track_caller]
    fn source(&self, container: &str, path: &str) -> &str {
        let Some(mount) = mount_at(&self.after, container, path) else {
            return "";
        };
        let volume = volume(&self.after, mount["name"].as_str().unwrap()).unwrap();
        let mut fields = volume.as_object().unwrap().keys();
        fields.find(|field| *field != "name").unwrap()
    }
}

fn file(case: &str, name: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    std::fs::read_to_string(format!("{root}/tests/fixtures/field/{case}/{name}")).unwrap()
}

fn mutate(pod: &Value, set: &PolicySet) -> (Value, Vec<(Audience, &'static str, String)>) {
    judge(pod, set, Mode::Enforce, |verdict| {
        let findings = verdict.findings(Audience::Explain);
        let findings = findings.map(|(it, _)| (it.audience(), it.rule(), it.to_string()));
        (patched(pod, verdict.patch.as_deref()), findings.collect())
    })
}

fn mounts<'p>(pod: &'p Value, container: &str) -> &'p [Value] {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let mut named = containers.iter().filter(|json| json["name"] == container);
    let mounts = &named.next().unwrap()["volumeMounts"];
    mounts.as_array().map_or(&[], Vec::as_slice)
}

fn mount_at<'p>(pod: &'p Value, container: &str, path: &str) -> Option<&'p Value> {
    let mut mounts = mounts(pod, container).iter();
    mounts.find(|mount| mount["mountPath"] == path)
}

fn volume<'p>(pod: &'p Value, name: &str) -> Option<&'p Value> {
    let volumes = pod["spec"]["volumes"].as_array()?;
    volumes.iter().find(|volume| volume["name"] == name)
}

/// With the command `dockerd …`, the entrypoint generates no certificates (rule D2).
#[test]
fn case_03_a_daemon_with_its_own_tls_keeps_the_clients_secret() {
    let case = Case::of("03-dockerd-direct-own-tls");
    case.assert_mounts_stay("build");
    case.assert_mounts_stay("docker");
    assert_eq!(case.source("build", "/certs/client"), "secret");
    assert_eq!(case.source("docker", "/certs/client"), "");
    case.assert_dind_is_equipped("docker");
    let notes = case.reported_by("D2");
    let reason = |note: &&str| note.contains("dockerd") && note.contains("directly");
    assert!(notes.iter().any(reason), "{notes:?}");
    assert_eq!(case.reported_to(Audience::Author), [""; 0]);
}

/// `env` starts another program, like `sh` and `tini` (rule D1).
#[test]
fn case_05_env_is_a_launcher() {
    let case = Case::of("05-env-u-docker-host");
    assert_eq!(
        case.assert_shared(&["build", "docker"], "/certs/client"),
        "ca"
    );
    case.assert_dind_is_equipped("docker");
    case.assert_not_reported("no container runs a Docker daemon");
    case.assert_reported(Audience::Author, "D7", &["\"ca\"", "/certs/client"]);
}

/// The client reads `~/.docker` by default. Any writable emptyDir can be shared (rule D3).
#[test]
fn case_07_the_volume_that_the_client_reads_at_home_is_unchanged() {
    let case = Case::of("07-client-reads-root-docker");
    case.assert_mounts_stay("build");
    case.assert_mounts_stay("docker");
    let directory = mount_at(&case.after, "build", "/certs/client").unwrap();
    assert_eq!(directory["name"], "certs");
    case.assert_dind_is_equipped("docker");
    assert_eq!(case.reported_to(Audience::Author), [""; 0]);
}

/// A mount at any ancestor can serve the directory, not only at its parent (rule D5).
#[test]
fn case_08_certificates_on_the_builds_volume_are_unchanged() {
    let case = Case::of("08-certdir-on-builds");
    for container in ["build", "helper", "docker"] {
        case.assert_mounts_stay(container);
        for path in ["/builds/certs", "/builds/certs/client", "/certs/client"] {
            assert_eq!(case.source(container, path), "", "{container} {path}");
        }
    }
    case.assert_dind_is_equipped("docker");
    assert_eq!(case.reported_to(Audience::Author), [""; 0]);
}

/// The host in `DOCKER_HOST` is not an alias of the pod (rule R2).
#[test]
fn case_09_a_missing_alias_is_reported_to_the_author() {
    let case = Case::of("09-proxy-image-no-alias");
    case.assert_reported(Audience::Author, "R2", &["alias: docker", "DOCKER_HOST"]);
    case.assert_dind_is_equipped("docker");
    let runner = json!({"ip": "127.0.0.1", "hostnames": ["harbor.corp.example-proxy-docker"]});
    assert_eq!(case.after["spec"]["hostAliases"][0], runner);
}

/// Before 19.03, TLS is off by default, so port 2375 is correct (rules D2, R2).
#[test]
fn case_10_an_image_without_tls_gets_no_advice_about_its_port() {
    let case = Case::of("10-pinned-18.09");
    assert_eq!(case.source("build", "/certs/client"), "");
    assert_eq!(case.source("docker", "/certs/client"), "");
    case.assert_dind_is_equipped("docker");
    case.assert_not_reported("2376");
    assert_eq!(case.reported_to(Audience::Author), [""; 0]);
}

/// Image layers in an emptyDir would count against the limit (rule V7).
#[test]
fn case_11_a_storage_limit_keeps_the_data_out_of_an_empty_dir() {
    let case = Case::of("11-ephemeral-storage-limits");
    assert_eq!(case.source("docker", "/var/lib/docker"), "");
    assert_eq!(case.source("docker", "/lib/modules"), "hostPath");
    case.assert_shared(&["build", "docker"], "/certs/client");
    case.assert_reported(Audience::Team, "V7", &["ephemeral-storage"]);
    assert_eq!(case.reported_to(Audience::Author), [""; 0]);
}

/// The kubelet does not write hostAliases if a volume is mounted at `/etc/hosts` (rule R2).
#[test]
fn case_12_a_mount_at_etc_hosts_is_reported_to_hide_the_aliases() {
    let case = Case::of("12-own-etc-hosts");
    let names = json!(["gitlab.corp.example", "registry.corp.example"]);
    let alias = json!([{"ip": "10.20.30.40", "hostnames": names}]);
    assert_eq!(case.after["spec"]["hostAliases"], alias);
    case.assert_mounts_stay("build");
    case.assert_mounts_stay("docker");
    case.assert_reported(Audience::Author, "R2", &["/etc/hosts", "\"build\""]);
}

/// An image with `dind` in its name or tag may contain a daemon (rule D1).
#[test]
fn case_16_an_image_of_another_name_is_reported_as_undecided() {
    let case = Case::of("16-dind-image-other-name");
    for list in ["containers", "initContainers", "volumes"] {
        assert_eq!(case.after["spec"][list], case.before["spec"][list]);
    }
    let words = ["\"svc-0\"", "dind.images", "acme/docker-buildbox"];
    case.assert_reported(Audience::Team, "D1", &words);
    case.assert_not_reported("no container runs a Docker daemon");
}

/// dockerd 20.10 writes its key to `~/.config/docker`. The container runtime would create that
/// directory as root for a mount below it (rule R1).
#[test]
fn case_23_rootless_dind_can_write_beside_the_authority() {
    let case = Case::of("23-rootless-tls-off");
    let home = "/home/rootless/.config/docker";
    let authority = format!("{home}/certs.d/registry.corp.example");
    assert_eq!(case.source("docker", home), "emptyDir");
    assert_eq!(case.source("docker", &authority), "configMap");
    let at = |path: &str| {
        let mounts = mounts(&case.after, "docker");
        mounts.iter().position(|mount| mount["mountPath"] == path)
    };
    assert!(at(home) < at(&authority));
    assert_ne!(
        mount_at(&case.after, "docker", home).unwrap()["readOnly"],
        true
    );
    let data = "/home/rootless/.local/share/docker";
    assert_eq!(case.source("docker", data), "emptyDir");
    for container in ["build", "docker"] {
        assert_eq!(case.source(container, "/certs/client"), "");
    }
}

/// An emptyDir is empty when dind starts, so dind generates all certificates (rule D6).
#[test]
fn case_24_an_empty_dir_brings_no_server_certificate() {
    let case = Case::of("24-emptydir-at-certs-server");
    let shared = case.assert_shared(&["build", "docker"], "/certs/client");
    assert_ne!(shared, "certs");
    case.assert_mounts_stay("docker");
    case.assert_not_reported("its own authority");
    assert_eq!(case.reported_by("D6"), [""; 0]);
}

/// The client calls a daemon on another machine (rule D3).
#[test]
fn case_26_the_certificates_of_a_remote_daemon_are_unchanged() {
    let case = Case::of("26-remote-daemon-global-dind");
    for container in ["build", "docker"] {
        case.assert_mounts_stay(container);
        assert_eq!(case.source(container, "/certs/client"), "secret");
    }
    case.assert_dind_is_equipped("docker");
    let notes: Vec<&str> = ["D2", "D3", "R2"]
        .iter()
        .flat_map(|rule| case.reported_by(rule))
        .collect();
    assert!(
        notes.iter().any(|note| note.contains("DOCKER_HOST")),
        "{notes:?}"
    );
    // Findings contain no values of variables (rule T4).
    case.assert_not_reported("build-farm");
    case.assert_not_reported("alias: docker");
    case.assert_not_reported("no longer");
}

/// Only dind must write to `/certs`; `build` reads a CA there (rule D7).
#[test]
fn case_30_build_keeps_the_secret_above_the_directory() {
    let case = Case::of("30-secret-at-certs-read-by-build");
    case.assert_mounts_stay("build");
    assert_eq!(case.source("build", "/certs"), "secret");
    assert_eq!(case.source("docker", "/certs"), "");
    assert_eq!(volume(&case.after, "ca"), volume(&case.before, "ca"));
    assert_ne!(
        case.assert_shared(&["build", "docker"], "/certs/client"),
        "ca"
    );
    let about = |note: &&&str| note.contains("\"ca\"");
    let notes = case.reported_to(Audience::Author);
    let notes: Vec<_> = notes.iter().filter(about).collect();
    assert!(!notes.is_empty(), "{:?}", case.findings);
    for note in notes {
        let words = note.split_whitespace();
        let mut words = words.map(|word| word.trim_end_matches([',', '.', ';', ':']));
        assert!(words.any(|word| word == "/certs"), "{note}");
        assert!(
            !note.contains("no longer mounted at /certs/client"),
            "{note}"
        );
    }
}

/// The job's script may set the variable, so nothing is reported to the author (rule R2).
#[test]
fn case_32_a_missing_docker_host_is_reported_to_the_platform_team() {
    let case = Case::of("32-no-docker-host");
    case.assert_shared(&["build", "docker"], "/certs/client");
    case.assert_reported(Audience::Team, "R2", &["DOCKER_HOST"]);
    assert_eq!(case.reported_to(Audience::Author), [""; 0]);
}

/// The policy's hostnames are added to every pod in one entry (rule H5).
#[rstest]
fn the_policys_hostnames_resolve_in_every_case(
    #[files("tests/fixtures/field/*/pod.yaml")] path: std::path::PathBuf,
) {
    let name = path.parent().unwrap().file_name().unwrap();
    let case = Case::of(name.to_str().unwrap());
    let names = json!(["gitlab.corp.example", "registry.corp.example"]);
    let entry = json!({"ip": "10.20.30.40", "hostnames": names});
    let entries = case.after["spec"]["hostAliases"].as_array().unwrap();
    let found = entries.iter().filter(|found| **found == entry);
    assert_eq!(found.count(), 1);
}
