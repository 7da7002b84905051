//! Creates pods continuously, and records the result of each.

use crate::measurements::print_figure;
use crate::raw_requests;
use crate::runner_pods::{broken_job, changes};
use kube::Client;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Number of runners that create pods concurrently.
const RUNNERS: usize = 4;
/// Time between two pods of a runner.
const PACE: Duration = Duration::from_millis(10);

/// Counts of pod creations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) created: usize,
    /// The messages of refused creations.
    pub(crate) refused: Vec<String>,
    /// Names of pods that were stored without the repair.
    pub(crate) unrepaired: Vec<String>,
    /// The duration of each creation.
    took: Vec<Duration>,
}

impl Tally {
    fn percentile(&self, percent: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort();
        took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// Runners that create pods until this value is dropped.
pub(crate) struct Stream {
    tally: Arc<Mutex<Tally>>,
    ends: Arc<AtomicBool>,
    runners: Vec<JoinHandle<()>>,
    began: Instant,
}

impl Drop for Stream {
    fn drop(&mut self) {
        for runner in &self.runners {
            runner.abort();
        }
    }
}

impl Stream {
    /// Starts the runners. `is_repaired` checks each stored pod.
    pub(crate) fn start(
        client: &Client,
        namespace: &str,
        is_repaired: impl Fn(&Value) -> bool + Clone + Send + Sync + 'static,
    ) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let ends = Arc::new(AtomicBool::new(false));
        let runners = (0..RUNNERS)
            .map(|_| {
                let (client, namespace) = (client.clone(), namespace.to_owned());
                let (tally, ends) = (tally.clone(), ends.clone());
                let is_repaired = is_repaired.clone();
                tokio::spawn(async move {
                    while !ends.load(Ordering::Relaxed) {
                        create(&client, &namespace, &tally, &is_repaired).await;
                        tokio::time::sleep(PACE).await;
                    }
                })
            })
            .collect();
        Self {
            tally,
            ends,
            runners,
            began: Instant::now(),
        }
    }

    /// Returns the number of pods created since the last [`Stream::take`].
    pub(crate) fn created(&self) -> usize {
        self.tally.lock().unwrap().created
    }

    /// Returns and prints the counts since the last call, and resets them.
    pub(crate) fn take(&mut self, what: &str) -> Tally {
        let tally = std::mem::take(&mut *self.tally.lock().unwrap());
        let rate =
            f64::from(u32::try_from(tally.created).unwrap()) / self.began.elapsed().as_secs_f64();
        print_figure(&format!(
            "{what:<45} {:>5} created, {} lost, {} unrepaired; {rate:.0}/s, p50 {:?}, p99 {:?}",
            tally.created,
            tally.refused.len(),
            tally.unrepaired.len(),
            tally.percentile(50),
            tally.percentile(99),
        ));
        self.began = Instant::now();
        tally
    }

    /// Stops the runners after their current creation.
    pub(crate) async fn end(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for runner in self.runners.drain(..) {
            runner.await.unwrap();
        }
    }
}

async fn create(
    client: &Client,
    namespace: &str,
    tally: &Mutex<Tally>,
    is_repaired: &impl Fn(&Value) -> bool,
) {
    let pod = broken_job();
    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
    let began = Instant::now();
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    // Retries while the API server is down. The first attempt may have stored the pod already.
    let answer = loop {
        match raw_requests::try_call(client, axum::http::Method::POST, &path, Some(&pod)).await {
            Ok(answer) if answer.status == 409 => {
                break raw_requests::get(client, &format!("{path}/{name}")).await;
            }
            Ok(answer) if !is_starting(&answer) => break answer,
            _ => tokio::time::sleep(PACE).await,
        }
    };
    let mut tally = tally.lock().unwrap();
    if matches!(answer.status, 200 | 201) {
        tally.created += 1;
        tally.took.push(began.elapsed());
        if changes(&answer.body).is_none() || !is_repaired(&answer.body) {
            tally.unrepaired.push(name);
        }
    } else {
        tally.refused.push(answer.refusal().to_owned());
    }
}

/// Returns whether the error is from an API server that has not finished starting, not from a
/// webhook.
fn is_starting(answer: &raw_requests::Answer) -> bool {
    let about_webhook = answer.body["message"]
        .as_str()
        .is_some_and(|message| message.contains("webhook"));
    matches!(answer.status, 401 | 403 | 404 | 429 | 500 | 503) && !about_webhook
}
