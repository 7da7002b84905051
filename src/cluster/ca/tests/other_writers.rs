//! Tests in which another client writes the bundle, or the clock of a node is wrong by months.

#![allow(clippy::panic, reason = "a test may panic")]

use super::api::World;
use super::{Authority, CA, Outcome, REPLICAS, Replica, STEP};
use crate::cluster::ca::secret::MAX_AUTHORITIES;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

fn start(count: usize) -> (Arc<Mutex<World>>, Vec<Replica>) {
    let world = Arc::new(Mutex::new(World::new(3)));
    let replicas = (0..count)
        .map(|number| Replica::start(&world, number, Arc::default()))
        .collect();
    (world, replicas)
}

/// Reconciles until nothing changes.
async fn settle(replica: &mut Replica) {
    for _ in 0..10 {
        if replica.reconciler.reconcile().await == Outcome::Unchanged {
            return;
        }
    }
    panic!("the replica writes again and again");
}

#[tokio::test]
async fn a_bundle_that_another_client_changes_is_counted_each_time_with_its_manager_logged() {
    let (world, mut replicas) = start(1);
    let replica = &mut replicas[0];
    settle(replica).await;
    assert_eq!(replica.overwritten(), 0, "drydock's first write counts");
    for changes in 1..=3 {
        world.lock().unwrap().wipe();
        settle(replica).await;
        assert_eq!(replica.overwritten(), changes);
    }
}

/// In a rotation, one replica changes the bundle, and the others observe the change.
#[tokio::test]
async fn changes_of_the_bundle_by_replicas_are_not_counted_as_foreign() {
    let (world, mut replicas) = start(REPLICAS);
    for _ in 0..3 * CA.as_secs() / STEP.as_secs() {
        world.lock().unwrap().pass(STEP);
        for _ in 0..3 {
            let reconciliations = replicas
                .iter_mut()
                .map(|replica| replica.reconciler.reconcile());
            futures::future::join_all(reconciliations).await;
        }
    }
    let authorities = world.lock().unwrap().authorities();
    assert!(authorities >= 3, "too few rotations");
    for replica in &replicas {
        assert_eq!(replica.overwritten(), 0);
    }
}

/// The procedure by which a running installation changes to certificates from files.
#[tokio::test]
async fn an_authority_that_is_added_to_the_secret_is_trusted_beside_drydocks_own_and_stays() {
    let (world, mut replicas) = start(REPLICAS);
    for replica in &mut replicas {
        settle(replica).await;
    }
    let now = world.lock().unwrap().now().wall;
    let other = Authority::make("other", now, CA * 100).unwrap();
    let certificate = other.certificate();
    world
        .lock()
        .unwrap()
        .edit_secret("previous.crt", certificate.pem());
    // Runs for twice the lifetime of a leaf.
    for step in 0..CA.as_secs() / 2 / STEP.as_secs() {
        world.lock().unwrap().pass(STEP);
        for _ in 0..2 {
            let reconciliations = replicas
                .iter_mut()
                .map(|replica| replica.reconciler.reconcile());
            futures::future::join_all(reconciliations).await;
        }
        let (_, trusted) = world.lock().unwrap().trusted();
        assert!(
            trusted.contains(certificate.name()),
            "step {step}: {trusted:?}"
        );
        let own = replicas[0].issued.borrow().clone().unwrap();
        assert!(
            trusted.contains(own.authority.certificate().name()),
            "step {step}: {trusted:?}"
        );
    }
}

#[tokio::test]
async fn a_clock_far_ahead_does_not_make_secret_and_bundle_grow_without_end() {
    let (world, mut replicas) = start(2);
    // The replica with the wrong clock serves a leaf that the API server refuses, so the world must
    // not check the leaves.
    for number in 0..2 {
        world.lock().unwrap().serve(number, None);
    }
    let days = 400;
    let clock = &replicas[1].minutes_ahead;
    clock.store(days * 24 * 60, Ordering::Relaxed);
    for step in 0..120 {
        world.lock().unwrap().pass(STEP / 100);
        for number in [1, 0] {
            replicas[number].reconciler.reconcile().await;
            let (held, trusted) = world.lock().unwrap().trusted();
            assert!(held <= MAX_AUTHORITIES, "step {step}: {held} in the Secret");
            assert!(trusted.len() <= MAX_AUTHORITIES, "step {step}: {trusted:?}");
        }
        settle(&mut replicas[0]).await;
        let own = replicas[0].issued.borrow().clone().unwrap();
        let (_, trusted) = world.lock().unwrap().trusted();
        assert!(
            trusted.contains(own.authority.certificate().name()),
            "step {step}: {own:?}, {trusted:?}"
        );
    }
    let made = world.lock().unwrap().authorities();
    assert!(made > 4 * MAX_AUTHORITIES, "only {made}");
}
