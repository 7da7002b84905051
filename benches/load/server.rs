//! The two servers as processes, and what the kernel says of them.

use crate::floor;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; ends with this value.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) ca: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts the server that answers a constant.
    pub(crate) fn floor(directory: &Path) -> Self {
        let ca = directory.join("floor.crt");
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(floor::ARGUMENT)
            .arg(&ca)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            process,
            address: line.trim().parse().unwrap(),
            ca,
        }
    }

    /// Starts drydock as it is, with logging (to a file), metrics and reloads.
    pub(crate) fn drydock(directory: &Path) -> Self {
        let (ca, log) = (directory.join("drydock.crt"), directory.join("drydock.log"));
        let process = Command::new(env!("CARGO_BIN_EXE_drydock"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--ops-listen",
                "127.0.0.1:0",
                "--write-ca",
            ])
            .arg(&ca)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let address = loop {
            let said = std::fs::read_to_string(&log).unwrap();
            if let Some((_, rest)) = said.split_once("AdmissionReviews at https://") {
                break rest.split('/').next().unwrap().parse().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Self {
            process,
            address,
            ca,
        }
    }

    /// Returns the CPU time of all its threads so far.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
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
    pub(crate) fn resident_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
