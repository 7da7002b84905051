//! Tests of how often a status is written.

use super::run;
use crate::cluster::status::Statuses;
use crate::cluster::testing::client_of;
use crate::core::crd::JobPodPolicyStatus;
use crate::telemetry::metrics::Metrics;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Router, routing::patch};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

fn status(message: &str, second: i64) -> JobPodPolicyStatus {
    let condition = Condition {
        type_: "Accepted".to_owned(),
        status: "True".to_owned(),
        reason: "InForce".to_owned(),
        message: message.to_owned(),
        observed_generation: Some(1),
        last_transition_time: Time(Timestamp::from_second(second).unwrap()),
    };
    JobPodPolicyStatus {
        conditions: vec![condition],
        ..JobPodPolicyStatus::default()
    }
}

/// Starts an API server that rejects every status. Returns a client, and the names of the policies
/// whose statuses it receives.
async fn refuses() -> (kube::Client, mpsc::UnboundedReceiver<String>) {
    let (sender, asked) = mpsc::unbounded_channel();
    let refuse = async |State(sender): State<mpsc::UnboundedSender<String>>,
                        Path(name): Path<String>| {
        sender.send(name).unwrap();
        StatusCode::FORBIDDEN
    };
    let path = "/apis/drydock.dev/v1alpha1/jobpodpolicies/{name}/status";
    let router = Router::new().route(path, patch(refuse)).with_state(sender);
    (client_of(router).await, asked)
}

#[tokio::test]
async fn a_rejected_status_is_not_sent_again_only_because_its_times_change() {
    let (client, mut asked) = refuses().await;
    let (statuses, wanted) = watch::channel(Statuses::new());
    let writer = tokio::spawn(run(client, wanted, Arc::new(Metrics::new())));
    let mut next = async |wanted: &[(&str, JobPodPolicyStatus)]| {
        let wanted = wanted
            .iter()
            .map(|(name, status)| ((*name).to_owned(), status.clone()));
        statuses.send_replace(wanted.collect());
        asked.recv().await.unwrap()
    };
    assert_eq!(next(&[("a", status("good", 1))]).await, "a");
    let second = [("a", status("good", 2)), ("b", status("good", 2))];
    assert_eq!(next(&second).await, "b");
    let third = [("a", status("good", 3)), ("c", status("good", 3))];
    assert_eq!(next(&third).await, "c");
    assert_eq!(
        next(&[("a", status("bad", 3))]).await,
        "a",
        "the message has changed"
    );
    writer.abort();
}
