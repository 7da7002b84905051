//! A cgroup with a limit of CPU time, in whichever version of cgroups this machine has the CPU controller.

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

impl Version {
    /// Returns the file that every cgroup has whose CPU time can be limited.
    fn limit_file(self) -> &'static str {
        match self {
            Self::V1 => "cpu.cfs_quota_us",
            Self::V2 => "cpu.max",
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
        let name = format!("drydock-load-{}-{name}", std::process::id());
        let places = places();
        let mut problem =
            "there is no cgroup hierarchy with the CPU controller in /proc/self/mounts".to_owned();
        for (parent, version) in places {
            match Self::make(&parent, &name, version, quota, period) {
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
        quota: Duration,
        period: Duration,
    ) -> std::io::Result<Self> {
        let path = parent.join(name);
        std::fs::create_dir(&path)?;
        // From here on it is removed when something fails.
        let made = Self { path, version };
        if matches!(version, Version::V2) && !made.path.join(version.limit_file()).exists() {
            // Refused where the parent has processes of its own; then a place further up may do.
            std::fs::write(parent.join("cgroup.subtree_control"), "+cpu")?;
        }
        let (quota, period) = (quota.as_micros(), period.as_micros());
        match version {
            Version::V1 => {
                made.write("cpu.cfs_period_us", &period.to_string())?;
                made.write(version.limit_file(), &quota.to_string())?;
            }
            Version::V2 => made.write(version.limit_file(), &format!("{quota} {period}"))?,
        }
        Ok(made)
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
fn places() -> Vec<(PathBuf, Version)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (mounts, own) = (read("/proc/self/mounts"), read("/proc/self/cgroup"));
    let mut places = Vec::new();
    for mount in mounts.lines() {
        let fields: Vec<&str> = mount.split(' ').collect();
        let [_, root, kind, options, ..] = fields[..] else {
            continue;
        };
        let version = match kind {
            "cgroup" if options.split(',').any(|option| option == "cpu") => Version::V1,
            "cgroup2" if has_cpu(root) => Version::V2,
            _ => continue,
        };
        // Lines are 4:cpu,cpuacct:/path; the one of version 2 is 0::/path.
        let own = own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_it = match version {
                Version::V1 => controllers.split(',').any(|name| name == "cpu"),
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

fn has_cpu(root: &str) -> bool {
    let controllers = std::fs::read_to_string(format!("{root}/cgroup.controllers"));
    controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "cpu"))
}
