//! Runs the real `drydock`: the server, on free ports that it reports, and commands.

use crate::child_process::{ChildProcess, child_command};
use crate::output_lines::{Lines, PATIENCE};
use crate::wait::{A_MOMENT, eventually};
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
    /// Its temporary files.
    _directory: TempDir,
}

impl Drydock {
    /// Starts it and waits until it says where it listens, which is before it is ready.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, |_| {})
    }

    /// The same with variables, as in `KUBECONFIG`; it inherits none that drydock reads.
    #[track_caller]
    pub(crate) fn start_with(flags: &[&str], environment: impl FnOnce(&mut Command)) -> Self {
        Self::start_by(&[PROGRAM.as_ref()], flags, environment)
    }

    /// The same by another program, or by one that starts it.
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
        let said = stderr.wait_for("where it listens", |lines| addresses(lines).is_some());
        let Some((webhook, ops)) = said.and_then(|lines| addresses(&lines)) else {
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

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        let readiness = async || (self.get("/readyz"), self.stderr());
        let is_ready = |((status, _), _): &((u16, String), String)| *status == 200;
        eventually("/readyz answers 200", PATIENCE, readiness, is_ready).await;
    }

    /// Sends a GET to the ops port; returns status and body.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.ops).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: drydock\r\nConnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// The value of a sample, whose name and labels end with a space.
    #[track_caller]
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(sample));
        let value = value.unwrap_or_else(|| panic!("no {sample}in {text}"));
        value.trim().parse().unwrap()
    }

    /// The lines that it has logged with these words.
    pub(crate) fn lines_with(&self, words: &str) -> Vec<String> {
        let text = self.stderr();
        let lines = text.lines().filter(|line| line.contains(words));
        lines.map(ToOwned::to_owned).collect()
    }

    /// The address at which the API server finds it where it has no Service.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.webhook)
    }

    /// Returns the output so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends a signal, as in `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Ends it as the kubelet does, and returns how it ended and all that it ever said.
    #[track_caller]
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.process.end() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it still runs: {}",
                self.stderr()
            );
            thread::sleep(A_MOMENT);
        };
        self.stderr.wait_for("its last words", |_| false);
        (status, self.stderr())
    }
}

/// Runs `drydock` until it ends and returns its output; `input` is its stdin.
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

/// Removes variables for drydock and for clusters from the environment.
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

/// Makes a certificate for names: ca.crt, tls.crt and tls.key in a directory.
pub(crate) fn certs(directory: &Path, names: &[&str]) {
    let mut arguments = vec!["certs", "--out", directory.to_str().unwrap()];
    arguments.extend(names.iter().flat_map(|name| ["--name", name]));
    drydock(&arguments, "");
}

/// A certificate for 127.0.0.1, made by `drydock certs`, in files that go with it.
pub(crate) struct Certificate {
    directory: TempDir,
    /// The authority, PEM.
    pub(crate) authority: String,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        // With a cluster, the certificate must also name the Service.
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

    /// A server that has it, with further flags.
    #[track_caller]
    pub(crate) fn serve(&self, flags: &[&str]) -> Drydock {
        let (file, key) = (self.file(), self.key_file());
        let mut all = flags.to_vec();
        all.extend(["--tls-cert-file", file.to_str().unwrap()]);
        all.extend(["--tls-key-file", key.to_str().unwrap()]);
        Drydock::start(&all)
    }
}

/// Runs a command of `drydock` that asks an API server; returns code, stdout and stderr.
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
