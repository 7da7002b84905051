//! Runs the real binary on free ports.

use crate::cgroup::Cgroup;
use crate::client::{Client, JSON, Plain, Tls, request};
use crate::listening_addresses::listeners;
use crate::metrics::Metrics;
use crate::output_lines::{Lines, TIMEOUT};
use crate::reviews::RUNNER;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Polls until a condition is true.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Stops the loops of other threads when dropped, even if the current thread panics.
pub(crate) struct EndOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `drydock` until it exits. Returns the exit code and stderr.
#[track_caller]
pub(crate) fn run(mut command: Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = Lines::of(child.stderr.take().unwrap());
    let deadline = Instant::now() + TIMEOUT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("drydock did not exit: {}", stderr.text());
        }
        thread::sleep(Duration::from_millis(5));
    }
    stderr.wait_for("the end of stderr", |_| false);
    (child.wait().unwrap().code(), stderr.text())
}

/// Returns a command for `drydock`, without the `DRYDOCK_…` variables of the environment.
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

/// Flags for two free ports of the loopback address.
pub(crate) const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];

/// A running `drydock serve`.
pub(crate) struct Server {
    child: Child,
    stderr: Arc<Lines>,
    pub(crate) webhook: SocketAddr,
    pub(crate) ops: SocketAddr,
    client: Client,
    /// The directory for temporary files of the server.
    _directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test must not leave a server running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts a server with the built-in policy and a certificate in memory.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let ca = directory.path().join("ca.crt");
        let mut command = drydock(&["serve"]);
        command.args(FREE_PORTS).arg("--write-ca").arg(&ca);
        command.args(flags);
        Self::spawn(command, directory, &ca)
    }

    /// Starts a server with certificate files, whose CA is in the file `ca`.
    pub(crate) fn start_with_certificate(
        certificate: &str,
        key: &str,
        ca: &Path,
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

    /// Starts a server with a limit of open files (`ulimit -n`).
    pub(crate) fn start_with_open_files(number: u32, flags: &[&str]) -> Self {
        Self::start_in_shell(&format!("ulimit -n {number}"), flags)
    }

    /// Starts a server in a cgroup.
    pub(crate) fn start_in(cgroup: &Cgroup, flags: &[&str]) -> Self {
        let enter = format!("echo $$ > '{}'", cgroup.processes().display());
        Self::start_in_shell(&enter, flags)
    }

    /// Starts a server from a shell that first runs a command.
    fn start_in_shell(first: &str, flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let ca = directory.path().join("ca.crt");
        let serve = drydock(&["serve"]);
        let mut command = Command::new("sh");
        let script = format!("{first} && exec \"$@\"");
        command.args(["-c", &script, "sh"]).arg(serve.get_program());
        command.args(serve.get_args()).args(FREE_PORTS).args(flags);
        command.arg("--write-ca").arg(&ca);
        for (name, value) in serve.get_envs() {
            assert_eq!(value, None);
            command.env_remove(name);
        }
        Self::spawn(command, directory, &ca)
    }

    /// Starts a command that becomes a server, and trusts the CA that it writes to `ca`.
    pub(crate) fn spawn(command: Command, directory: TempDir, ca: &Path) -> Self {
        Self::spawn_with_stderr(command, Stdio::piped(), directory, ca)
    }

    /// Starts a command that becomes a server. The test does not read its stderr unless it is
    /// piped.
    pub(crate) fn spawn_with_stderr(
        mut command: Command,
        stderr: Stdio,
        directory: TempDir,
        ca: &Path,
    ) -> Self {
        let mut child = command
            // A server that is killed does not delete its temporary files.
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let stderr = match child.stderr.take() {
            Some(stderr) => Lines::of(stderr),
            None => Lines::of(io::empty()),
        };
        let deadline = Instant::now() + TIMEOUT;
        // There may be no banner, so the addresses are read from /proc. The sockets are listed in
        // the order in which they were opened.
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

    /// Opens a connection to the webhook port.
    pub(crate) fn connect(&self) -> Tls {
        self.client.connect(self.webhook).unwrap()
    }

    /// Opens a connection on which the server has read the headers of a review and waits for the
    /// body.
    pub(crate) fn incomplete_review(&self) -> Tls {
        let mut connection = self.connect();
        let length = RUNNER.len().to_string();
        let headers = [
            JSON,
            ("Expect", "100-continue"),
            ("Content-Length", length.as_str()),
        ];
        let head = request("POST", "/mutate", &headers, b"");
        connection.send(&head).unwrap();
        // The server sends "100 Continue" when it starts to read the body.
        assert_eq!(connection.answer().unwrap().status, 100);
        connection
    }

    /// Returns a client for the webhook port, which threads can use.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Trusts another CA in new connections.
    pub(crate) fn trust(&mut self, ca: &str) {
        self.client = Client::trusting(ca);
    }

    /// Sends a GET request to the ops port, and returns status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap()
    }

    /// Sends a GET request to the ops port. Fails if the connection is evicted.
    pub(crate) fn try_get(&self, path: &str) -> io::Result<(u16, String)> {
        let answer = Plain::connect(self.ops).and_then(|mut ops| ops.get(path))?;
        Ok((answer.status, answer.text()))
    }

    /// Returns the metrics, whose form is checked.
    pub(crate) fn metrics(&self) -> Metrics {
        self.try_metrics().unwrap()
    }

    /// Returns the metrics, or fails if the connection is evicted.
    pub(crate) fn try_metrics(&self) -> io::Result<Metrics> {
        let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
        let mut ops = Plain::connect(self.ops)?;
        ops.send(&request("GET", "/metrics", &accept, b""))?;
        let answer = ops.answer()?;
        assert_eq!(answer.status, 200);
        Ok(Metrics::parse(&answer.text()))
    }

    /// Waits until a metric has a value.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, sample: &str, value: f64) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let now = self.metrics().value(sample);
            if now == value {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{sample} is {now}, not {value}; log of drydock:\n{}",
                self.stderr()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the log contains all of these words.
    #[track_caller]
    pub(crate) fn wait_for_words(&self, words: &[&str]) {
        let has_all = |lines: &[String]| {
            let is_logged = |word: &&str| lines.iter().any(|line| line.contains(word));
            words.iter().all(is_logged)
        };
        let all = self.stderr.wait_for(&format!("{words:?}"), has_all);
        assert!(all.is_some(), "{words:?} not in {}", self.stderr());
    }

    /// Stops the server, which is fast with `--drain-seconds 0`, and returns the whole log.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.wait_for_end(TIMEOUT).code(), Some(0));
        self.stderr.wait_for("the end of stderr", |_| false);
        self.stderr()
    }

    /// Returns the log so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Returns the `curl` command in the banner.
    pub(crate) fn curl_line(&self) -> String {
        let is_curl = |line: &&String| line.starts_with("curl ");
        let lines = self.stderr.wait_for("the curl line", |lines| {
            lines.iter().any(|line| is_curl(&line))
        });
        let lines = lines.unwrap_or_default();
        lines.iter().find(is_curl).unwrap().clone()
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        // Uses the shell's built-in `kill`, because not every system has the program.
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success(), "{script}");
    }

    /// Waits until the server exits.
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

    /// Returns the resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Returns the peak resident memory in KiB.
    pub(crate) fn most_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = value.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse().unwrap()
    }

    /// Returns whether the server still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}
