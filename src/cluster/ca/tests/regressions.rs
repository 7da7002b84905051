//! Cases that the random test has found, each for several orders of calls.

use super::Happening::{
    Away, DeleteSecret, EmptySecret, PutClock, ReplaceSecret, Restart, RestoreSecret,
};
use super::{Happening, run};

async fn holds(steps: usize, happenings: &[(usize, Happening)]) {
    for seed in 0..12 {
        run(steps, happenings, seed).await;
    }
}

/// The authority after the empty Secret has been trusted for the overlap three steps later: some
/// replicas serve a leaf of it, some of the one before.
#[tokio::test]
async fn f5_a_secret_replaced_while_replicas_change_to_a_new_authority_leaves_all_of_them_trusted()
{
    holds(20, &[(10, EmptySecret), (13, ReplaceSecret)]).await;
}

/// Its key is not in the Secret any more.
#[tokio::test]
async fn f5_a_leaf_is_renewed_by_the_authority_before_until_the_new_one_is_in_force() {
    let clock_is_late = [(0, PutClock(1, -49))];
    let out_of_sight = [(22, EmptySecret), (23, Away(12))];
    holds(50, &[&clock_is_late[..], &out_of_sight].concat()).await;
}

#[tokio::test]
async fn f5_a_leaf_that_ends_by_a_clock_put_ahead_does_not_hurry_to_a_new_authority() {
    let happenings = [
        (5, PutClock(1, -19)),
        (25, EmptySecret),
        (27, PutClock(1, 47)),
    ];
    holds(40, &happenings).await;
}

#[tokio::test]
async fn f5_a_replica_that_begins_while_an_old_secret_is_put_back_leaves_the_others_trusted() {
    let happenings = [(5, EmptySecret), (20, Restart(0)), (20, RestoreSecret(1))];
    holds(30, &happenings).await;
}

/// One that begins makes the Secret anew, by a clock that is late.
#[tokio::test]
async fn f5_an_old_secret_is_distinguished_from_one_that_was_created_since() {
    let happenings = [
        (0, PutClock(2, -50)),
        (5, EmptySecret),
        (6, Restart(2)),
        (6, DeleteSecret),
        (7, RestoreSecret(1)),
    ];
    holds(15, &happenings).await;
}

/// An old Secret brings an authority back that is about to end.
#[tokio::test]
async fn f5_an_authority_that_ends_by_a_clock_put_ahead_is_trusted_while_others_serve_of_it() {
    let happenings = [
        (11, EmptySecret),
        (12, PutClock(0, 35)),
        (142, RestoreSecret(3)),
        (145, Restart(0)),
    ];
    holds(155, &happenings).await;
}

/// One that is trusted still, and so in force at once; the API server is away when it ends.
#[tokio::test]
async fn f5_no_replica_changes_to_an_authority_that_ends_before_its_own_leaf() {
    let happenings = [(104, EmptySecret), (140, RestoreSecret(3)), (141, Away(4))];
    holds(150, &happenings).await;
}

#[tokio::test]
async fn f5_a_replica_that_begins_serves_of_the_next_authority_where_the_current_is_about_to_end() {
    let happenings = [
        (10, PutClock(0, -1)),
        (129, RestoreSecret(2)),
        (131, Away(11)),
        (131, Restart(0)),
    ];
    holds(150, &happenings).await;
}

/// The date by which an old Secret's authorities are over is as old.
#[tokio::test]
async fn f5_the_date_of_a_restored_secret_removes_no_authority_in_use() {
    let happenings = [
        (8, EmptySecret),
        (11, DeleteSecret),
        (29, RestoreSecret(2)),
        (42, Restart(2)),
        (43, RestoreSecret(1)),
    ];
    holds(50, &happenings).await;
}
