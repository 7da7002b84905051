//! Measures latency with a limit of 100m CPU, which is common for webhooks. The kernel throttles a
//! process that exceeds it until the end of the period of 100 ms.

use crate::both::Both;
use crate::cgroup::{Cgroup, Throttled};
use crate::pace::{self, Paced};
use crate::target::{bound, verdict};
use crate::{bodies, client};
use std::time::Duration;

const RATE: u32 = 50;
const LENGTH: Duration = Duration::from_secs(5);
/// Maximum ratio of p50 to the baseline's p50.
const TARGET: f64 = 1.5;
const QUOTA: Duration = Duration::from_millis(10);
const PERIOD: Duration = Duration::from_millis(100);

pub(crate) fn run() {
    let limited = |name| Cgroup::limited(name, QUOTA, PERIOD);
    let (baseline, drydock) = match (limited("baseline"), limited("drydock")) {
        (Ok(baseline), Ok(drydock)) => (baseline, drydock),
        (Err(why), _) | (_, Err(why)) => {
            println!("Not measured: cannot set a CPU limit: {why}.");
            return;
        }
    };
    let groups = Both { baseline, drydock };
    let directory = tempfile::tempdir().unwrap();
    // Declared after the cgroups, so that the servers are dropped first.
    let servers = Both::start(directory.path());
    groups.baseline.add_process(servers.baseline.id());
    groups.drydock.add_process(servers.drydock.id());
    println!(
        "{} ms of CPU time in each {} ms ({}). {}: {}.\n",
        QUOTA.as_millis(),
        PERIOD.as_millis(),
        groups.baseline,
        Paced::extent(RATE, LENGTH),
        pace::method()
    );
    let request = client::request(&bodies::fixture("typical"));
    let before = groups.as_ref().map(Cgroup::throttled);
    let paced = Paced::measure(&servers, &request, RATE, LENGTH);
    let after = groups.as_ref().map(Cgroup::throttled);
    println!("{}\n{}\n", pace::HEAD, paced.row(RATE));
    let ratio = paced.ratio();
    println!(
        "p50 {ratio:.2} times the baseline's, target {}: {}. Throttled: baseline {}, drydock {}.",
        bound(Some(TARGET)),
        verdict(ratio, Some(TARGET)),
        between(&before.baseline, &after.baseline),
        between(&before.drydock, &after.drydock),
    );
}

fn between(before: &Throttled, after: &Throttled) -> String {
    format!(
        "{} of {} periods",
        after.throttled - before.throttled,
        after.periods - before.periods
    )
}
