//! Writes the status of policies by server-side apply, beside everything else: what cannot be written now is written later.

use super::policies::{Statuses, resource};
use crate::core::crd::{self, JobPodPolicyStatus};
use crate::core::shown;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Every replica writes as the same manager, so that one takes over from another.
const FIELD_MANAGER: &str = "drydock";
/// How long until what failed is tried again, and until a status that somebody else changed is put right. Two versions of
/// drydock that do not agree, as in a rollout, thereby disagree at most this often.
const AGAIN: Duration = Duration::from_secs(30);
/// How long one status may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes until the sender is gone.
pub(super) async fn run(client: Client, mut wanted: watch::Receiver<Statuses>) {
    let mut writer = Writer {
        api: Api::all_with(client, &resource()),
        tried: BTreeMap::new(),
        is_away: false,
        refused: BTreeMap::new(),
    };
    loop {
        let is_idle = wanted.borrow().is_empty();
        let changed = if is_idle {
            wanted.changed().await
        } else {
            // There is something to write that was written already, or failed.
            tokio::time::timeout(AGAIN, wanted.changed())
                .await
                .unwrap_or(Ok(()))
        };
        if changed.is_err() {
            return;
        }
        writer.write_all(&mut wanted).await;
    }
}

struct Writer {
    api: Api<DynamicObject>,
    /// What was sent for each policy, and when, whatever became of it.
    tried: BTreeMap<String, (JobPodPolicyStatus, Instant)>,
    /// Whether the API server did not answer the last time. It is told once.
    is_away: bool,
    /// What the API server said of each status that it refused, told once too.
    refused: BTreeMap<String, String>,
}

/// What became of a status.
enum Outcome {
    Written,
    /// There is no such policy any more.
    Gone,
    Refused(String),
    /// There is no answer, so there would be none for others either.
    Away(String),
}

impl Writer {
    async fn write_all(&mut self, wanted: &mut watch::Receiver<Statuses>) {
        let names: Vec<String> = wanted.borrow_and_update().keys().cloned().collect();
        let mut is_away = false;
        for name in names {
            // Meanwhile another replica may have written it, or something else is to be said.
            let Some(status) = wanted.borrow().get(&name).cloned() else {
                continue;
            };
            let facts = without_times(status.clone());
            let is_tried = self
                .tried
                .get(&name)
                .is_some_and(|(last, at)| *last == facts && at.elapsed() < AGAIN);
            if is_tried {
                continue;
            }
            self.tried.insert(name.clone(), (facts, Instant::now()));
            if is_away {
                continue;
            }
            let outcome = self.write(&name, &status).await;
            is_away = matches!(outcome, Outcome::Away(_));
            self.tell(&name, outcome);
        }
        self.tried.retain(|_, (_, at)| at.elapsed() < AGAIN);
        let wanted = wanted.borrow();
        self.refused.retain(|name, _| wanted.contains_key(name));
    }

    async fn write(&self, name: &str, status: &JobPodPolicyStatus) -> Outcome {
        let object = serde_json::json!({
            "apiVersion": crd::API_VERSION,
            "kind": crd::KIND,
            "metadata": {"name": name},
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        let written = self.api.patch_status(name, &params, &patch);
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(_)) => Outcome::Written,
            Ok(Err(kube::Error::Api(answer))) if answer.code == 404 => Outcome::Gone,
            Ok(Err(kube::Error::Api(answer))) => Outcome::Refused(shown::sentence(&answer.message)),
            Ok(Err(error)) => Outcome::Away(shown::sentence(&error.to_string())),
            Err(_) => Outcome::Away(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    fn tell(&mut self, name: &str, outcome: Outcome) {
        let was_away = std::mem::take(&mut self.is_away);
        match outcome {
            Outcome::Away(problem) => {
                self.is_away = true;
                if !was_away {
                    tracing::warn!(
                        policy = name,
                        "the status of policies cannot be written, it is tried again: {problem}"
                    );
                }
                return;
            }
            Outcome::Refused(problem) => {
                if self.refused.get(name) != Some(&problem) {
                    tracing::warn!(
                        policy = name,
                        "the policy's status is refused, it is tried again: {problem}"
                    );
                    self.refused.insert(name.to_owned(), problem);
                }
            }
            Outcome::Written => {
                tracing::debug!(policy = name, "wrote the policy's status");
                if self.refused.remove(name).is_some() {
                    tracing::info!(policy = name, "the policy's status can be written again");
                }
            }
            Outcome::Gone => {}
        }
        if was_away {
            tracing::info!("the API server takes the status of policies again");
        }
    }
}

/// What a status says. Its times are of the clock of whoever writes it: a new one says nothing new.
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
