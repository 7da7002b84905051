//! Runs the real `drydock` binary: the server, on free ports that its log reports, and commands.

use crate::child_process::{ChildProcess, child_command};
use crate::output_lines::{Lines, TIMEOUT};
use crate::wait::{POLL_INTERVAL, eventually};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_drydock");

/// A running `drydock serve`, killed when dropped.
pub(crate) struct Drydock {
    process: ChildProcess,
    stderr: Arc<Lines>,
    pub(crate) webhook: SocketAddr,
    pub(crate) ops: SocketAddr,
    /// The directory for temporary files of the process.
    _directory: TempDir,
}

impl Drydock {
    /// Starts the server, and waits until its log has its addresses. It is not ready then.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, |_| {})
    }

    /// Starts the server with environment variables, such as `KUBECONFIG`. It does not inherit
    /// variables that drydock reads.
    #[track_caller]
    pub(crate) fn start_with(flags: &[&str], environment: impl FnOnce(&mut Command)) -> Self {
        Self::start_by(&[PROGRAM.as_ref()], flags, environment)
    }

    /// Starts the server with another program, or with a program that starts it.
    #[track_caller]
    pub(crate) fn start_by(
        program: &[&OsStr],
        flags: &[&str],
        environment: impl FnOnce(&mut Command),
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let mut command = child_command(program[0], None);
        without_settings(&mut command);
        command.args(&program[1..]).arg("serve").args(flags);
        for (flag, value) in [
            ("--listen", "127.0.0.1:0"),
            ("--ops-listen", "127.0.0.1:0"),
            ("--drain-seconds", "0"),
            ("--reload-seconds", "0.05"),
        ] {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command
            .env("TMPDIR", directory.path())
            .stderr(Stdio::piped());
        environment(&mut command);
        let mut process = ChildProcess::spawn(command);
        let stderr = Lines::of(process.stderr().unwrap());
        let address = |line: &String, scheme: &str| -> Option<SocketAddr> {
            let (_, rest) = line.split_once(scheme)?;
            let end = rest.find(['/', ' ']).unwrap_or(rest.len());
            rest[..end].trim().parse().ok()
        };
        let addresses = |lines: &[String]| {
            let of = |scheme| lines.iter().find_map(|line| address(line, scheme));
            Some((of("https://")?, of("http://")?))
        };
        let banner = stderr.wait_for("the addresses in the log", |lines| {
            addresses(lines).is_some()
        });
        let Some((webhook, ops)) = banner.and_then(|lines| addresses(&lines)) else {
            panic!("drydock did not start: {}", stderr.text());
        };
        Self {
            process,
            stderr,
            webhook,
            ops,
            _directory: directory,
        }
    }

    /// Waits until `/readyz` reports that the server is ready.
    pub(crate) async fn ready(&self) {
        let readiness = async || (self.get("/readyz"), self.stderr());
        let is_ready = |((status, _), _): &((u16, String), String)| *status == 200;
        eventually("/readyz returns 200", TIMEOUT, readiness, is_ready).await;
    }

    /// Sends a GET request to the ops port, and returns status and body.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.ops).unwrap();
        connection.set_read_timeout(Some(TIMEOUT)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: drydock\r\nConnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// Returns the value of a metric. `sample` is its name and labels, followed by a space.
    #[track_caller]
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(sample));
        let value = value.unwrap_or_else(|| panic!("no metric {sample}in {text}"));
        value.trim().parse().unwrap()
    }

    /// Returns the lines of the log that contain these words.
    pub(crate) fn lines_with(&self, words: &str) -> Vec<String> {
        let text = self.stderr();
        let lines = text.lines().filter(|line| line.contains(words));
        lines.map(ToOwned::to_owned).collect()
    }

    /// Returns the URL for a webhook configuration without a Service.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.webhook)
    }

    /// Returns the log so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Sends SIGTERM like the kubelet, and returns the exit status and the whole log.
    #[track_caller]
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = self.process.end() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "drydock still runs: {}",
                self.stderr()
            );
            thread::sleep(POLL_INTERVAL);
        };
        self.stderr.wait_for("the end of the log", |_| false);
        (status, self.stderr())
    }
}

/// Runs a command of `drydock` with `input` on stdin, and returns its stdout.
#[track_caller]
pub(crate) fn drydock(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(PROGRAM);
    without_settings(&mut command);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "drydock {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Removes the variables that drydock or a Kubernetes client reads from the environment.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["DRYDOCK_", "KUBE"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
}

/// Creates a certificate for these names, in the files ca.crt, tls.crt and tls.key of a directory.
pub(crate) fn certs(directory: &Path, names: &[&str]) {
    let mut arguments = vec!["certs", "--out", directory.to_str().unwrap()];
    arguments.extend(names.iter().flat_map(|name| ["--name", name]));
    drydock(&arguments, "");
}

/// A certificate for 127.0.0.1 from `drydock certs`. Its files are removed when it is dropped.
pub(crate) struct Certificate {
    directory: TempDir,
    /// The CA certificate as PEM.
    pub(crate) authority: String,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        // `drydock serve --cluster` requires a certificate that names the Service, too.
        certs(directory.path(), &["127.0.0.1", "drydock.drydock.svc"]);
        Self {
            authority: fs::read_to_string(directory.path().join("ca.crt")).unwrap(),
            directory,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("tls.crt")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.directory.path().join("tls.key")
    }

    /// Starts a server with this certificate and additional flags.
    #[track_caller]
    pub(crate) fn serve(&self, flags: &[&str]) -> Drydock {
        let (file, key) = (self.file(), self.key_file());
        let mut all = flags.to_vec();
        all.extend(["--tls-cert-file", file.to_str().unwrap()]);
        all.extend(["--tls-key-file", key.to_str().unwrap()]);
        Drydock::start(&all)
    }
}

/// Runs a command of `drydock` that uses an API server, and returns exit code, stdout and stderr.
pub(crate) fn run(kubeconfig: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(PROGRAM);
    without_settings(&mut command);
    let output = command
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
