//! Writes the status of policies by server-side apply, beside everything else: what cannot be written now is written later.

use super::policies::{Statuses, resource};
use crate::crd::{self, JobPodPolicyStatus};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Every replica writes as the same manager, so that one takes over from another.
const FIELD_MANAGER: &str = "drydock";
/// Changes that come together are written together.
const GATHER: Duration = Duration::from_millis(100);
/// How long until what failed is tried again, and until a status that somebody else changed is put right. Two versions of
/// drydock that do not agree, as in a rollout, thereby disagree at most this often.
const AGAIN: Duration = Duration::from_secs(30);

/// Writes until the sender is gone.
pub(super) async fn run(client: Client, mut wanted: watch::Receiver<Statuses>) {
    let api: Api<DynamicObject> = Api::all_with(client, &resource());
    let mut written: BTreeMap<String, (JobPodPolicyStatus, Instant)> = BTreeMap::new();
    loop {
        let is_idle = wanted.borrow_and_update().is_empty();
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
        tokio::time::sleep(GATHER).await;
        let statuses = wanted.borrow_and_update().clone();
        for (name, status) in statuses {
            let is_written = written
                .get(&name)
                .is_some_and(|(last, at)| *last == status && at.elapsed() < AGAIN);
            if !is_written {
                write(&api, &name, &status).await;
                written.insert(name, (status, Instant::now()));
            }
        }
        written.retain(|_, (_, at)| at.elapsed() < AGAIN);
    }
}

async fn write(api: &Api<DynamicObject>, name: &str, status: &JobPodPolicyStatus) {
    let object = serde_json::json!({
        "apiVersion": crd::API_VERSION,
        "kind": crd::KIND,
        "metadata": {"name": name},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api
        .patch_status(name, &params, &Patch::Apply(&object))
        .await
    {
        Ok(_) => tracing::debug!(policy = name, "wrote the policy's status"),
        Err(kube::Error::Api(answer)) if answer.code == 404 => {}
        Err(error) => {
            tracing::warn!(policy = name, %error, "the policy's status cannot be written, it is tried again");
        }
    }
}
