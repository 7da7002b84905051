use super::*;
use crate::core::admission::Context;
use crate::core::policy::AddressesBySource;
use crate::server::tests::Gate;
use crate::server::{Cluster, LabelsError, State};
use crate::telemetry::metrics::Metrics;
use futures::future::{FutureExt as _, join_all, pending};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

type Judged = Result<Answer, ReviewError>;

fn state(limits: Limits, review: crate::server::ReviewFn) -> State {
    let set = PolicySet::new(Vec::new(), &AddressesBySource::new());
    let policies = watch::channel(Some(Arc::new(set))).1;
    let certificate = watch::channel(None).1;
    let metrics = Arc::new(Metrics::new());
    State {
        review,
        ..State::new(policies, certificate, metrics, "drydock", limits)
    }
}

/// Creates a review whose body has this size.
fn of_size(bytes: usize) -> Request {
    Request {
        mode: Mode::Enforce,
        body: (REVIEW.to_owned() + &" ".repeat(bytes - REVIEW.len())).into(),
        connection: None,
    }
}

fn missing(_: &[u8], _: Context<'_>) -> Judged {
    Err(ReviewError::Missing("request"))
}

fn is_judged(judged: &Result<Answer, RequestError>) -> bool {
    matches!(judged, Err(RequestError::Review(ReviewError::Missing(_))))
}

#[tokio::test]
async fn a_large_review_does_not_keep_a_small_one_waiting() {
    static GATE: Gate = Gate::closed();
    fn review(body: &[u8], context: Context<'_>) -> Judged {
        if body.len() > LARGE_BYTES {
            GATE.pass();
        }
        missing(body, context)
    }
    let state = state(Limits::default(), review);
    let (small, large) = (of_size(LARGE_BYTES), of_size(LARGE_BYTES + 1));
    let mut judging = std::pin::pin!(judge(&state, &large));
    assert!(judging.as_mut().now_or_never().is_none());
    assert!(is_judged(&judge(&state, &small).await));
    assert!(judging.as_mut().now_or_never().is_none());
    GATE.open();
    assert!(is_judged(&judging.await));
}

#[tokio::test]
async fn large_reviews_are_judged_one_at_a_time() {
    static AT_A_TIME: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    fn review(body: &[u8], context: Context<'_>) -> Judged {
        let now = AT_A_TIME.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(now, Ordering::SeqCst);
        // Another review would start within this time.
        std::thread::sleep(Duration::from_millis(5));
        AT_A_TIME.fetch_sub(1, Ordering::SeqCst);
        missing(body, context)
    }
    let state = state(Limits::default(), review);
    let reviews: Vec<Request> = (0..8).map(|_| of_size(LARGE_BYTES + 1)).collect();
    let judged = join_all(reviews.iter().map(|request| judge(&state, request))).await;
    assert!(judged.iter().all(is_judged));
    assert_eq!(MOST.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_large_review_that_gets_no_slot_in_time_is_refused_and_counted() {
    let mut state = state(Limits::default(), missing);
    state.slots.time = Duration::ZERO;
    let slot = state.slots.large.clone().acquire_owned().await.unwrap();
    let judged = judge(&state, &of_size(LARGE_BYTES + 1)).await;
    assert!(matches!(judged, Err(RequestError::NoSlot)));
    let counted = "drydock_limit_hits_total{limit=\"review-queue\"} 1\n";
    assert!(state.metrics.encode().contains(counted));
    assert!(is_judged(&judge(&state, &of_size(LARGE_BYTES)).await));
    drop(slot);
    state.slots.time = SLOT_TIMEOUT;
    assert!(is_judged(&judge(&state, &of_size(LARGE_BYTES + 1)).await));
}

#[tokio::test]
async fn a_bug_in_a_large_review_costs_neither_the_slot_nor_the_process() {
    #[allow(clippy::panic, reason = "the bug")]
    fn review(_: &[u8], _: Context<'_>) -> Judged {
        panic!("a bug")
    }
    let state = state(Limits::default(), review);
    for _ in 0..3 {
        let judged = judge(&state, &of_size(LARGE_BYTES + 1)).await;
        assert!(matches!(judged, Err(RequestError::Bug)));
    }
}

/// A review of a pod in the namespace `ci`.
const REVIEW: &str = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
    "uid": "1", "resource": {"group": "", "version": "v1", "resource": "pods"},
    "namespace": "ci", "operation": "CREATE", "object": {}
}}"#;

/// Creates a state with a policy that selects by labels of namespaces.
fn selecting_by_labels(connections: usize) -> State {
    let limits = Limits {
        connections,
        ..Limits::default()
    };
    let policy = "
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
metadata: {name: selects}
spec: {namespaceSelector: {matchLabels: {team: blue}}}
";
    let policies = crate::core::policy::read("policy.yaml", policy).policies;
    let set = PolicySet::new(policies, &AddressesBySource::new());
    assert!(set.needs_namespace_labels());
    State {
        policies: watch::channel(Some(Arc::new(set))).1,
        ..state(limits, missing)
    }
}

#[tokio::test]
async fn few_reviews_wait_for_labels_and_the_others_are_refused_at_once() {
    static READS: AtomicUsize = AtomicUsize::new(0);
    let state = State {
        cluster: Some(Cluster {
            namespaces: watch::channel(BTreeMap::new()).1,
            read_labels: Arc::new(|_| {
                READS.fetch_add(1, Ordering::SeqCst);
                Box::pin(pending())
            }),
            notify_author: Arc::new(|_| {}),
        }),
        ..selecting_by_labels(16)
    };
    let requests: Vec<Request> = (0..20).map(|_| of_size(LARGE_BYTES)).collect();
    let mut waiting: Vec<_> = requests
        .iter()
        .map(|request| Box::pin(judge(&state, request)))
        .collect();
    let now: Vec<_> = waiting
        .iter_mut()
        .map(|judging| judging.as_mut().now_or_never())
        .collect();
    assert_eq!(now.iter().filter(|judged| judged.is_none()).count(), 2);
    for judged in now.into_iter().flatten() {
        assert!(matches!(judged, Err(RequestError::UnknownNamespace(_))));
    }
    assert_eq!(READS.load(Ordering::SeqCst), 2);
    let counted = "drydock_limit_hits_total{limit=\"namespace-labels\"} 18\n";
    assert!(state.metrics.encode().contains(counted));
    // After a review has ended, another one may wait.
    drop(waiting.remove(0));
    let next = of_size(LARGE_BYTES);
    assert!(judge(&state, &next).now_or_never().is_none());
    assert_eq!(READS.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_review_uses_the_labels_of_a_watched_namespace_without_a_live_read() {
    let known = BTreeMap::from([("ci".to_owned(), Labels::new())]);
    let (_namespaces, namespaces) = watch::channel(known);
    let state = State {
        cluster: Some(Cluster {
            namespaces,
            read_labels: Arc::new(|_| {
                Box::pin(async { Err(LabelsError::Refused("a live read".to_owned())) })
            }),
            notify_author: Arc::new(|_| {}),
        }),
        ..selecting_by_labels(16)
    };
    for size in [LARGE_BYTES, LARGE_BYTES + 1] {
        assert!(is_judged(&judge(&state, &of_size(size)).await));
    }
}
