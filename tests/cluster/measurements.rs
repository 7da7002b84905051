//! Prints figures of a test past the harness, which shows the output of failed tests only.

use std::io::Write as _;

pub(crate) fn print_figure(figure: &str) {
    let _ = writeln!(std::io::stderr(), "    {figure}");
}
