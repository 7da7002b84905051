//! Measures latency at rates that are common in clusters, far below the capacity of the server.

use crate::both::Both;
use crate::pace::{self, Paced};
use crate::{bodies, client};
use std::time::Duration;

/// Reviews a second, and the length of a round. At the lower rate, a p99 needs longer rounds.
const RATES: [(u32, Duration); 2] = [
    (50, Duration::from_secs(5)),
    (1_000, Duration::from_secs(3)),
];

pub(crate) fn run() {
    let extents = RATES.map(|(rate, length)| Paced::extent(rate, length));
    println!("{}: {}.\n", extents.join(", "), pace::method());
    println!("{}", pace::HEAD);
    let directory = tempfile::tempdir().unwrap();
    let servers = Both::start(directory.path());
    let request = client::request(&bodies::fixture("typical"));
    for (rate, length) in RATES {
        let paced = Paced::measure(&servers, &request, rate, length);
        println!("{}", paced.row(rate));
    }
}
