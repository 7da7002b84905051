//! Finds or builds the programs that the tests need: etcd, kube-apiserver, kubectl and helm.
//!
//! `KUBEBUILDER_ASSETS` is a directory with etcd, kube-apiserver and kubectl. `HELM` is the path of
//! helm 4; the directory may contain it instead. Missing programs are built once from the Go
//! modules in `tests/apiserver` to `apiserver` in cargo's target directory. The `go.mod` files
//! determine their versions.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The paths of the programs.
pub(crate) struct Binaries {
    pub(crate) etcd: PathBuf,
    pub(crate) kube_apiserver: PathBuf,
    pub(crate) kubectl: PathBuf,
    /// The version of Kubernetes in `go.mod`; `None` with `KUBEBUILDER_ASSETS`.
    pub(crate) version: Option<String>,
}

/// Finds the programs, or builds them.
#[track_caller]
pub(crate) fn binaries() -> &'static Binaries {
    static PROGRAMS: OnceLock<Result<Binaries, String>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| match std::env::var_os("KUBEBUILDER_ASSETS") {
        Some(folder) if !folder.is_empty() => from_directory(Path::new(&folder)),
        _ => built(),
    });
    programs
        .as_ref()
        .unwrap_or_else(|missing| panic!("{missing}"))
}

/// Returns the output of `kube-apiserver --version`, as in `Kubernetes v1.36.3`.
#[track_caller]
pub(crate) fn printed_version() -> String {
    let server = &binaries().kube_apiserver;
    let output = Command::new(server).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns whether kube-apiserver is version 1.30, the oldest that drydock supports.
#[track_caller]
pub(crate) fn is_oldest_kubernetes() -> bool {
    printed_version().starts_with("Kubernetes v1.30.")
}

/// Finds helm, or builds it.
#[track_caller]
pub(crate) fn helm() -> &'static Path {
    static HELM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let helm = HELM.get_or_init(|| match std::env::var_os("HELM") {
        Some(path) if Path::new(&path).is_file() => Ok(path.into()),
        Some(path) if !path.is_empty() => Err(format!(
            "HELM is {}, which is not a file; set it to the path of helm 4, or unset it and install Go 1.26 or later",
            path.display()
        )),
        _ => match std::env::var_os("KUBEBUILDER_ASSETS").map(|it| Path::new(&it).join("helm")) {
            Some(beside) if beside.is_file() => Ok(beside),
            _ => Ok(HELM_MODULE.build_below(&programs_directory())?.join("helm")),
        },
    });
    let helm = helm.as_deref();
    helm.unwrap_or_else(|missing| panic!("{missing}"))
}

fn from_directory(folder: &Path) -> Result<Binaries, String> {
    let part = |name: &str| {
        let path = folder.join(name);
        if path.is_file() {
            Ok(path)
        } else {
            Err(format!(
                "KUBEBUILDER_ASSETS is {}, which has no {name}; set it to a directory with etcd, kube-apiserver and kubectl, or unset it and install Go 1.26 or later",
                folder.display()
            ))
        }
    };
    Ok(Binaries {
        etcd: part("etcd")?,
        kube_apiserver: part("kube-apiserver")?,
        kubectl: part("kubectl")?,
        version: None,
    })
}

/// A Go module in `tests/apiserver` and its programs.
struct Module {
    folder: &'static str,
    /// The module in `go.mod` that determines the version of the programs.
    versioned_by: &'static str,
    /// The name and Go package of each program.
    programs: &'static [(&'static str, &'static str)],
}

/// Returns the module for the Kubernetes version that the variable `KUBERNETES` selects: `1.30`,
/// the oldest that drydock supports, or the newest if it is unset.
fn kubernetes() -> Result<Module, String> {
    let folder = match std::env::var("KUBERNETES").unwrap_or_default().as_str() {
        "" => "kubernetes",
        "1.30" => "kubernetes-1.30",
        other => {
            return Err(format!(
                "KUBERNETES is {other:?}; set it to 1.30, or unset it for the newest version"
            ));
        }
    };
    Ok(Module {
        folder,
        versioned_by: "k8s.io/kubernetes",
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ],
    })
}

const ETCD: Module = Module {
    folder: "etcd",
    versioned_by: "go.etcd.io/etcd/server/v3",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
};

const HELM_MODULE: Module = Module {
    folder: "helm",
    versioned_by: "helm.sh/helm/v4",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
};

/// Returns the directory for programs that are built.
fn programs_directory() -> PathBuf {
    // CARGO_TARGET_TMPDIR is a child of the target directory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("apiserver")
}

