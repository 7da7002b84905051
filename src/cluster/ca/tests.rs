//! Replicas over days at an API server in memory, which answers their calls in any order, while
//! objects are deleted, replaced, restored and wiped, replicas restart, clocks are wrong, and the
//! API server is away. At every moment each served leaf is good, and the `caBundle` trusts it.

mod api;
mod backoff;
mod other_writers;
mod regressions;

use super::reconcile::{Outcome, Reconciler};
use super::{Lifetimes, Settings};
use crate::cluster::client::timed;
use crate::cluster::clock::{Clock, Now};
use crate::names::{CA_SECRET, NAME};
use crate::pki::authority::Authority;
use crate::pki::leaf::Leaf;
use crate::telemetry::metrics::Metrics;
use crate::testing::cases;
use api::World;
use jiff::SignedDuration;
use proptest::prelude::*;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

const MINUTE: Duration = Duration::from_secs(60);
/// The time between two reconciliations without a change.
const STEP: Duration = Duration::from_secs(5 * 60);
/// A reconciliation that has lost to another is repeated at once.
const RECONCILIATIONS_A_STEP: usize = 4;
const CA: Duration = Duration::from_secs(12 * 60 * 60);
const LEAF: Duration = Duration::from_secs(3 * 60 * 60);
const OVERLAP: Duration = Duration::from_secs(15 * 60);

/// An event between two reconciliations.
#[derive(Clone, Debug)]
enum Happening {
    DeleteSecret,
    EmptySecret,
    ReplaceSecret,
    /// What it held so many changes ago.
    RestoreSecret(usize),
    WipeBundles,
    Restart(usize),
    /// The API server is away for some steps.
    Away(u32),
    /// A clock is wrong by so many minutes from now on; within the hour that certificates forgive.
    PutClock(usize, i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let replica = 0..REPLICAS;
    prop_oneof![
        Just(Happening::DeleteSecret),
        Just(Happening::EmptySecret),
        Just(Happening::ReplaceSecret),
        (1..4_usize).prop_map(Happening::RestoreSecret),
        Just(Happening::WipeBundles),
        replica.clone().prop_map(Happening::Restart),
        (1..12_u32).prop_map(Happening::Away),
        (replica, -50..50_i64).prop_map(|(replica, by)| Happening::PutClock(replica, by)),
    ]
}

const REPLICAS: usize = 3;

struct Replica {
    reconciler: Reconciler,
    issued: watch::Receiver<Option<Leaf>>,
    clock: Arc<AtomicI64>,
    metrics: Arc<Metrics>,
}

impl Replica {
    fn start(world: &Arc<Mutex<World>>, number: usize, clock: Arc<AtomicI64>) -> Self {
        let (sender, issued) = watch::channel(None);
        let metrics = Arc::new(Metrics::new());
        let (at, wrong_by) = (world.clone(), clock.clone());
        let settings = Settings {
            namespace: "drydock".to_owned(),
            secret: CA_SECRET.to_owned(),
            configuration: NAME.to_owned(),
            service: "drydock".to_owned(),
            names: Vec::new(),
            replica: format!("replica-{number}"),
            lifetimes: Lifetimes::new(CA, LEAF, OVERLAP).unwrap(),
            interval: STEP,
            clock: Clock::new(
                move || {
                    let mut now = at.lock().unwrap().now();
                    now.wall += SignedDuration::from_mins(wrong_by.load(Ordering::Relaxed));
                    now
                },
                metrics.clone(),
            ),
        };
        world.lock().unwrap().serve(number, Some(issued.clone()));
        Self {
            reconciler: Reconciler::new(
                timed(api::client(world.clone()), &settings.clock),
                settings,
                metrics.clone(),
                sender,
            ),
            issued,
            clock,
            metrics,
        }
    }

    /// How often it has restored a bundle that another client had changed.
    fn overwritten(&self) -> u32 {
        let sample = "drydock_certificate_events_total{event=\"bundle-overwritten\"} ";
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(sample));
        line.unwrap().parse().unwrap()
    }
}

