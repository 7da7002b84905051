use super::*;
use futures::FutureExt as _;
use futures::future::{pending, ready};
use tokio::sync::watch;

fn connections(limits: Limits) -> Arc<Port> {
    let (policies, certificate) = (watch::channel(None).1, watch::channel(None).1);
    let metrics = Arc::new(Metrics::new());
    Port::of_webhook(&State::new(
        policies,
        certificate,
        metrics,
        "drydock",
        limits,
    ))
}

fn at_most(number: usize) -> Arc<Port> {
    connections(Limits {
        connections: number,
        ..Limits::default()
    })
}

/// Adds a connection that has been in a phase for this number of seconds.
fn waiting(connections: &Arc<Port>, phase: Phase, seconds: u64) -> Arc<Connection> {
    let connection = connections
        .admit()
        .expect("a connection should be evictable");
    connection.enter(phase);
    since(&connection, seconds);
    connection
}

fn since(connection: &Connection, seconds: u64) {
    let since = Instant::now() - Duration::from_secs(seconds);
    connection.with(|status| status.since = since);
}

fn held(connections: &Arc<Port>) -> usize {
    connections.table().held_bytes()
}

fn phase(connection: &Connection) -> Option<Phase> {
    connection.with(|status| Some(status.phase))
}

#[test]
fn the_connection_that_has_used_the_largest_part_of_its_time_is_evicted() {
    let port = at_most(4);
    let idle = waiting(&port, Phase::Idle, 14);
    let begun = waiting(&port, Phase::Handshake, 0);
    let drips = waiting(&port, Phase::Body, 1);
    let stuck = waiting(&port, Phase::Header, 4);
    let mut new = Vec::new();
    for (evicted, others) in [
        (&stuck, vec![&idle, &begun, &drips]),
        (&drips, vec![&idle, &begun]),
        (&idle, vec![&begun]),
    ] {
        new.push(waiting(&port, Phase::Handshake, 0));
        assert_eq!(evicted.eviction_reason(), Some(EvictionReason::Connections));
        assert!(others.iter().all(|it| it.eviction_reason().is_none()));
    }
}

#[test]
fn a_connection_that_is_answering_is_never_evicted_even_if_no_other_can_be_admitted() {
    let port = at_most(2);
    let answered = waiting(&port, Phase::Answering, 1000);
    let idle = waiting(&port, Phase::Idle, 1);
    let also_answered = waiting(&port, Phase::Answering, 1000);
    assert_eq!(idle.eviction_reason(), Some(EvictionReason::Connections));
    assert_eq!(port.admit().err(), Some(EvictionReason::Connections));
    assert_eq!(answered.eviction_reason(), None);
    assert_eq!(also_answered.eviction_reason(), None);
    assert_eq!(
        port.table()
            .open
            .values()
            .filter(|it| it.eviction.is_none())
            .count(),
        2
    );
}

#[test]
fn the_largest_body_is_evicted_unless_its_request_is_being_answered() {
    let port = connections(Limits {
        body_memory: 100,
        ..Limits::default()
    });
    let [whole, large, small] = [0; 3].map(|_| waiting(&port, Phase::Body, 0));
    whole.hold_body(50);
    whole.enter(Phase::Answering);
    large.hold_body(30);
    small.hold_body(20);
    assert_eq!(large.eviction_reason(), None, "evicted below the limit");
    small.hold_body(1);
    assert_eq!(large.eviction_reason(), Some(EvictionReason::BodyMemory));
    small.hold_body(30);
    assert_eq!(small.eviction_reason(), Some(EvictionReason::BodyMemory));
    assert_eq!(whole.eviction_reason(), None);
    whole.record_response(0);
    assert_eq!(held(&port), 0);
}

#[test]
fn a_body_that_holds_no_more_than_its_share_is_never_evicted() {
    let port = connections(Limits {
        body_memory: 1000,
        connections: 10,
        ..Limits::default()
    });
    let good = waiting(&port, Phase::Body, 0);
    good.hold_body(99);
    let growing: Vec<_> = (0..9).map(|_| waiting(&port, Phase::Body, 0)).collect();
    for connection in growing.iter().cycle().take(1000) {
        if connection.eviction_reason().is_none() {
            connection.hold_body(7);
        }
        assert!(held(&port) <= 1000);
    }
    assert_eq!(good.eviction_reason(), None);
    assert!(growing.iter().any(|it| it.eviction_reason().is_some()));
}

