//! Servers and clients on CPUs of their own, so that neither takes the other's time or cache.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;

static DIVISION: OnceLock<Result<Division, String>> = OnceLock::new();

/// Who runs where.
struct Division {
    server: usize,
    clients: Vec<usize>,
}

/// Gives the first CPU to the servers and the others to this process; says so, or why not.
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
            format!("servers and clients share the CPUs, so they disturb each other: {why}")
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
        _ => Err("there is only one".to_owned()),
    }
}

/// Starts a process on the servers' CPU.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let Some(Ok(division)) = DIVISION.get() else {
        return command.spawn();
    };
    // A process begins where the thread that starts it may run.
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
