//! A cgroup with a limit of CPU time or memory, in cgroups v1 or v2, whichever has the controller
//! on this machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cgroup. It is removed on drop, if it has no process then.
pub(crate) struct Cgroup {
    path: PathBuf,
    version: Version,
}

/// How often processes were throttled by the CPU limit.
pub(crate) struct Throttled {
    /// Number of periods in which a process ran.
    pub(crate) periods: u64,
    /// Number of these periods in which the limit was reached.
    pub(crate) throttled: u64,
}

#[derive(Clone, Copy)]
enum Version {
    V1,
    V2,
}

/// A resource and its limit.
#[derive(Clone, Copy)]
enum Resource {
    /// CPU time in each period.
    Cpu { quota: Duration, period: Duration },
    /// Memory in bytes.
    Memory(usize),
}

impl Resource {
    fn controller(self) -> &'static str {
        match self {
            Self::Cpu { .. } => "cpu",
            Self::Memory(_) => "memory",
        }
    }

    /// Returns the files of the cgroup that set the limit, and their content.
    fn limits(self, version: Version) -> Vec<(&'static str, String)> {
        match (self, version) {
            (Self::Cpu { quota, period }, Version::V1) => vec![
                ("cpu.cfs_period_us", period.as_micros().to_string()),
                ("cpu.cfs_quota_us", quota.as_micros().to_string()),
            ],
            (Self::Cpu { quota, period }, Version::V2) => vec![(
                "cpu.max",
                format!("{} {}", quota.as_micros(), period.as_micros()),
            )],
            (Self::Memory(bytes), Version::V1) => {
                vec![("memory.limit_in_bytes", bytes.to_string())]
            }
            (Self::Memory(bytes), Version::V2) => vec![("memory.max", bytes.to_string())],
        }
    }
}

impl fmt::Display for Cgroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.version {
            Version::V1 => "cgroup v1",
            Version::V2 => "cgroup v2",
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}

impl Cgroup {
    /// Creates a cgroup with a limit of CPU time in each period.
    ///
    /// # Errors
    /// If the cgroup cannot be created.
    pub(crate) fn limited(name: &str, quota: Duration, period: Duration) -> Result<Self, String> {
        Self::with(name, Resource::Cpu { quota, period })
    }

    /// Creates a cgroup with a limit of memory in bytes.
    ///
    /// # Errors
    /// If the cgroup cannot be created.
    pub(crate) fn with_memory(name: &str, bytes: usize) -> Result<Self, String> {
        Self::with(name, Resource::Memory(bytes))
    }

    fn with(name: &str, resource: Resource) -> Result<Self, String> {
        let name = format!("drydock-{}-{name}", std::process::id());
        let controller = resource.controller();
        let mut problem =
            format!("/proc/self/mounts has no cgroup hierarchy with the controller {controller}");
        for (parent, version) in places(controller) {
            match Self::make(&parent, &name, version, resource) {
                Ok(made) => return Ok(made),
                Err(error) => problem = format!("{}: {error}", parent.display()),
            }
        }
        Err(format!(
            "{problem}; run as root, in a cgroup in which child cgroups can be created"
        ))
    }

    fn make(
        parent: &Path,
        name: &str,
        version: Version,
        resource: Resource,
    ) -> std::io::Result<Self> {
        let path = parent.join(name);
        std::fs::create_dir(&path)?;
        // From here on, dropping the value removes the directory.
        let made = Self { path, version };
        for (file, content) in resource.limits(version) {
            if matches!(version, Version::V2) && !made.path.join(file).exists() {
                // Fails if the parent has processes; then the caller tries an ancestor.
                let controller = format!("+{}", resource.controller());
                std::fs::write(parent.join("cgroup.subtree_control"), controller)?;
            }
            made.write(file, &content)?;
        }
        Ok(made)
    }

    /// Returns the file to which the ID of a process is written to limit it.
    pub(crate) fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    fn write(&self, file: &str, content: &str) -> std::io::Result<()> {
        // Without `create`, so that this fails in a directory that is not a cgroup.
        let mut open = std::fs::File::options()
            .write(true)
            .open(self.path.join(file))?;
        std::io::Write::write_all(&mut open, content.as_bytes())
    }

    /// Moves a process, with all its threads, to the cgroup.
    pub(crate) fn add_process(&self, process: u32) {
        self.write("cgroup.procs", &process.to_string()).unwrap();
    }

    /// Reads how often processes were throttled.
    pub(crate) fn throttled(&self) -> Throttled {
        let stat = std::fs::read_to_string(self.path.join("cpu.stat")).unwrap();
        let count = |field: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(field));
            line.unwrap().trim().parse().unwrap()
        };
        Throttled {
            periods: count("nr_periods "),
            throttled: count("nr_throttled "),
        }
    }
}

/// Returns the cgroups in which a child can be created: first this process's own, then its
/// ancestors.
fn places(controller: &str) -> Vec<(PathBuf, Version)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (mounts, own) = (read("/proc/self/mounts"), read("/proc/self/cgroup"));
    let mut places = Vec::new();
    for mount in mounts.lines() {
        let fields: Vec<&str> = mount.split(' ').collect();
        let [_, root, kind, options, ..] = fields[..] else {
            continue;
        };
        let version = match kind {
            "cgroup" if options.split(',').any(|option| option == controller) => Version::V1,
            "cgroup2" if has(root, controller) => Version::V2,
            _ => continue,
        };
        // The lines have the form 4:cpu,cpuacct:/path; in v2, 0::/path.
        let own = own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_it = match version {
                Version::V1 => controllers.split(',').any(|name| name == controller),
                Version::V2 => controllers.is_empty(),
            };
            is_it.then_some(path)
        });
        let own = Path::new(root).join(own.unwrap_or_default().trim_start_matches('/'));
        let up = own.ancestors().filter(|place| place.starts_with(root));
        places.extend(up.map(|place| (place.to_owned(), version)));
    }
    places
}

fn has(root: &str, controller: &str) -> bool {
    let controllers = std::fs::read_to_string(format!("{root}/cgroup.controllers"));
    controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == controller))
}
