//! A child process that ends with the test process, even if the latter panics or is killed.
//!
//! A shell starts the child and reads from a pipe. The kernel closes the pipe when the test process
//! ends, and then the shell kills the child. Shell and child have a separate process group, so that
//! Ctrl-C in a terminal signals only the test process.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// `$1` is a directory to remove when the process has ended, or empty. The program and its
/// arguments follow.
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

/// Returns a command for [`ChildProcess::spawn`], to which the caller can add arguments,
/// environment and stderr. The directory is removed after the process and the test process have
/// ended.
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
            .expect("sh is not in PATH");
        let mut line = String::new();
        let mut stdout = BufReader::new(shell.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let pid = line.trim().parse();
        Self {
            pid: pid.expect("the shell did not print the process ID"),
            shell,
        }
    }

    /// Returns the process ID of the child, not of the shell.
    #[allow(dead_code, reason = "the benchmark uses it to read CPU time")]
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Takes the stderr of the child, if it is piped.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.shell.stderr.take()
    }

    /// Sends a signal, such as `TERM`, to the child, which must not have been waited for.
    pub(crate) fn signal(&self, name: &str) {
        // Uses the shell's built-in `kill`, because not every system has the program.
        let script = format!("kill -{name} {}", self.pid);
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success(), "{script}");
    }

    /// Returns the exit status, or `None` while the child runs. If a signal killed it, the status
    /// is 128 plus the signal number.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        self.shell.try_wait().unwrap()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Closes the pipe, so that the shell kills the child.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
