//! Any text is read as policies, or told why not.
#![no_main]

use drydock::policy::{self, LiveAddresses, PolicySet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let file = policy::read("policy.yaml", text);
    for error in &file.errors {
        assert!(error.to_string().starts_with("policy.yaml"));
    }
    PolicySet::new(file.policies, &LiveAddresses::new());
});
