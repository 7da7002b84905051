//! Describes the machine, the versions and the date of a measurement.

use crate::cpus;
use std::process::Command;

/// Prints the description as a table.
pub(crate) fn describe() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    // Must be read before `cpus::divide` limits this process to the CPUs of clients.
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let load: String = read("/proc/loadavg").chars().take(4).collect();
    let rows = [
        ("date", jiff::Timestamp::now().strftime("%F").to_string()),
        ("CPU", format!("{cores} × {model}")),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        ("rustc", output_of(&rustc, &["--version"])),
        (
            "drydock",
            format!("{}{}", env!("CARGO_PKG_VERSION"), commit()),
        ),
        ("profile", profile()),
        ("pinned", cpus::divide()),
        (
            "load before",
            format!("{load} (of the last minute; 0 on an idle machine)"),
        ),
    ];
    println!("| | |\n|---|---|");
    for (what, is) in rows {
        println!("| {what} | {is} |");
    }
}

fn commit() -> String {
    match output_of("git", &["describe", "--always", "--dirty"]) {
        commit if commit.is_empty() => commit,
        commit => format!(" ({commit})"),
    }
}

/// Lists the environment variables that change the build profile.
fn profile() -> String {
    let changes: Vec<String> = std::env::vars()
        .filter(|(name, _)| name.starts_with("CARGO_PROFILE_") || name.ends_with("RUSTFLAGS"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if changes.is_empty() {
        "as in Cargo.toml".to_owned()
    } else {
        format!("NOT as in Cargo.toml: {}", changes.join(" "))
    }
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
