//! No admission fails during rollouts, upgrades, certificate rotations, edits of objects, and
//! restarts of the API server (rule F5).

use crate::api_server::ApiServer;
use crate::drydock_process::{Drydock, PROGRAM};
use crate::identity::Identity;
use crate::installation::{in_cluster, in_cluster_by, install};
use crate::load_balancer::LoadBalancer;
use crate::measurements::print_figure;
use crate::pod_creations::{Stream, Tally};
use crate::raw_requests;
use crate::registration::{at_url, committed, register};
use crate::runner_pods::addresses;
use crate::versions::{
    definition_of_the_next_version, install_definition, write_accepted_after_ours,
};
use crate::wait::{TIMEOUT, eventually};
use drydock::names::ENFORCE;
use kube::Client;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::time::Duration;

/// Lifetimes so short that leaf certificates and authorities are replaced several times during the
/// test.
const LIFETIMES: [&str; 6] = [
    "--ca-days",
    "0.0005",
    "--certificate-hours",
    "0.005",
    "--ca-overlap-seconds",
    "4",
];

/// The number of pods that must be created during each disruption.
const PODS: usize = 400;

/// Several drydock servers behind one address.
struct Servers {
    api: ApiServer,
    balancer: LoadBalancer,
    running: Vec<Drydock>,
    started: usize,
    /// The program to start for the next server.
    program: OsString,
}

struct Disruption {
    servers: Servers,
    stream: Stream,
    admin: Client,
    tallies: Vec<Tally>,
}

impl Servers {
    /// Starts a server, and waits until it receives connections.
    async fn add(&mut self) {
        let flags = [
            &["--tls-name", "127.0.0.1", "--drain-seconds", "2"],
            &LIFETIMES[..],
        ]
        .concat();
        let instance = format!("server-{}", self.started);
        self.started += 1;
        let flags = [&flags[..], &["--instance", &instance]].concat();
        let server = in_cluster_by(&self.program, &self.api, &flags);
        self.balancer.add(server.webhook, server.ops);
        server.ready().await;
        self.running.push(server);
        let wanted = self.running.len();
        let look = async || self.balancer.ready();
        eventually("the server gets connections", TIMEOUT, look, |ready| {
            *ready >= wanted
        })
        .await;
    }

    /// Replaces the oldest server, like a Deployment with `maxUnavailable: 0`.
    async fn replace_oldest(&mut self) {
        self.add().await;
        let old = self.running.remove(0);
        let address = old.webhook;
        let ended = tokio::task::spawn_blocking(|| old.stop()).await.unwrap();
        assert!(ended.0.success(), "{ended:?}");
        self.balancer.remove(address);
    }

    /// Returns the sum of a metric over the running servers.
    fn count(&self, metric: &str) -> f64 {
        let of = |server: &Drydock| -> f64 {
            let (_, text) = server.get("/metrics");
            let lines = text.lines().filter_map(|line| line.strip_prefix(metric));
            lines
                .map(|value| value.trim().parse::<f64>().unwrap())
                .sum()
        };
        self.running.iter().map(of).sum()
    }
}

impl Disruption {
    async fn start() -> Self {
        let api = ApiServer::exclusive().await;
        install(&api).await;
        let admin = api.client(Identity::Admin).await;
        let balancer = LoadBalancer::start().await;
        write_policy(&admin, "10.0.0.232").await;
        let mut configuration = committed();
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            at_url(webhook, &format!("https://{}", balancer.address));
        }
        let scope = api.scope("disruption").await;
        register(&scope, configuration).await;
        let namespace = scope.namespace("jobs", Some(ENFORCE)).await;
        let runner = api.client(Identity::Runner).await;
        let mut servers = Servers {
            api,
            balancer,
            running: Vec::new(),
            started: 0,
            program: PROGRAM.into(),
        };
        servers.add().await;
        servers.add().await;
        let first = async || {
            let pod = crate::runner_pods::broken_job();
            raw_requests::create_pod(&runner, &namespace, &pod, raw_requests::DryRun::Yes).await
        };
        let is_repaired =
            |answer: &raw_requests::Answer| answer.status == 201 && is_repaired(&answer.body);
        eventually("a pod is repaired", TIMEOUT, first, is_repaired).await;
        Self {
            servers,
            stream: Stream::start(&runner, &namespace, self::is_repaired),
            admin,
            tallies: Vec::new(),
        }
    }

    /// Waits until [`PODS`] more pods have been created, and records the counts.
    async fn wait_for_pods(&mut self, what: &str) {
        let stream = &self.stream;
        let created = async || stream.created();
        eventually(what, 6 * TIMEOUT, created, |created| *created >= PODS).await;
        let tally = self.stream.take(what);
        self.tallies.push(tally);
    }

    /// Stops creating pods, asserts that none was refused or stored unrepaired, and returns their
    /// number.
    async fn assert_lossless(mut self) -> usize {
        self.stream.end().await;
        let rest = self.stream.take("the last ones");
        self.tallies.push(rest);
        let created = self.tallies.iter().map(|tally| tally.created).sum();
        print_figure(&format!("in all {created} pods"));
        for tally in &self.tallies {
            assert_eq!(tally.refused, Vec::<String>::new());
            assert_eq!(tally.unrepaired, Vec::<String>::new());
        }
        created
    }
}

