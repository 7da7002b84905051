//! The two servers as processes, and what the kernel says of them.

use crate::both::Both;
use crate::{client, cpus, floor};
use rustls::ClientConfig;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How drydock logs in its Deployment.
const LOG_FORMAT: &str = "json";

/// A running server; ends with this value.
pub(crate) struct Server {
    process: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
    /// For clients that trust it.
    pub(crate) tls: Arc<ClientConfig>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Both<Server> {
    /// Starts both. Their files go to the directory.
    pub(crate) fn start(directory: &Path) -> Self {
        Self {
            floor: Server::floor(directory),
            drydock: Server::drydock(directory, "info"),
        }
    }
}

impl Server {
    /// Starts the server that answers a constant.
    pub(crate) fn floor(directory: &Path) -> Self {
        let ca = directory.join("floor.crt");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(floor::ARGUMENT).arg(&ca);
        Self::start(command, directory.join("floor.log"), &ca)
    }

    /// Starts drydock as it is, on the sample policy, with logging (to a file), metrics and
    /// reloads.
    pub(crate) fn drydock(directory: &Path, log_level: &str) -> Self {
        Self::drydock_with(directory, &["--log-level", log_level])
    }

    /// Starts one that does not wait for a Service to forget it.
    pub(crate) fn drydock_that_ends_at_once(directory: &Path, flags: &[&str]) -> Self {
        let ends_at_once = ["--log-level", "error", "--drain-seconds", "0"];
        Self::drydock_with(directory, &[&ends_at_once[..], flags].concat())
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

    /// Starts it and waits until it says where it listens.
    fn start(mut command: Command, log: PathBuf, ca: &Path) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        file.set_len(0).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        // Nobody tidies up after a server that is killed: what it leaves goes with the directory.
        command.env("TMPDIR", log.parent().unwrap());
        // What drydock is told by the environment elsewhere is not what is measured here.
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
            assert!(process.try_wait().unwrap().is_none(), "it ended: {said}");
            std::thread::sleep(Duration::from_micros(100));
        };
        Self {
            process,
            log,
            address,
            tls: client::trusting(ca),
        }
    }

    /// Where health is: what it said first.
    pub(crate) fn ops(&self) -> SocketAddr {
        let said = std::fs::read_to_string(&self.log).unwrap();
        let (_, rest) = said.split_once("http://").unwrap();
        rest.lines().next().unwrap().trim().parse().unwrap()
    }

    /// Sends SIGTERM and returns how long it took to end; one that has not ended by then is killed.
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

    /// Empties its log: at saturation it grows by megabytes a second.
    pub(crate) fn forget_log(&self) {
        File::options()
            .write(true)
            .open(&self.log)
            .unwrap()
            .set_len(0)
            .unwrap();
    }

    /// Returns the CPU time of all its threads so far.
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

    /// Returns its resident memory.
    pub(crate) fn resident_kib(&self) -> f64 {
        self.status_kib("VmRSS:")
    }

    /// Returns how much of that are pages of files, above all of the program itself: the kernel has
    /// them once for all processes that map them, and takes them back when it needs room.
    pub(crate) fn resident_of_files_kib(&self) -> f64 {
        self.status_kib("RssFile:")
    }

    /// Returns the most resident memory since it started, or since the last time that it was
    /// forgotten.
    pub(crate) fn peak_kib(&self) -> f64 {
        self.status_kib("VmHWM:")
    }

    /// Forgets the most resident memory (proc(5), clear_refs); where that is refused, the peak is
    /// that of all its life.
    pub(crate) fn forget_peak(&self) {
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