#[tokio::test]
async fn a_body_that_is_complete_is_answered_although_its_connection_is_evicted() {
    let port = at_most(1);
    let late = waiting(&port, Phase::Body, 1);
    let mut body = pin!(late.wait_for(Phase::Body, pending::<()>()));
    assert!(body.as_mut().now_or_never().is_none());
    let _next = waiting(&port, Phase::Handshake, 0);
    assert_eq!(late.eviction_reason(), Some(EvictionReason::Connections));
    assert_eq!(body.now_or_never(), Some(Err(EvictionReason::Connections)));
    assert_eq!(late.wait_for(Phase::Body, ready(7)).await, Ok(7));
    assert_eq!(phase(&late), Some(Phase::Answering));
}

#[tokio::test]
async fn a_complete_body_whose_request_waits_is_evicted_and_its_request_fails_at_once() {
    let port = connections(Limits {
        body_memory: 100,
        ..Limits::default()
    });
    let [large, judged, good] = [0; 3].map(|_| waiting(&port, Phase::Body, 0));
    judged.hold_body(40);
    judged.enter(Phase::Answering);
    large.hold_body(60);
    let mut slot = pin!(large.wait_for(Phase::Waiting, pending::<()>()));
    assert!(slot.as_mut().now_or_never().is_none());
    assert_eq!(phase(&large), Some(Phase::Waiting));
    good.hold_body(10);
    assert_eq!(good.eviction_reason(), None);
    assert_eq!(judged.eviction_reason(), None);
    assert_eq!(slot.now_or_never(), Some(Err(EvictionReason::BodyMemory)));
    // The task must still answer the request with an error.
    assert_eq!(phase(&large), Some(Phase::Answering));
    assert_eq!(held(&port), 50);
}

#[tokio::test]
async fn a_request_that_has_waited_is_judged_and_not_evicted() {
    let port = at_most(1);
    let connection = waiting(&port, Phase::Body, 0);
    let waited = connection.wait_for(Phase::Waiting, ready(7));
    assert_eq!(waited.await, Ok(7));
    assert_eq!(port.admit().err(), Some(EvictionReason::Connections));
}

#[test]
fn a_connection_whose_request_waits_is_evicted_for_another() {
    let port = at_most(2);
    let waits = waiting(&port, Phase::Waiting, 1);
    let _answered = waiting(&port, Phase::Answering, 1000);
    assert!(port.admit().is_ok());
    assert_eq!(waits.eviction_reason(), Some(EvictionReason::Connections));
}

#[test]
fn a_response_that_its_client_does_not_read_counts_and_is_evicted() {
    let port = connections(Limits {
        body_memory: 100,
        ..Limits::default()
    });
    let [unread, good] = [0; 2].map(|_| waiting(&port, Phase::Answering, 0));
    unread.hold_body(10);
    assert!(!unread.record_response(90));
    good.enter(Phase::Body);
    good.hold_body(20);
    assert_eq!(unread.eviction_reason(), Some(EvictionReason::BodyMemory));
    assert_eq!(good.eviction_reason(), None);
    assert_eq!(held(&port), 20);
}

#[test]
fn a_response_counts_until_it_is_sent() {
    let port = at_most(1);
    let connection = waiting(&port, Phase::Answering, 0);
    connection.record_response(90);
    assert_eq!(held(&port), 90);
    connection.record_sent();
    assert_eq!(held(&port), 0);
}

#[test]
fn idle_connections_that_have_carried_a_request_are_kept_up_to_half_of_the_limit() {
    let port = at_most(4);
    let kept_alive = |seconds| {
        let connection = waiting(&port, Phase::Answering, 0);
        connection.record_response(0);
        since(&connection, seconds);
        connection
    };
    let kept = [kept_alive(90), kept_alive(80)];
    let new: Vec<_> = (0..10)
        .map(|_| waiting(&port, Phase::Handshake, 0))
        .collect();
    assert!(kept.iter().all(|it| it.eviction_reason().is_none()));
    let new = new.iter().filter(|it| it.eviction_reason().is_none());
    assert_eq!(new.count(), 2);
    // More than half of the connections are idle now.
    let third = kept_alive(10);
    let last = waiting(&port, Phase::Handshake, 0);
    assert_eq!(kept[0].eviction_reason(), Some(EvictionReason::Connections));
    assert!(
        [&kept[1], &third, &last]
            .iter()
            .all(|it| it.eviction_reason().is_none())
    );
}