async fn write_policy(admin: &Client, ip: &str) {
    let path = "/apis/drydock.dev/v1alpha1/jobpodpolicies/gitlab";
    let object = json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": "gitlab"},
        "spec": {
            "hostAliases": [{"ip": ip, "hostnames": ["gitlab.mylab.com"]}],
            "dind": {},
        },
    });
    raw_requests::apply(admin, path, &object).await.object();
}

/// Returns whether the hostname has the policy's address and no stale one, and only memory-backed
/// volumes are mounted at `/certs/client`.
fn is_repaired(pod: &Value) -> bool {
    let of_gitlab = addresses(pod, "gitlab.mylab.com");
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let is_memory = |name: &Value| {
        volumes
            .iter()
            .any(|volume| volume["name"] == *name && volume["emptyDir"]["medium"] == "Memory")
    };
    let mounts: Vec<&Value> = pod["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|container| container["volumeMounts"].as_array().into_iter().flatten())
        .filter(|mount| mount["mountPath"] == "/certs/client")
        .collect();
    matches!(of_gitlab.as_slice(), ["10.0.0.232" | "10.0.0.233"])
        && mounts.len() >= 2
        && mounts.iter().all(|mount| is_memory(&mount["name"]))
}

/// Rolls back to version 174a963, upgrades again, and writes a policy of the next version.
///
/// The rollback installs the CRD of 174a963. If `DRYDOCK_PREVIOUS` is the path of that version's
/// binary, the servers are rolled back, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_upgrades_and_rollbacks_lose_no_admission_and_store_no_pod_unrepaired() {
    let mut disruption = Disruption::start().await;
    let this = OsString::from(PROGRAM);
    let previous = std::env::var_os("DRYDOCK_PREVIOUS").unwrap_or_else(|| this.clone());
    for (file, program, what) in [
        (
            "tests/versions/174a963/crd.yaml",
            previous,
            "rolled back to 174a963",
        ),
        (
            "manifests/chart/crds/jobpodpolicies.yaml",
            this,
            "upgraded again",
        ),
    ] {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", file];
        disruption.servers.api.kubectl(&apply).printed();
        disruption.servers.program = program;
        disruption.servers.replace_oldest().await;
        // Now one server of each version runs.
        disruption.wait_for_pods(&format!("half {what}")).await;
        disruption.servers.replace_oldest().await;
        disruption.wait_for_pods(what).await;
    }
    // The CRD of the next version accepts a field that is unknown to this version.
    let (api, admin) = (&disruption.servers.api, &disruption.admin);
    install_definition(api, admin, &definition_of_the_next_version()).await;
    let aliases = json!([{"ip": "10.0.0.233", "hostnames": ["gitlab.mylab.com"]}]);
    let spec = json!({"hostAliases": aliases, "dind": {}, "future": "x"});
    write_accepted_after_ours(admin, "gitlab", &spec).await;
    let held_up = in_cluster(api, &["--tls-name", "127.0.0.1", "--instance", "held-up"]);
    disruption
        .servers
        .balancer
        .add(held_up.webhook, held_up.ops);
    let readiness = async || held_up.get("/readyz");
    eventually(
        "the new server is not ready",
        TIMEOUT,
        readiness,
        |(_, body)| body.contains("policy \"gitlab\" was accepted by another version of drydock"),
    )
    .await;
    disruption
        .wait_for_pods("a policy of the next version")
        .await;
    assert_eq!(held_up.get("/readyz").0, 503);
    disruption.assert_lossless().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_no_disruption_loses_an_admission_or_stores_a_pod_unrepaired() {
    let mut disruption = Disruption::start().await;
    disruption
        .wait_for_pods("nothing but a short-lived certificate")
        .await;

    for _ in 0..2 {
        disruption.servers.replace_oldest().await;
        disruption.servers.replace_oldest().await;
    }
    disruption
        .wait_for_pods("both servers replaced, twice")
        .await;

    for number in 0..200 {
        let ip = ["10.0.0.232", "10.0.0.233"][number % 2];
        write_policy(&disruption.admin, ip).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    disruption
        .wait_for_pods("200 edits of the policy, 50 ms apart")
        .await;

    disruption.servers.api.stop();
    disruption.servers.api.start().await;
    disruption
        .wait_for_pods("the API server killed and started again")
        .await;

    let promoted = "drydock_certificate_events_total{event=\"ca-promoted\"}";
    let signed = "drydock_certificate_events_total{event=\"leaf-signed\"}";
    let before = (
        disruption.servers.count(promoted),
        disruption.servers.count(signed),
    );
    let counts = async || {
        (
            disruption.servers.count(promoted),
            disruption.servers.count(signed),
        )
    };
    let is_renewed = |seen: &(f64, f64)| seen.0 >= before.0 + 2.0 && seen.1 >= before.1 + 6.0;
    let seen = eventually(
        "two more authorities are created",
        12 * TIMEOUT,
        counts,
        is_renewed,
    )
    .await;
    print_figure(&format!(
        "authorities promoted {}, certificates signed {}",
        seen.0 - before.0,
        seen.1 - before.1
    ));
    disruption
        .wait_for_pods("two rotations of the authority")
        .await;

    let created = disruption.assert_lossless().await;
    assert!(created >= 2000, "{created}");
}
