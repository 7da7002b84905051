use super::*;
use crate::server::Limits;
use futures::FutureExt as _;
use tokio::sync::watch;

fn guard(limits: Limits) -> Guard {
    let (policies, certificate) = (watch::channel(None).1, watch::channel(None).1);
    let metrics = Arc::new(Metrics::new());
    Guard::new(&State::new(
        policies,
        certificate,
        metrics,
        "drydock",
        limits,
    ))
}

fn with_connections(connections: usize) -> Guard {
    guard(Limits {
        connections,
        ..Limits::default()
    })
}

/// A connection that has waited for that long.
fn waiting(guard: &Guard, phase: Phase, seconds: u64) -> Arc<Connection> {
    let connection = guard.admit().expect("there is room");
    let mut progress = locked(&connection.progress);
    progress.phase = phase;
    progress.since = Instant::now() - Duration::from_secs(seconds);
    drop(progress);
    connection
}

#[test]
fn the_connection_that_has_used_up_most_of_its_time_makes_room() {
    let guard = with_connections(4);
    let idle = waiting(&guard, Phase::Idle, 14);
    let begun = waiting(&guard, Phase::Handshake, 0);
    let drips = waiting(&guard, Phase::Body, 1);
    let stuck = waiting(&guard, Phase::Header, 4);
    for (goes, of) in [
        (&stuck, vec![&idle, &begun, &drips]),
        (&drips, vec![&idle, &begun]),
        (&idle, vec![&begun]),
    ] {
        waiting(&guard, Phase::Handshake, 0);
        assert_eq!(goes.made_room(), Some(MadeRoom::Connection));
        assert!(of.iter().all(|stays| stays.made_room().is_none()));
    }
}

#[test]
fn a_connection_that_is_being_answered_never_makes_room_and_where_all_are_nobody_is_let_in() {
    let guard = with_connections(2);
    let answered = waiting(&guard, Phase::Answering, 1000);
    let idle = waiting(&guard, Phase::Idle, 1);
    let also_answered = waiting(&guard, Phase::Answering, 1000);
    assert_eq!(idle.made_room(), Some(MadeRoom::Connection));
    assert_eq!(guard.admit().err(), Some(MadeRoom::Connection));
    assert_eq!(answered.made_room(), None);
    assert_eq!(also_answered.made_room(), None);
    assert_eq!(locked(&guard.shared.open).len(), 2);
}

#[test]
fn the_largest_body_makes_room_and_a_whole_one_never_does() {
    let guard = guard(Limits {
        body_memory: 100,
        ..Limits::default()
    });
    let [whole, large, small] = [0; 3].map(|_| waiting(&guard, Phase::Body, 0));
    whole.hold(50);
    whole.enter(Phase::Answering);
    large.hold(30);
    small.hold(20);
    assert_eq!(large.made_room(), None, "all of the room is for use");
    small.hold(1);
    assert_eq!(large.made_room(), Some(MadeRoom::Body));
    small.hold(30);
    assert_eq!(small.made_room(), Some(MadeRoom::Body));
    assert_eq!(whole.made_room(), None);
    whole.release_body();
    assert_eq!(guard.shared.held.load(Ordering::Relaxed), 0);
}

#[test]
fn a_body_of_its_share_has_room_whatever_the_others_do() {
    let guard = guard(Limits {
        body_memory: 1000,
        connections: 10,
        ..Limits::default()
    });
    let good = waiting(&guard, Phase::Body, 0);
    good.hold(99);
    let greedy: Vec<_> = (0..9).map(|_| waiting(&guard, Phase::Body, 0)).collect();
    for connection in greedy.iter().cycle().take(1000) {
        if connection.made_room().is_none() {
            connection.hold(7);
        }
        assert!(guard.shared.held.load(Ordering::Relaxed) <= 1000);
    }
    assert_eq!(good.made_room(), None);
    assert!(greedy.iter().any(|it| it.made_room().is_some()));
}

#[test]
fn a_body_that_comes_whole_although_its_connection_made_room_is_answered() {
    let guard = with_connections(1);
    let late = waiting(&guard, Phase::Body, 1);
    waiting(&guard, Phase::Handshake, 0);
    assert_eq!(late.made_room(), Some(MadeRoom::Connection));
    assert!(late.go_on(false).is_ok());
    assert!(late.go_on(true).is_ok());
    assert_eq!(locked(&late.progress).phase, Phase::Answering);
}

