//! A cgroup with a limit of CPU time or memory, in whichever version of cgroups this machine has
//! the controller.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cgroup; ends with this value, when no process is left in it.
pub(crate) struct Cgroup {
    path: PathBuf,
    version: Version,
}

/// How often the limit stopped somebody.
pub(crate) struct Throttled {
    /// Periods in which anything ran.
    pub(crate) periods: u64,
    /// Those of them in which the limit was hit.
    pub(crate) throttled: u64,
}

#[derive(Clone, Copy)]
enum Version {
    V1,
    V2,
}

/// What is limited.
#[derive(Clone, Copy)]
enum Resource {
    /// So much CPU time in each period.
    Cpu { quota: Duration, period: Duration },
    /// Bytes.
    Memory(usize),
}

impl Resource {
    fn controller(self) -> &'static str {
        match self {
            Self::Cpu { .. } => "cpu",
            Self::Memory(_) => "memory",
        }
    }

    /// Returns the files of a cgroup that limit it, and what goes into them.
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
    /// Makes one whose processes together get so much CPU time in each period.
    ///
    /// # Errors
    /// Why none can be made, as a sentence.
    pub(crate) fn limited(name: &str, quota: Duration, period: Duration) -> Result<Self, String> {
        Self::with(name, Resource::Cpu { quota, period })
    }

    /// Makes one whose processes together may have so many bytes of memory.
    ///
    /// # Errors
    /// Why none can be made, as a sentence.
    pub(crate) fn with_memory(name: &str, bytes: usize) -> Result<Self, String> {
        Self::with(name, Resource::Memory(bytes))
    }

    fn with(name: &str, resource: Resource) -> Result<Self, String> {
        let name = format!("drydock-{}-{name}", std::process::id());
        let controller = resource.controller();
        let mut problem = format!(
            "there is no cgroup hierarchy with the {controller} controller in /proc/self/mounts"
        );
        for (parent, version) in places(controller) {
            match Self::make(&parent, &name, version, resource) {
                Ok(made) => return Ok(made),
                Err(error) => problem = format!("{}: {error}", parent.display()),
            }
        }
        Err(format!(
            "{problem}; it takes root, and a cgroup that may have children"
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
        // From here on it is removed when something fails.
        let made = Self { path, version };
        for (file, content) in resource.limits(version) {
            if matches!(version, Version::V2) && !made.path.join(file).exists() {
                // Refused where the parent has processes of its own; then a place further up may
                // do.
                let controller = format!("+{}", resource.controller());
                std::fs::write(parent.join("cgroup.subtree_control"), controller)?;
            }
            made.write(file, &content)?;
        }
        Ok(made)
    }

    /// Returns the file into which the id of a process goes that is to be limited.
    pub(crate) fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    fn write(&self, file: &str, content: &str) -> std::io::Result<()> {
        // Not created: a directory that is no cgroup must not look like one.
        let mut open = std::fs::File::options()
            .write(true)
            .open(self.path.join(file))?;
        std::io::Write::write_all(&mut open, content.as_bytes())
    }

    /// Puts a process with all its threads into it.
    pub(crate) fn take(&self, process: u32) {
        self.write("cgroup.procs", &process.to_string()).unwrap();
    }

    /// Returns how often its limit stopped somebody.
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

/// Returns where one may be made: below this process's own cgroup, else further up.
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
        // Lines are 4:cpu,cpuacct:/path; the one of version 2 is 0::/path.
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
