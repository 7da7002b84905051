//! A child process that ends with the test process, even if that panics or gets SIGKILL.
//!
//! A shell starts the child and reads from an empty pipe. The kernel closes the pipe when the test
//! process ends, and the shell kills the child. Both have their own process group, so Ctrl-C in a
//! terminal ends only the test process directly.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// `$1` is a directory that goes with the process, or nothing; then come program and arguments.
const SCRIPT: &str = r#"
directory=$1
shift
exec 3<&0 </dev/null
"$@" 3<&- >&2 &
child=$!
{ read -r _ <&3; kill -KILL "$child"; } >/dev/null 2>&1 &
guard=$!
exec 3<&-
echo "$child"
exec >/dev/null 2>&1
wait "$child"
status=$?
if [ -n "$directory" ]; then
    wait "$guard"
    rm -rf "$directory"
else
    kill "$guard"
fi
exit $status
"#;

/// A running process, killed when dropped.
pub(crate) struct ChildProcess {
    shell: Child,
    pid: u32,
}

/// A command for [`ChildProcess::spawn`], to which arguments, environment and stderr may be given.
/// The directory is removed once the process has ended and the test process too.
pub(crate) fn child_command(program: impl AsRef<OsStr>, directory: Option<&Path>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", SCRIPT, "sh"])
        .arg(directory.unwrap_or(Path::new("")))
        .arg(program);
    command
}

impl ChildProcess {
    /// Starts a command from [`child_command`].
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut shell = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell is in PATH");
        let mut line = String::new();
        let mut stdout = BufReader::new(shell.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let pid = line.trim().parse();
        Self {
            pid: pid.expect("the shell tells the process's number"),
            shell,
        }
    }

    /// The number of the process itself, not of the shell.
    #[allow(dead_code, reason = "for the benchmark, which reads its CPU time")]
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its stderr, where that is piped.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.shell.stderr.take()
    }

    /// Sends a signal, as in `TERM`, to a process that has not been waited for.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own: `kill` is not installed everywhere.
        let script = format!("kill -{name} {}", self.pid);
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success(), "{script}");
    }

    /// How it ended; `None` while it runs. The shell adds 128 to the signal of one that was killed.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        self.shell.try_wait().unwrap()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Closes the pipe, which kills.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
