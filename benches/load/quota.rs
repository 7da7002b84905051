//! The limit that webhooks are often given: a tenth of a CPU. Who needs more is stopped for most of
//! each tenth of a second.

use crate::both::Both;
use crate::cgroup::{Cgroup, Throttled};
use crate::pace::{self, Paced};
use crate::target::{bound, verdict};
use crate::{bodies, client};
use std::time::Duration;

const RATE: u32 = 50;
const LENGTH: Duration = Duration::from_secs(5);
/// How many times the floor's p50 it may take.
const TARGET: f64 = 1.5;
const QUOTA: Duration = Duration::from_millis(10);
const PERIOD: Duration = Duration::from_millis(100);

pub(crate) fn run() {
    let limited = |name| Cgroup::limited(name, QUOTA, PERIOD);
    let (floor, drydock) = match (limited("floor"), limited("drydock")) {
        (Ok(floor), Ok(drydock)) => (floor, drydock),
        (Err(why), _) | (_, Err(why)) => {
            println!("Not measured: no CPU limit can be set here. {why}.");
            return;
        }
    };
    let groups = Both { floor, drydock };
    let directory = tempfile::tempdir().unwrap();
    // They end before their cgroups do.
    let servers = Both::start(directory.path());
    groups.floor.take(servers.floor.id());
    groups.drydock.take(servers.drydock.id());
    println!(
        "{} ms of CPU time in each {} ms ({}). {}: {}.\n",
        QUOTA.as_millis(),
        PERIOD.as_millis(),
        groups.floor,
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
        "p50 {ratio:.2} times the floor's, target {}: {}. Throttled: floor {}, drydock {}.",
        bound(Some(TARGET)),
        verdict(ratio, Some(TARGET)),
        between(&before.floor, &after.floor),
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
