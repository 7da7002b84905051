//! Starts the two servers as processes, and reads their CPU time and memory from the kernel.

use crate::both::Both;
use crate::{baseline, client, cpus};
use rustls::ClientConfig;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The log format of the Deployment.
const LOG_FORMAT: &str = "json";

/// A running server. It is killed on drop.
pub(crate) struct Server {
    process: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
    /// The TLS configuration for clients, which trusts the server's CA.
    pub(crate) tls: Arc<ClientConfig>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Both<Server> {
    /// Starts both. Their files are written to the directory.
    pub(crate) fn start(directory: &Path) -> Self {
        Self {
            baseline: Server::baseline(directory),
            drydock: Server::drydock(directory, "info"),
        }
    }
}

impl Server {
    /// Starts the baseline.
    pub(crate) fn baseline(directory: &Path) -> Self {
        let ca = directory.join("baseline.crt");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(baseline::ARGUMENT).arg(&ca);
        Self::start(command, directory.join("baseline.log"), &ca)
    }

    /// Starts drydock with the sample policy. It logs to a file, and has metrics and reloads.
    pub(crate) fn drydock(directory: &Path, log_level: &str) -> Self {
        Self::drydock_with(directory, &["--log-level", log_level])
    }

    /// Starts drydock without a drain, so that it stops immediately on SIGTERM.
    pub(crate) fn drydock_without_drain(directory: &Path, flags: &[&str]) -> Self {
        let without_drain = ["--log-level", "error", "--drain-seconds", "0"];
        Self::drydock_with(directory, &[&without_drain[..], flags].concat())
    }

    fn drydock_with(directory: &Path, flags: &[&str]) -> Self {
        let ca = directory.join("drydock.crt");
        let mut command = Command::new(Self::drydock_binary());
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--ops-listen", "127.0.0.1:0"])
            .args(["--log-format", LOG_FORMAT])
            .args(flags)
            .arg("--write-ca")
            .arg(&ca);
        Self::start(command, directory.join("drydock.log"), &ca)
    }

    pub(crate) fn drydock_binary() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_drydock"))
    }

    /// Starts a server and waits until it prints its address.
    fn start(mut command: Command, log: PathBuf, ca: &Path) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        file.set_len(0).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        // A killed server does not delete its temporary files, so they are created in the
        // directory.
        command.env("TMPDIR", log.parent().unwrap());
        // Environment variables with flags of drydock must not change the measurement.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DRYDOCK_")) {
            command.env_remove(name);
        }
        let mut process = cpus::spawn(&mut command).unwrap();
        let address = loop {
            let said = std::fs::read_to_string(&log).unwrap();
            let said_whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some((_, rest)) = said_whole.split_once("https://") {
                break rest.split('/').next().unwrap().parse().unwrap();
            }
            assert!(
                process.try_wait().unwrap().is_none(),
                "the server exited: {said}"
            );
            std::thread::sleep(Duration::from_micros(100));
        };
        Self {
            process,
            log,
            address,
            tls: client::trusting(ca),
        }
    }

    /// Returns the address of the ops port, which drydock prints first.
    pub(crate) fn ops(&self) -> SocketAddr {
        let said = std::fs::read_to_string(&self.log).unwrap();
        let (_, rest) = said.split_once("http://").unwrap();
        rest.lines().next().unwrap().trim().parse().unwrap()
    }

    /// Sends SIGTERM, and returns the time until the process exits, or `patience` if it does not
    /// exit.
    pub(crate) fn terminate(&mut self, patience: Duration) -> Duration {
        let began = Instant::now();
        let script = format!("kill -TERM {}", self.id());
        Command::new("sh").args(["-c", &script]).status().unwrap();
        while self.process.try_wait().unwrap().is_none() && began.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        began.elapsed()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Truncates the log, which grows by megabytes a second at saturation.
    pub(crate) fn truncate_log(&self) {
        File::options()
            .write(true)
            .open(&self.log)
            .unwrap()
            .set_len(0)
            .unwrap();
    }

    /// Returns the CPU time of all threads of the process since its start.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        let nanoseconds = tasks.map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            text.split_whitespace()
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    pub(crate) fn resident_kib(&self) -> f64 {
        self.status_kib("VmRSS:")
    }

    /// Returns the resident memory that is mapped from files, mostly the program itself. The kernel
    /// shares these pages between processes, and can reclaim them.
    pub(crate) fn resident_of_files_kib(&self) -> f64 {
        self.status_kib("RssFile:")
    }

    /// Returns the peak of resident memory since the start, or since [`Server::reset_peak`].
    pub(crate) fn peak_kib(&self) -> f64 {
        self.status_kib("VmHWM:")
    }

    /// Resets the peak of resident memory (proc(5), clear_refs). If this fails, the peak is since
    /// the start.
    pub(crate) fn reset_peak(&self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5");
    }

    fn status_kib(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
