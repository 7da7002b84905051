//! Runs the real binary on free ports, until the end of the test.

use crate::cgroup::Cgroup;
use crate::client::{Client, JSON, Plain, Tls, request};
use crate::listening_addresses::listeners;
use crate::metrics::Metrics;
use crate::output_lines::{Lines, PATIENCE};
use crate::reviews::RUNNER;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Looks until something of the outside world is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ends the loops of other threads, also where the thread that has it panics.
pub(crate) struct EndOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `drydock` until it ends by itself.
#[track_caller]
pub(crate) fn run(mut command: Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = Lines::of(child.stderr.take().unwrap());
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it still ran: {}", stderr.text());
        }
        thread::sleep(Duration::from_millis(5));
    }
    stderr.wait_for("its last words", |_| false);
    (child.wait().unwrap().code(), stderr.text())
}

/// `drydock` with arguments, and none of the environment's `DRYDOCK_…` variables.
pub(crate) fn drydock(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drydock"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DRYDOCK_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Two free ports of the loopback address.
pub(crate) const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];

/// A running `drydock serve`.
pub(crate) struct Server {
    child: Child,
    stderr: Arc<Lines>,
    pub(crate) webhook: SocketAddr,
    pub(crate) ops: SocketAddr,
    client: Client,
    /// Where its files are, till it ends.
    _directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that fails must not leave a server behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts a server on the built-in policy and a certificate made in memory.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let ca = directory.path().join("ca.crt");
        let mut command = drydock(&["serve"]);
        command.args(FREE_PORTS).arg("--write-ca").arg(&ca);
        command.args(flags);
        Self::spawn(command, directory, ca)
    }

    /// Starts a server with certificate files, whose authority is in `ca`.
    pub(crate) fn start_with_certificate(
        certificate: &str,
        key: &str,
        ca: PathBuf,
        flags: &[&str],
    ) -> Self {
        let mut command = drydock(&["serve"]);
        command.args(FREE_PORTS).args(flags).args([
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
        ]);
        Self::spawn(command, TempDir::new().unwrap(), ca)
    }

    /// Starts a server that may have that many open files (`ulimit -n`).
    pub(crate) fn start_with_open_files(number: u32, flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let ca = directory.path().join("ca.crt");
        let serve = drydock(&["serve"]);
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {number} && exec \"$@\"");
        command.args(["-c", &script, "sh"]).arg(serve.get_program());
        command.args(serve.get_args()).args(FREE_PORTS).args(flags);
        command.arg("--write-ca").arg(&ca);
        for (name, value) in serve.get_envs() {
            assert_eq!(value, None);
            command.env_remove(name);
        }
        Self::spawn(command, directory, ca)
    }

    /// Starts a server in a cgroup from its first instruction on.
    pub(crate) fn start_in(cgroup: &Cgroup, flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let ca = directory.path().join("ca.crt");
        let serve = drydock(&["serve"]);
        let mut command = Command::new("sh");
        let script = format!(
            "echo $$ > '{}' && exec \"$@\"",
            cgroup.processes().display()
        );
        command.args(["-c", &script, "sh"]).arg(serve.get_program());
        command.args(serve.get_args()).args(FREE_PORTS).args(flags);
        command.arg("--write-ca").arg(&ca);
        Self::spawn(command, directory, ca)
    }

    /// Starts a command that becomes a server and trusts the authority that is then in `ca`.
    pub(crate) fn spawn(mut command: Command, directory: TempDir, ca: PathBuf) -> Self {
        let mut child = command
            // One that is killed cannot remove its files.
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = Lines::of(child.stderr.take().unwrap());
        let deadline = Instant::now() + PATIENCE;
        // With few log lines there is no banner.
        let (webhook, ops) = loop {
            if let [webhook, ops] = *listeners(child.id()) {
                break (webhook, ops);
            }
            let ended = child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let status = child.wait().unwrap();
                panic!("drydock did not start ({status}): {}", stderr.text());
            }
            thread::sleep(Duration::from_millis(2));
        };
        let client = Client::trusting(&fs::read_to_string(ca).unwrap());
        Self {
            child,
            stderr,
            webhook,
            ops,
            client,
            _directory: directory,
        }
    }

    /// Starts a command that becomes a server and says what it says to `stderr`: where it listens
    /// is the kernel's to tell.
    pub(crate) fn spawn_unheard(
        mut command: Command,
        stderr: Stdio,
        directory: TempDir,
        ca: &Path,
    ) -> Self {
        let mut child = command
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        let (webhook, ops) = loop {
            // In the order in which they were opened.
            if let [webhook, ops] = *listeners(child.id()) {
                break (webhook, ops);
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("drydock did not start: {:?}", child.wait());
            }
            thread::sleep(Duration::from_millis(5));
        };
        let server = Self {
            child,
            stderr: Lines::of(io::empty()),
            webhook,
            ops,
            client: Client::trusting(&fs::read_to_string(ca).unwrap()),
            _directory: directory,
        };
        assert_eq!(server.get("/readyz").0, 200);
        server
    }

    /// A new connection to the webhook port.
    pub(crate) fn connect(&self) -> Tls {
        self.client.connect(self.webhook).unwrap()
    }

    /// A connection on which the headers of a review have been read and its body is being waited
    /// for.
    pub(crate) fn half_a_review(&self) -> Tls {
        let mut connection = self.connect();
        let length = RUNNER.len().to_string();
        let headers = [
            JSON,
            ("Expect", "100-continue"),
            ("Content-Length", length.as_str()),
        ];
        let head = request("POST", "/mutate", &headers, b"");
        connection.send(&head).unwrap();
        // Sent when the body is asked for.
        assert_eq!(connection.answer().unwrap().status, 100);
        connection
    }

    /// A connector to the webhook port, for threads.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Trusts another authority from now on.
    pub(crate) fn trust(&mut self, ca: &str) {
        self.client = Client::trusting(ca);
    }

    /// Sends a GET to the ops port; returns status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap()
    }

    /// The same; fails if the connection is evicted.
    pub(crate) fn try_get(&self, path: &str) -> io::Result<(u16, String)> {
        let answer = Plain::connect(self.ops).and_then(|mut ops| ops.get(path))?;
        Ok((answer.status, answer.text()))
    }

    /// The metrics now, checked for form.
    pub(crate) fn metrics(&self) -> Metrics {
        self.try_metrics().unwrap()
    }

    /// The same; fails if the connection is evicted.
    pub(crate) fn try_metrics(&self) -> io::Result<Metrics> {
        let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
        let mut ops = Plain::connect(self.ops)?;
        ops.send(&request("GET", "/metrics", &accept, b""))?;
        let answer = ops.answer()?;
        assert_eq!(answer.status, 200);
        Ok(Metrics::parse(&answer.text()))
    }

    /// Waits until a sample has a value.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, sample: &str, value: f64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.metrics().value(sample);
            if now == value {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{sample} is {now} and never became {value}; drydock said:\n{}",
                self.stderr()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has said all of some words.
    #[track_caller]
    pub(crate) fn wait_for_words(&self, words: &[&str]) {
        let said = |lines: &[String]| {
            let is_said = |word: &&str| lines.iter().any(|line| line.contains(word));
            words.iter().all(is_said)
        };
        let all = self.stderr.wait_for(&format!("{words:?}"), said);
        assert!(all.is_some(), "{words:?} not in {}", self.stderr());
    }

    /// Ends it (`--drain-seconds 0` makes that quick) and returns all that it ever said.
    #[track_caller]
    pub(crate) fn last_words(mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.wait_for_end(PATIENCE).code(), Some(0));
        self.stderr.wait_for("the end", |_| false);
        self.stderr()
    }

    /// Returns the output that has been read so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The `curl` line of its banner.
    pub(crate) fn curl_line(&self) -> String {
        let is_curl = |line: &&String| line.starts_with("curl ");
        let lines = self.stderr.wait_for("the curl line", |lines| {
            lines.iter().any(|line| is_curl(&line))
        });
        let lines = lines.unwrap_or_default();
        lines.iter().find(is_curl).unwrap().clone()
    }

    /// Sends a signal as the kubelet does.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own: `kill` is not installed everywhere.
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success(), "{script}");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {within:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its resident memory now, KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that was ever resident, KiB.
    pub(crate) fn most_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = value.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse().unwrap()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}
