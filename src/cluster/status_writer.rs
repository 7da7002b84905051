//! Writes the status of policies by server-side apply, in the background; retries failed writes.

use super::client::within;
use super::error::{LogOnce, describe};
use super::status::Statuses;
use crate::core::crd::{self, JobPodPolicyStatus};
use crate::names::FIELD_MANAGER;
use crate::telemetry::metrics::{Metrics, WrittenObject};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// Delay before a failed write is retried, and before a status is written again after another
/// client has changed it. During a rollout, two versions of drydock that compute different statuses
/// overwrite each other at most this often.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// Timeout of one write.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the API resource of JobPodPolicy.
pub(super) fn resource() -> ApiResource {
    ApiResource::erase::<crd::JobPodPolicy>(&())
}

/// Writes the wanted statuses until the sender of `wanted` is dropped.
pub(super) async fn run(
    client: Client,
    mut wanted: watch::Receiver<Statuses>,
    metrics: Arc<Metrics>,
) {
    let mut writer = Writer {
        api: Api::all_with(client, &resource()),
        tried: BTreeMap::new(),
        log: LogOnce::default(),
        metrics,
    };
    loop {
        // A status remains in `wanted` if its write failed or another client has changed it. Such a
        // status is written again after the interval.
        let time = match wanted.borrow().is_empty() {
            true => Duration::MAX,
            false => RETRY_INTERVAL,
        };
        if let Ok(Err(_)) = timeout(time, wanted.changed()).await {
            return;
        }
        writer.write_all(&mut wanted).await;
    }
}

struct Writer {
    api: Api<DynamicObject>,
    /// The last status that was sent for each policy, and when. Includes failed writes.
    tried: BTreeMap<String, (JobPodPolicyStatus, Instant)>,
    log: LogOnce,
    metrics: Arc<Metrics>,
}

impl Writer {
    async fn write_all(&mut self, wanted: &mut watch::Receiver<Statuses>) {
        self.tried
            .retain(|_, (_, at)| at.elapsed() < RETRY_INTERVAL);
        let names: Vec<String> = wanted.borrow_and_update().keys().cloned().collect();
        let (mut refused, mut no_answer) = (None, None);
        for name in names {
            // During the other writes, the status may have changed, or another replica may have
            // written it.
            let Some(status) = wanted.borrow().get(&name).cloned() else {
                continue;
            };
            let content = without_times(status.clone());
            if self
                .tried
                .get(&name)
                .is_some_and(|(last, _)| *last == content)
            {
                continue;
            }
            self.tried.insert(name.clone(), (content, Instant::now()));
            if no_answer.is_some() {
                continue;
            }
            let Err(error) = self.write(&name, &status).await else {
                tracing::debug!(policy = name, "wrote the policy's status");
                continue;
            };
            self.metrics.write_refused(WrittenObject::PolicyStatus);
            let problem = describe(&error);
            if let kube::Error::Api(_) = error {
                tracing::debug!(
                    policy = name,
                    "the API server rejected the policy's status: {problem}"
                );
                refused.get_or_insert(format!(
                    "the API server rejected the status of policy {name} and perhaps of others; drydock retries: {problem}"
                ));
            } else {
                // The API server would not answer other writes either.
                no_answer = Some(format!(
                    "cannot write the status of policies; drydock retries: {problem}"
                ));
            }
        }
        let is_done = wanted.borrow().is_empty();
        for (subject, problem) in [("refused", refused), ("no answer", no_answer)] {
            if is_done || problem.is_some() {
                self.log.set(subject, problem);
            }
        }
    }

    async fn write(&self, name: &str, status: &JobPodPolicyStatus) -> kube::Result<()> {
        let object = serde_json::json!({
            "apiVersion": crd::API_VERSION,
            "kind": crd::KIND,
            "metadata": {"name": name},
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        match within(TIMEOUT, self.api.patch_status(name, &params, &patch)).await {
            // The policy was deleted.
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            written => written.map(drop),
        }
    }
}

/// Removes the times from a status, because they depend on the clock of the replica that writes it.
fn without_times(mut status: JobPodPolicyStatus) -> JobPodPolicyStatus {
    for condition in &mut status.conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    for address in &mut status.addresses {
        address.since = None;
    }
    status
}

#[cfg(test)]
mod tests;