fn waits(connection: &Arc<Connection>) -> bool {
    locked(&connection.progress).phase == Phase::Waiting
}

#[tokio::test]
async fn a_whole_body_whose_request_waits_makes_room_and_its_request_is_told_at_once() {
    let guard = guard(Limits {
        body_memory: 100,
        ..Limits::default()
    });
    let [large, judged, good] = [0; 3].map(|_| waiting(&guard, Phase::Body, 0));
    judged.hold(40);
    judged.enter(Phase::Answering);
    large.hold(60);
    let request = Evictable::new(large.clone());
    let mut turn = std::pin::pin!(request.wait_for(std::future::pending::<()>()));
    assert!(turn.as_mut().now_or_never().is_none());
    assert!(waits(&large));
    good.hold(10);
    assert_eq!(good.made_room(), None);
    assert_eq!(judged.made_room(), None);
    assert_eq!(turn.now_or_never(), Some(Err(MadeRoom::Body)));
    // It still has to be answered.
    assert_eq!(locked(&large.progress).phase, Phase::Answering);
    assert_eq!(guard.shared.held.load(Ordering::Relaxed), 50);
}

#[tokio::test]
async fn a_request_that_has_waited_is_judged_and_not_evicted() {
    let guard = with_connections(1);
    let connection = waiting(&guard, Phase::Body, 0);
    let request = Evictable::new(connection.clone());
    assert_eq!(request.wait_for(std::future::ready(7)).await, Ok(7));
    assert_eq!(guard.admit().err(), Some(MadeRoom::Connection));
}

#[test]
fn a_connection_whose_request_waits_makes_room_for_another() {
    let guard = with_connections(2);
    let waits = waiting(&guard, Phase::Waiting, 1);
    let _answered = waiting(&guard, Phase::Answering, 1000);
    assert!(guard.admit().is_ok());
    assert_eq!(waits.made_room(), Some(MadeRoom::Connection));
}

#[test]
fn an_answer_that_its_client_does_not_read_counts_and_makes_room() {
    let guard = guard(Limits {
        body_memory: 100,
        ..Limits::default()
    });
    let [deaf, good] = [0; 2].map(|_| waiting(&guard, Phase::Answering, 0));
    deaf.hold(10);
    deaf.note_answer();
    deaf.hold_answer(90);
    deaf.release_body();
    good.enter(Phase::Body);
    good.hold(20);
    assert_eq!(deaf.made_room(), Some(MadeRoom::Body));
    assert_eq!(good.made_room(), None);
    assert_eq!(guard.shared.held.load(Ordering::Relaxed), 20);
}

#[test]
fn an_answer_counts_until_it_is_sent() {
    let guard = with_connections(1);
    let connection = waiting(&guard, Phase::Answering, 0);
    connection.note_answer();
    connection.hold_answer(90);
    assert_eq!(guard.shared.held.load(Ordering::Relaxed), 90);
    connection.note_sent();
    assert_eq!(guard.shared.held.load(Ordering::Relaxed), 0);
}

#[test]
fn connections_that_have_carried_a_request_outlive_a_flood_unless_they_are_the_flood() {
    let guard = with_connections(4);
    let kept_alive = |seconds| {
        let connection = waiting(&guard, Phase::Answering, 0);
        connection.note_answer();
        locked(&connection.progress).since = Instant::now() - Duration::from_secs(seconds);
        connection
    };
    let kept = [kept_alive(90), kept_alive(80)];
    let begun: Vec<_> = (0..10)
        .map(|_| waiting(&guard, Phase::Handshake, 0))
        .collect();
    assert!(kept.iter().all(|stays| stays.made_room().is_none()));
    assert_eq!(
        begun.iter().filter(|it| it.made_room().is_none()).count(),
        2
    );
    // Half of the room is theirs, and no more.
    let third = kept_alive(10);
    let last = waiting(&guard, Phase::Handshake, 0);
    assert_eq!(kept[0].made_room(), Some(MadeRoom::Connection));
    assert!(
        [&kept[1], &third, &last]
            .iter()
            .all(|stays| stays.made_room().is_none())
    );
}
