//! Tests of status writes while a replica starts, and of the events after which the controller
//! compares the statuses.

mod replicas;

use super::{Controller, Effect, run};
use crate::cluster::address_source::SourceObservation;
use crate::cluster::clock::{Clock, Now};
use crate::cluster::testing::{Recorder, Reply, client_of, list as of};
use crate::cluster::watch::Watched;
use crate::telemetry::metrics::Metrics;
use axum::Router;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A time that is longer than the batch delays before a status is written.
const SLOW: Duration = Duration::from_millis(500);

fn clock() -> Clock {
    Clock::new(Now::current, Arc::new(Metrics::new()))
}

/// Returns a policy whose address source another replica has observed.
fn policy() -> Value {
    let condition = |type_: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2027-01-15T08:00:00Z",
        })
    };
    json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": "a", "uid": "u", "generation": 1, "resourceVersion": "7"},
        "spec": {"hostAliases": [{"from": {"ingress": {"namespace": "cicd", "name": "web"}}, "hostnames": ["a.lab.com"]}]},
        "status": {
            "observedGeneration": 1,
            "conditions": [
                condition("Accepted", "True", "InForce", "the policy is in force as it is written"),
                condition("AddressesResolved", "True", "AllResolved", "every live source has an address"),
                condition("Conflicting", "False", "NoConflict", "no policy of higher rank overrides a setting of this one"),
            ],
            "addresses": [{"source": "ingress/cicd/web", "addresses": ["10.0.0.1"], "since": "2027-01-15T08:00:00Z", "stale": false}],
        },
    })
}

fn ingress() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web", "namespace": "cicd", "resourceVersion": "7"},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    })
}

#[tokio::test(start_paused = true)]
async fn a_starting_replica_writes_no_status_of_a_source_before_it_has_observed_it() {
    let recorder = Recorder::default();
    let client = recorder.client(|line| match line {
        line if line.starts_with("PATCH ") => Reply::Json(200, policy()),
        line if line.contains("watch=true") => Reply::Events(Vec::new()),
        line if line.contains("/jobpodpolicies") => of("JobPodPolicy", &[policy()]),
        _ => Reply::After(SLOW, Box::new(of("Ingress", &[ingress()]))),
    });
    let (published, mut set) = watch::channel(None);
    let began = Instant::now();
    let work = tokio::spawn(run(client, clock(), published, Arc::new(Metrics::new())));
    set.wait_for(Option::is_some).await.unwrap();
    assert_eq!(began.elapsed(), SLOW);
    // A wrong status would be written within this time.
    tokio::time::sleep(SLOW).await;
    work.abort();
    let requests = recorder.requests();
    let written = requests.iter().filter(|line| line.starts_with("PATCH "));
    assert_eq!(written.count(), 0, "{requests:?}");
}

/// Creates a controller that has read a policy and observed its address source, and is idle.
async fn controller(policy: &Value) -> Controller {
    let (published, _) = watch::channel(None);
    let (statuses, _) = watch::channel(super::Statuses::new());
    let client = client_of(Router::new()).await;
    let mut controller = Controller::new(
        client,
        clock(),
        published,
        statuses,
        Arc::new(Metrics::new()),
    );
    for event in list(policy) {
        let effect = controller.apply(event);
        controller.schedule(effect);
    }
    assert!(observe(&mut controller, unreadable("refused")));
    controller
}

/// Returns the events of a LIST of one policy.
fn list(policy: &Value) -> [Watched<DynamicObject>; 3] {
    let policy = serde_json::from_value(policy.clone()).unwrap();
    [Event::Init, Event::InitApply(policy), Event::InitDone].map(Watched::Event)
}

fn unreadable(problem: &str) -> SourceObservation {
    SourceObservation::Unreadable(format!("cannot be watched ({problem})"))
}

/// Schedules an effect and publishes. Returns whether the controller compares the statuses.
fn compares(controller: &mut Controller, effect: Effect) -> bool {
    controller.schedule(effect);
    let compares = controller.effect > Effect::None;
    while controller.effect > Effect::None {
        controller.publish();
    }
    compares
}

fn observe(controller: &mut Controller, observed: SourceObservation) -> bool {
    let effect = controller.observe(&"ingress/cicd/web".parse().unwrap(), observed);
    compares(controller, effect)
}

fn apply(controller: &mut Controller, event: Watched<DynamicObject>) -> bool {
    let effect = controller.apply(event);
    compares(controller, effect)
}

#[tokio::test]
async fn repeated_failures_and_equal_lists_lead_to_no_comparison_of_statuses() {
    let mut controller = controller(&policy()).await;
    for _ in 0..3 {
        assert!(!observe(&mut controller, unreadable("refused")));
        let outage = Watched::Outage("refused".to_owned());
        assert!(!apply(&mut controller, outage));
        for event in list(&policy()) {
            assert!(!apply(&mut controller, event));
        }
    }
}

#[tokio::test]
async fn every_input_of_a_status_leads_to_a_comparison() {
    let mut controller = controller(&policy()).await;
    assert!(observe(&mut controller, unreadable("forbidden")));
    assert!(observe(&mut controller, SourceObservation::Missing));
    let mut changed = policy();
    changed["status"]["addresses"][0]["stale"] = true.into();
    let overwritten = serde_json::from_value(changed.clone()).unwrap();
    assert!(apply(
        &mut controller,
        Watched::Event(Event::Apply(overwritten))
    ));
    changed["metadata"]["generation"] = 2.into();
    let edited = serde_json::from_value(changed).unwrap();
    assert!(apply(&mut controller, Watched::Event(Event::Apply(edited))));
    // A LIST without the policy.
    apply(&mut controller, Watched::Event(Event::Init));
    assert!(apply(&mut controller, Watched::Event(Event::InitDone)));
}
