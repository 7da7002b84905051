//! Imports any input as a file. The result is policies that `drydock check` accepts, or no
//! policies, and the report never contains a token.
#![cfg_attr(fuzzing, no_main)]

#[cfg(not(fuzzing))]
mod replay;

use drydock::core::policy;
use drydock::import::{Input, ReportFormat, import};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    replay::main(target)
}

fn target(bytes: &[u8]) {
    for name in ["config.toml", "values.yaml"] {
        let outcome = import(&[Input {
            name,
            bytes,
            is_stdin: false,
        }]);
        for format in [
            ReportFormat::Text,
            ReportFormat::Markdown,
            ReportFormat::Json,
        ] {
            let report = outcome.report.render(format);
            assert!(!report.contains("EXAMPLEnotreal"), "{report}");
        }
        assert!(outcome.is_complete || outcome.policies.is_empty());
        if !outcome.policies.is_empty() {
            assert!(policy::read(name, &outcome.policies).errors.is_empty());
        }
    }
}
