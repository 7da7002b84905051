//! The configuration of property tests, for unit tests and `tests/`.

use proptest::test_runner::{Config, RngSeed};

/// Returns a configuration with a number of cases and a fixed seed, so that a test does not fail at
/// random. The environment variables `PROPTEST_CASES` and `PROPTEST_RNG_SEED` override both.
pub(crate) fn config(count: u32) -> Config {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let environment = Config::default();
    Config {
        cases: if is_set("PROPTEST_CASES") {
            environment.cases
        } else {
            count
        },
        rng_seed: if is_set("PROPTEST_RNG_SEED") {
            environment.rng_seed
        } else {
            RngSeed::Fixed(1)
        },
        failure_persistence: None,
        ..environment
    }
}
