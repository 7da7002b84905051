//! Runs two replicas with one API server in memory, for longer than the retry interval of a status.
//! The clock is paused.

use super::run;
use crate::cluster::clock::{Clock, Now};
use crate::cluster::testing::{Recorder, Reply, list};
use crate::telemetry::metrics::Metrics;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Time after which the replicas no longer write.
const SETTLED: Duration = Duration::from_secs(90);
/// Many times the retry interval of a status.
const LONG: Duration = Duration::from_secs(600);

/// The state of the API server.
#[derive(Default)]
struct Stored {
    policies: BTreeMap<String, Value>,
    version: u64,
    watchers: Vec<mpsc::UnboundedSender<Value>>,
}

impl Stored {
    fn answer(&mut self, line: &str, body: Value) -> Reply {
        match line.split(' ').next() {
            Some("PATCH") => self.patch(line, body),
            _ if line.contains("watch=true") => {
                let (sender, lines) = mpsc::unbounded_channel();
                self.watchers.push(sender);
                Reply::Stream(lines)
            }
            _ => {
                let policies: Vec<Value> = self.policies.values().cloned().collect();
                list("JobPodPolicy", &policies)
            }
        }
    }

    fn patch(&mut self, line: &str, mut body: Value) -> Reply {
        let path = line.split(['?', ' ']).nth(1).unwrap();
        let name = path.split('/').nth_back(1).unwrap();
        self.set(name, "status", body["status"].take());
        Reply::Json(200, self.policies[name].clone())
    }

    /// Sets a field of a policy and sends an event to the watches.
    fn set(&mut self, name: &str, field: &str, value: Value) {
        let policy = self.policies.get_mut(name).unwrap();
        if policy[field] == value {
            return;
        }
        policy[field] = value;
        self.version += 1;
        policy["metadata"]["resourceVersion"] = self.version.to_string().into();
        let event = json!({"type": "MODIFIED", "object": policy});
        self.watchers
            .retain(|watcher| watcher.send(event.clone()).is_ok());
    }
}

fn policy(name: &str, priority: i32, ip: &str) -> (String, Value) {
    let policy = json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": name, "uid": name, "generation": 1, "resourceVersion": "1"},
        "spec": {"priority": priority, "hostAliases": [{"ip": ip, "hostnames": ["a.lab.com"]}]},
    });
    (name.to_owned(), policy)
}

/// Replicas that computed different statuses would overwrite each other at each retry.
#[tokio::test(start_paused = true)]
async fn replicas_with_different_clocks_agree_about_the_status_of_policies() {
    let policies = [
        policy("first", 100, "10.0.0.1"),
        policy("loses", 0, "10.0.0.2"),
        policy("bad", 0, "10.0.0"),
    ];
    let stored = Arc::new(Mutex::new(Stored {
        policies: policies.into(),
        version: 7,
        ..Stored::default()
    }));
    let recorder = Recorder::default();
    let writes = || {
        let requests = recorder.requests();
        requests
            .iter()
            .filter(|line| line.starts_with("PATCH "))
            .count()
    };
    let began = (
        Instant::now(),
        Timestamp::from_second(1_800_000_000).unwrap(),
    );
    let mut running = Vec::new();
    for wrong_by in [0, 3600] {
        let now = move || Now {
            wall: began.1 + began.0.elapsed() + Duration::from_secs(wrong_by),
            monotonic: std::time::Instant::now(),
        };
        let metrics = Arc::new(Metrics::new());
        let clock = Clock::new(now, metrics.clone());
        let stored = stored.clone();
        let client = recorder
            .client_with_bodies(move |line, body| stored.lock().unwrap().answer(line, body));
        let (published, set) = watch::channel(None);
        let work = run(client, clock, published, metrics);
        running.push((tokio::spawn(work), set));
    }
    tokio::time::sleep(SETTLED).await;
    let settled = writes();
    // Each replica writes each of the three statuses at most once.
    assert!((3..=6).contains(&settled), "{settled}");
    tokio::time::sleep(LONG).await;
    assert_eq!(writes(), settled);
    // The replicas correct a change by another client, and then stop writing again.
    let emptied = json!({"observedGeneration": 1});
    stored.lock().unwrap().set("loses", "status", emptied);
    tokio::time::sleep(SETTLED).await;
    let healed = writes();
    assert!(healed > settled);
    tokio::time::sleep(LONG).await;
    assert_eq!(writes(), healed);
    let stored = stored.lock().unwrap();
    let message = &stored.policies["loses"]["status"]["conditions"][2]["message"];
    assert!(
        message.as_str().unwrap().contains("policy \"first\""),
        "{message}"
    );
    for (work, set) in running {
        assert!(set.borrow().is_some());
        work.abort();
    }
}
