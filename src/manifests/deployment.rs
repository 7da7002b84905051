//! The pods that answer, and how many of them a drained node or a rollout leaves.

use super::network::{OPS_PORT, WEBHOOK_PORT};
use super::yaml::{self, Unwritable};
use super::{File, IMAGE, metadata, namespaced, selector, text_map, texts};
use crate::names::NAME;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, SecurityContext, TopologySpreadConstraint,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// The user and group of the image, which has no others.
const USER: i64 = 65532;
/// The highest value that a class may have that is not Kubernetes' own.
const HIGHEST_PRIORITY: i32 = 1_000_000_000;
/// Above `serve --drain-seconds`, 5 by default, and the time that requests under way may take after it.
const GRACE_SECONDS: i64 = 15;

pub(super) fn file() -> Result<File, Unwritable> {
    let deployment = Deployment {
        metadata: namespaced(NAME),
        spec: Some(DeploymentSpec {
            replicas: Some(2),
            selector: chosen(),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: namespaced(NAME).labels,
                    ..ObjectMeta::default()
                }),
                spec: Some(pod()),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    };
    yaml::file(
        "deployment.yaml",
        "Two replicas, on two nodes where there are two, and a rollout takes none away before its successor is ready.\n\
         Memory: about 10 MiB at rest; the limit leaves room for the 1024 connections that serve allows, at 48 KiB each, and for the 32 MiB of bodies.\n\
         CPU: one thread answers, so a limit of one core never throttles it.",
        &[yaml::document(&deployment)?],
    )
}

pub(super) fn priority_class() -> Result<File, Unwritable> {
    let class = PriorityClass {
        metadata: metadata(NAME),
        value: Some(HIGHEST_PRIORITY),
        description: Some("Pods of drydock, which job pods cannot be created without.".to_owned()),
        preemption_policy: Some("PreemptLowerPriority".to_owned()),
        ..PriorityClass::default()
    };
    yaml::file(
        "priority-class.yaml",
        "Where nodes are full, job pods make room for drydock and never the other way round: they could not be created without it.\n\
         Not system-cluster-critical: GKE, and any cluster whose ResourceQuota admission limits that class, refuses it outside of kube-system.",
        &[yaml::document(&class)?],
    )
}

pub(super) fn disruption_budget() -> Result<File, Unwritable> {
    let budget = PodDisruptionBudget {
        metadata: namespaced(NAME),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(1)),
            selector: Some(chosen()),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    };
    yaml::file(
        "disruption-budget.yaml",
        "Draining a node leaves one that answers; one that does not answer anyway never holds up a drain.",
        &[yaml::document(&budget)?],
    )
}

fn chosen() -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector()),
        ..LabelSelector::default()
    }
}

fn pod() -> PodSpec {
    PodSpec {
        priority_class_name: Some(NAME.to_owned()),
        service_account_name: Some(NAME.to_owned()),
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        node_selector: Some(text_map([("kubernetes.io/os", "linux")])),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        topology_spread_constraints: Some(
            ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
                .map(spread_over)
                .into(),
        ),
        containers: vec![container()],
        ..PodSpec::default()
    }
}

/// Preferred only: a cluster of one node gets both replicas.
fn spread_over(topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        topology_key: topology_key.to_owned(),
        max_skew: 1,
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(chosen()),
        ..TopologySpreadConstraint::default()
    }
}

fn container() -> Container {
    Container {
        name: NAME.to_owned(),
        image: Some(format!("{IMAGE}:{}", env!("CARGO_PKG_VERSION"))),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(arguments(WEBHOOK_PORT.0, OPS_PORT.0)),
        env: Some(vec![
            from_field("DRYDOCK_OWN_NAMESPACE", "metadata.namespace"),
            from_field("DRYDOCK_INSTANCE", "metadata.name"),
        ]),
        ports: Some(ports(WEBHOOK_PORT.0, OPS_PORT.0)),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            failure_threshold: Some(3),
            ..probe("/livez")
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(3),
            failure_threshold: Some(2),
            ..probe("/readyz")
        }),
        resources: Some(ResourceRequirements {
            requests: Some(quantities("100m", "32Mi")),
            limits: Some(quantities("1", "128Mi")),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(texts(["ALL"])),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// Returns what `drydock` is started with. Certificates from elsewhere come by environment, which a component can add to.
pub(super) fn arguments(webhook: i32, ops: i32) -> Vec<String> {
    vec![
        "serve".to_owned(),
        "--cluster".to_owned(),
        format!("--listen=[::]:{webhook}"),
        format!("--ops-listen=[::]:{ops}"),
        "--log-format=json".to_owned(),
    ]
}

/// Returns a variable that holds a field of the pod.
fn from_field(name: &str, field_path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                // What the API server fills in: left out, a later server-side apply would be a conflict.
                api_version: Some("v1".to_owned()),
                field_path: field_path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(OPS_PORT.1.to_owned()),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// Returns the ports of the container, by the names that Service and probes know them by.
pub(super) fn ports(webhook: i32, ops: i32) -> Vec<ContainerPort> {
    [(WEBHOOK_PORT.1, webhook), (OPS_PORT.1, ops)]
        .map(|(name, number)| ContainerPort {
            name: Some(name.to_owned()),
            container_port: number,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        })
        .into()
}

fn quantities(cpu: &str, memory: &str) -> BTreeMap<String, Quantity> {
    [("cpu", cpu), ("memory", memory)]
        .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
        .into()
}
