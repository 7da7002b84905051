//! A folder with files, in which the binary runs.

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A job pod with a stale hostAliases entry.
pub const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: runner-1
  namespace: ci
  labels: {job.runner.gitlab.com/pod: runner-1}
spec:
  hostAliases:
  - ip: 10.0.0.216
    hostnames: [gitlab.mylab.com]
  containers:
  - {name: build, image: alpine}
";

/// A job pod with dind and a Secret at `/certs/client`.
pub const DIND_POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: runner-2
  namespace: ci
  labels: {job.runner.gitlab.com/pod: runner-2}
spec:
  containers:
  - name: build
    image: docker:27
    volumeMounts: [{name: ca, mountPath: /certs/client, readOnly: true}]
  - name: svc-0
    image: docker:27-dind
    securityContext: {privileged: true}
    volumeMounts: [{name: ca, mountPath: /certs/client, readOnly: true}]
  volumes:
  - {name: ca, secret: {secretName: registry-ca}}
";

/// A pod that is not a job pod.
pub const OTHER_POD: &str =
    "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: []}}\n";

/// An object that is not a pod.
pub const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: web}}\n";

/// The spec of a policy with one hostname and without `dind`.
pub const ALIASES: &str = "hostAliases: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}]";

/// The spec of a policy that denies pods like [`DIND_POD`].
pub const DENY: &str = "dind: {clientCerts: {onConflict: Deny}, volumes: []}";

/// Returns a policy; `spec` is YAML in one line.
pub fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: drydock.dev/v1alpha1\nkind: JobPodPolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
}

/// A temporary folder. The binary runs in it, so that messages name its files by relative paths.
pub struct Sandbox(TempDir);

/// The result of a run. Snapshots show both streams and the exit code.
pub struct Output {
    args: String,
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

impl Sandbox {
    /// Creates a folder with a job pod, a dind pod and two policies.
    pub fn new() -> Self {
        let sandbox = Self(TempDir::new().unwrap());
        sandbox.write("pod.yaml", POD);
        sandbox.write("dind.yaml", DIND_POD);
        sandbox.write("aliases.yaml", policy("aliases", ALIASES));
        sandbox.write("deny.yaml", policy("strict", DENY));
        sandbox
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Runs the binary; spaces separate arguments.
    pub fn run(&self, args: &str) -> Output {
        self.run_with(args, "")
    }

    /// Runs the binary with a text on stdin.
    pub fn run_with(&self, args: &str, stdin: &str) -> Output {
        let output = cargo_bin_cmd!("drydock")
            .args(args.split_whitespace())
            .current_dir(self.folder())
            .env_remove("COLUMNS")
            .write_stdin(stdin)
            .output()
            .unwrap();
        Output {
            args: args.to_owned(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }

    /// Runs `drydock mutate` on a file with the policy of [`ALIASES`], and asserts that it
    /// succeeds.
    #[track_caller]
    pub fn mutate(&self, file: &str, output: &str) -> String {
        let ran = self.run(&format!("mutate -f {file} -p aliases.yaml -o {output}"));
        ran.succeeded().stdout
    }
}

impl Output {
    /// Asserts that the exit code is 0 and stderr is empty.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self}");
        self
    }

    /// Returns the JSON documents on stdout, one per line.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }
}

/// Parses JSON documents, one per line.
#[track_caller]
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            args,
            stdout,
            stderr,
            code,
        } = self;
        write!(f, "$ drydock {args}\n{stdout}")?;
        if !stderr.is_empty() {
            write!(f, "--- stderr\n{stderr}")?;
        }
        write!(f, "--- exit {code}")
    }
}
