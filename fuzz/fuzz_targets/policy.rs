//! Parses any text as a policy file. Each error must name the file.
#![cfg_attr(fuzzing, no_main)]

#[cfg(not(fuzzing))]
mod replay;

use drydock::core::policy::{self, AddressesBySource, PolicySet};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    replay::main(target)
}

fn target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let file = policy::read("policy.yaml", text);
    for error in &file.errors {
        assert!(error.to_string().starts_with("policy.yaml"));
    }
    let _ = PolicySet::new(file.policies, &AddressesBySource::new());
}
