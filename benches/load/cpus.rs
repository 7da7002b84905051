//! Assigns different CPUs to servers and clients, so that they do not share CPU time and caches.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;

static DIVISION: OnceLock<Result<Division, String>> = OnceLock::new();

/// The CPUs of servers and clients.
struct Division {
    server: usize,
    clients: Vec<usize>,
}

/// Assigns the first CPU to the servers and the others to this process. Returns a description.
pub(crate) fn divide() -> String {
    match DIVISION.get_or_init(make) {
        Ok(Division { server, clients }) => {
            let clients: Vec<String> = clients.iter().map(ToString::to_string).collect();
            format!(
                "the server that is measured on CPU {server}, clients on CPU {}",
                clients.join(", ")
            )
        }
        Err(why) => {
            format!("servers and clients share the CPUs, so they affect each other: {why}")
        }
    }
}

fn make() -> Result<Division, String> {
    let allowed = sched_getaffinity(None)
        .map_err(|error| format!("sched_getaffinity was refused ({error})"))?;
    let mut allowed = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let (server, clients) = (allowed.next(), allowed.collect::<Vec<_>>());
    match server {
        Some(server) if !clients.is_empty() => {
            run_on(&clients).map_err(|error| format!("sched_setaffinity was refused ({error})"))?;
            Ok(Division { server, clients })
        }
        _ => Err("there is only one CPU".to_owned()),
    }
}

/// Starts a process on the CPU of the servers.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let Some(Ok(division)) = DIVISION.get() else {
        return command.spawn();
    };
    // A process inherits the CPU affinity of the thread that starts it.
    run_on(&[division.server])?;
    let child = command.spawn();
    run_on(&division.clients)?;
    child
}

fn run_on(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    Ok(sched_setaffinity(None, &set)?)
}
