//! Prints measurements directly to stderr, because the test harness shows captured output only of
//! failed tests.

use std::io::Write as _;

pub(crate) fn print_figure(figure: &str) {
    let _ = writeln!(std::io::stderr(), "    {figure}");
}