/// What a replica served before, to see it change.
fn served(replicas: &[Replica]) -> Vec<Option<Leaf>> {
    let all = replicas.iter();
    all.map(|replica| replica.issued.borrow().clone()).collect()
}

fn happen(world: &Arc<Mutex<World>>, replicas: &mut [Replica], what: &Happening) {
    let now = world.lock().unwrap().now().wall;
    match *what {
        Happening::DeleteSecret => world.lock().unwrap().set_secret(None),
        Happening::EmptySecret => world.lock().unwrap().set_secret(Some(&[])),
        Happening::ReplaceSecret => {
            let other = Authority::make("other", now, CA * 2).unwrap();
            let (certificate, key) = (other.certificate().pem(), other.key_pem());
            let fields = [("ca.crt", certificate), ("ca.key", &key)];
            world.lock().unwrap().set_secret(Some(&fields));
        }
        Happening::RestoreSecret(changes) => world.lock().unwrap().restore_secret(changes),
        Happening::WipeBundles => world.lock().unwrap().wipe(),
        Happening::Restart(number) => {
            let clock = replicas[number].clock.clone();
            replicas[number] = Replica::start(world, number, clock);
        }
        Happening::Away(steps) => world.lock().unwrap().go_away(STEP * steps),
        Happening::PutClock(number, by) => replicas[number].clock.store(by, Ordering::Relaxed),
    }
}

/// Runs so many steps, with something happening at some of them.
async fn run(steps: usize, happenings: &[(usize, Happening)], seed: u64) {
    let world = Arc::new(Mutex::new(World::new(seed)));
    let mut replicas: Vec<Replica> = (0..REPLICAS)
        .map(|number| Replica::start(&world, number, Arc::default()))
        .collect();
    for step in 0..steps {
        world.lock().unwrap().pass(STEP);
        for (_, what) in happenings.iter().filter(|(at, _)| *at == step) {
            happen(&world, &mut replicas, what);
        }
        for _ in 0..RECONCILIATIONS_A_STEP {
            let before = served(&replicas);
            let outcomes = replicas
                .iter_mut()
                .map(|replica| replica.reconciler.reconcile());
            let outcomes = futures::future::join_all(outcomes).await;
            for (before, now) in before.iter().zip(served(&replicas)) {
                let world = world.lock().unwrap();
                world.check_change(before.as_ref(), now.as_ref());
            }
            if outcomes
                .iter()
                .all(|outcome| *outcome == Outcome::Unchanged)
            {
                break;
            }
        }
        world.lock().unwrap().check(step);
    }
    let world = world.lock().unwrap();
    let rotations = steps as u64 * STEP.as_secs() / CA.as_secs();
    assert!(world.authorities() as u64 >= rotations, "it has rotated");
}

#[tokio::test]
async fn f5_over_days_every_leaf_in_use_is_good_and_trusted() {
    run(12 * 24 * 4, &[], 1).await;
}

/// A new replica that is quicker than the others must not take their authority from the `caBundle`.
#[tokio::test]
async fn f5_a_replica_that_begins_while_the_secret_is_replaced_leaves_the_others_trusted() {
    for seed in 0..20 {
        let at_once = [
            (10, Happening::Restart(0)),
            (10, Happening::ReplaceSecret),
            (20, Happening::Restart(1)),
            (20, Happening::EmptySecret),
        ];
        run(30, &at_once, seed).await;
    }
}

/// More cases: `PROPTEST_CASES=10000 PROPTEST_RNG_SEED=7 cargo test --lib f5_whatever`, which takes
/// an hour. Add the cases that it finds to `tests/regressions.rs`.
fn config() -> ProptestConfig {
    cases::config(32)
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn f5_whatever_happens_every_leaf_in_use_is_good_and_trusted(
        happenings in proptest::collection::vec((10..150_usize, happening()), 0..12),
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(12 * 14, &happenings, seed));
    }
}