fn built() -> Result<Binaries, String> {
    let apiserver = programs_directory();
    let module = kubernetes()?;
    let kubernetes = module.build_below(&apiserver)?;
    let etcd = ETCD.build_below(&apiserver)?;
    Ok(Binaries {
        etcd: etcd.join("etcd"),
        kube_apiserver: kubernetes.join("kube-apiserver"),
        kubectl: kubernetes.join("kubectl"),
        version: Some(module.version()),
    })
}

impl Module {
    /// Returns the directory with `go.mod`.
    fn source(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        root.join("tests/apiserver").join(self.folder)
    }

    /// Returns the version that `go.mod` requires, as in `v1.36.3`.
    fn version(&self) -> String {
        let text = fs::read_to_string(self.source().join("go.mod")).unwrap();
        let version = text.lines().find_map(|line| {
            let mut words = line.trim_start_matches("require ").split_whitespace();
            (words.next() == Some(self.versioned_by)).then(|| words.next())?
        });
        version
            .expect("go.mod does not require the module")
            .to_owned()
    }

    /// Returns the directory with the programs, and builds them if it does not exist.
    fn build_below(&self, folder: &Path) -> Result<PathBuf, String> {
        let version = self.version();
        let finished = folder.join(format!("{}-{version}", self.folder));
        if finished.is_dir() {
            return Ok(finished);
        }
        let io = |error: std::io::Error| format!("{} cannot be used: {error}", folder.display());
        fs::create_dir_all(folder).map_err(io)?;
        // If test processes run in parallel, only one builds. Closing the file releases the lock.
        let lock = File::create(folder.join("lock")).map_err(io)?;
        lock.lock().map_err(io)?;
        if finished.is_dir() {
            return Ok(finished);
        }
        let go = self.go_version()?;
        let unfinished = folder.join("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(io)?;
        }
        let names: Vec<&str> = self.programs.iter().map(|(name, _)| *name).collect();
        let names = names.join(" and ");
        say(format!(
            "building {names} {version} with {go} to {}, once; without Go's build cache, all programs take about 12 minutes on two cores",
            finished.display()
        ));
        for (name, package) in self.programs {
            self.build(package, &unfinished.join(name), &version)?;
        }
        fs::rename(&unfinished, &finished).map_err(io)?;
        Ok(finished)
    }

    fn build(&self, package: &str, output: &Path, version: &str) -> Result<(), String> {
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap(), numbers.next().unwrap());
        // Without these the server reports v0.0.0, which misleads clients. etcd ignores them.
        let variable = "k8s.io/component-base/version";
        let flags = format!(
            "-s -w -X {variable}.gitVersion={version} -X {variable}.gitMajor={major} -X {variable}.gitMinor={minor}"
        );
        let status = self
            .go()
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &flags])
            .arg("-o")
            .args([output.as_os_str(), package.as_ref()])
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!(
                "go build of {package} {version} in {} failed ({status}); fix the error above, or {INSTEAD}",
                self.source().display()
            )),
            Err(error) => Err(go_is_missing(error)),
        }
    }

    fn go(&self) -> Command {
        let mut go = Command::new("go");
        go.current_dir(self.source())
            .env("CGO_ENABLED", "0")
            // A Go workspace above this repository does not contain these modules.
            .env("GOWORK", "off");
        go
    }

    /// Returns the version of Go, as in `go1.26.8`. An older Go may download the version that
    /// `go.mod` requires.
    fn go_version(&self) -> Result<String, String> {
        let output = self.go().args(["env", "GOVERSION"]).output();
        let output = output.map_err(go_is_missing)?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let mut numbers = version.trim_start_matches("go").split('.');
        let mut number = || numbers.next()?.parse::<u32>().ok();
        match (number(), number()) {
            (Some(major), Some(minor)) if output.status.success() && (major, minor) >= (1, 26) => {
                Ok(version)
            }
            (Some(_), Some(_)) if output.status.success() => {
                Err(go_is_missing(format!("it is {version}")))
            }
            _ => Err(go_is_missing(
                String::from_utf8_lossy(&output.stderr).trim(),
            )),
        }
    }
}

/// How to avoid the build.
const INSTEAD: &str = "set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl, and HELM to a helm 4";

fn go_is_missing(why: impl Display) -> String {
    format!(
        "these tests need kube-apiserver and helm, which are built with Go: install Go 1.26 or later from https://go.dev/dl, or {INSTEAD} (Go: {why})"
    )
}

/// Prints to the terminal; the test harness would capture `eprintln!`.
fn say(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
