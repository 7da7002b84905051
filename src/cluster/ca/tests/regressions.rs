//! Cases that the random test has found. Each one runs with several orders of calls.

use super::Disruption::{DeleteSecret, EmptySecret, Outage, ReplaceSecret, Restart, RestoreSecret};
use super::{Disruption, run, set_clock};

async fn holds(steps: usize, disruptions: &[(usize, Disruption)]) {
    for seed in 0..12 {
        run(steps, disruptions, seed).await;
    }
}

/// Three steps after the Secret was emptied, the new authority has been trusted for the overlap.
/// Some replicas serve a leaf of it, and others a leaf of the authority before it.
#[tokio::test]
async fn f5_a_secret_replaced_while_replicas_change_to_a_new_authority_keeps_all_of_them_trusted() {
    holds(20, &[(10, EmptySecret), (13, ReplaceSecret)]).await;
}

/// The Secret no longer contains the key of the authority that signed the leaf.
#[tokio::test]
async fn f5_a_leaf_is_renewed_by_its_authority_until_the_new_one_is_trusted_for_the_overlap() {
    let disruptions = [(0, set_clock(1, -49)), (22, EmptySecret), (23, Outage(12))];
    holds(50, &disruptions).await;
}

#[tokio::test]
async fn f5_a_leaf_that_expires_by_a_clock_set_ahead_still_waits_for_the_overlap() {
    let disruptions = [
        (5, set_clock(1, -19)),
        (25, EmptySecret),
        (27, set_clock(1, 47)),
    ];
    holds(40, &disruptions).await;
}

#[tokio::test]
async fn f5_a_replica_that_starts_while_an_old_secret_is_restored_keeps_the_others_trusted() {
    let disruptions = [(5, EmptySecret), (20, Restart(0)), (20, RestoreSecret(1))];
    holds(30, &disruptions).await;
}

/// A replica that has just started, and whose clock is behind, creates the Secret again.
#[tokio::test]
async fn f5_an_old_secret_is_distinguished_from_one_that_was_created_since() {
    let disruptions = [
        (0, set_clock(2, -50)),
        (5, EmptySecret),
        (6, Restart(2)),
        (6, DeleteSecret),
        (7, RestoreSecret(1)),
    ];
    holds(15, &disruptions).await;
}

/// The restored Secret contains an authority that is about to expire.
#[tokio::test]
async fn f5_an_authority_that_expires_by_a_clock_set_ahead_is_trusted_while_its_leaves_are_used() {
    let disruptions = [
        (11, EmptySecret),
        (12, set_clock(0, 35)),
        (142, RestoreSecret(3)),
        (145, Restart(0)),
    ];
    holds(155, &disruptions).await;
}

/// The restored authority is still trusted, so it could sign at once. It expires during an outage
/// of the API server.
#[tokio::test]
async fn f5_no_replica_changes_to_an_authority_that_expires_before_its_own_leaf() {
    let disruptions = [
        (104, EmptySecret),
        (140, RestoreSecret(3)),
        (141, Outage(4)),
    ];
    holds(150, &disruptions).await;
}

#[tokio::test]
async fn f5_the_first_leaf_is_of_the_next_authority_if_the_current_one_is_about_to_expire() {
    let disruptions = [
        (10, set_clock(0, -1)),
        (129, RestoreSecret(2)),
        (131, Outage(11)),
        (131, Restart(0)),
    ];
    holds(150, &disruptions).await;
}

/// The `previous-until` of a restored Secret is as old as the Secret.
#[tokio::test]
async fn f5_the_date_of_a_restored_secret_removes_no_authority_in_use() {
    let disruptions = [
        (8, EmptySecret),
        (11, DeleteSecret),
        (29, RestoreSecret(2)),
        (42, Restart(2)),
        (43, RestoreSecret(1)),
    ];
    holds(50, &disruptions).await;
}
