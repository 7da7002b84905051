//! How many cases the random tests try, here and in `tests/`.

use proptest::test_runner::{Config, RngSeed};

/// As many cases as fit into a normal test run, always the same ones, so that a change never stops
/// by chance; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` in the environment say otherwise.
pub(crate) fn few(count: u32) -> Config {
    let set = |name: &str| std::env::var_os(name).is_some();
    let environment = Config::default();
    Config {
        cases: if set("PROPTEST_CASES") {
            environment.cases
        } else {
            count
        },
        rng_seed: if set("PROPTEST_RNG_SEED") {
            environment.rng_seed
        } else {
            RngSeed::Fixed(1)
        },
        failure_persistence: None,
        ..environment
    }
}
