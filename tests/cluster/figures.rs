//! What a test measured, for people. It is said past the test harness, which shows what it captures of failed tests only.

use std::io::Write as _;

pub(crate) fn say(figure: &str) {
    let _ = writeln!(std::io::stderr(), "    {figure}");
}
