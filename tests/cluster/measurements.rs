//! Prints measurements of a test directly to stderr: the harness shows output of failed tests only.

use std::io::Write as _;

pub(crate) fn print_figure(figure: &str) {
    let _ = writeln!(std::io::stderr(), "    {figure}");
}
