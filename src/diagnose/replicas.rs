//! What answers behind the Service: replicas, where they run, and which version.

use super::facts::{Facts, Replicas, Unread};
use super::installation::{ServiceName, installations};
use super::installed::replicas_are;
use super::labels::{Labels, has_all, selects};
use super::report::Check;
use super::words::{count, lasting, list};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use std::collections::BTreeSet;

/// A self-managed certificate lives for 24 h and is renewed 8 h before its end.
const SOON: i64 = 4 * 60 * 60;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let Ok(configurations) = &facts.configurations else {
        return Vec::new();
    };
    let mut services = installations(configurations)
        .into_iter()
        .filter_map(|installation| installation.service());
    let (Some(name), Some(replicas)) = (services.next(), &facts.replicas) else {
        return Vec::new();
    };
    let service = match &replicas.service {
        Ok(Some(service)) => service,
        Ok(None) => {
            return vec![
                Check::error(
                    "service",
                    format!("there is no Service {} in namespace {}", name.name, name.namespace),
                    "The API server cannot call drydock: no job pod is created in namespaces in enforce.",
                )
                .next(format!("kubectl -n {} get services", name.namespace))
                .about(format!("service/{}", name.name)),
            ];
        }
        Err(unread) => return vec![unread.check("service", "what stands behind the webhooks")],
    };
    let context = Context {
        facts,
        replicas,
        name: &name,
        service,
    };
    let mut checks = context.deployment();
    checks.push(context.ready());
    checks.extend(context.versions());
    checks.extend(context.certificate());
    checks
}

struct Context<'a> {
    facts: &'a Facts,
    replicas: &'a Replicas,
    name: &'a ServiceName,
    service: &'a Service,
}

impl<'a> Context<'a> {
    fn selector(&self) -> Labels {
        let spec = self.service.spec.as_ref();
        spec.and_then(|spec| spec.selector.clone())
            .unwrap_or_default()
    }

    fn describe_pods(&self) -> String {
        let pairs: Vec<String> = self
            .selector()
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!(
            "kubectl -n {} describe pods -l {}",
            self.name.namespace,
            pairs.join(",")
        )
    }

    /// The Deployment whose pods the Service selects, and its disruption budget.
    fn deployment(&self) -> Vec<Check> {
        let deployments = match &self.replicas.deployments {
            Ok(deployments) => deployments,
            Err(unread) => {
                return vec![unread.check("replicas-wanted", "how many replicas there should be")];
            }
        };
        let selector = self.selector();
        let mut own = deployments
            .iter()
            .filter(|one| has_all(&pod_labels(one), &selector));
        let Some(deployment) = own.next() else {
            return Vec::new();
        };
        let wanted = deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1);
        let object = format!(
            "deployment/{}",
            deployment.metadata.name.as_deref().unwrap_or_default()
        );
        let mut checks = Vec::new();
        if wanted < 2 {
            checks.push(
                Check::warning(
                    "replicas-wanted",
                    format!("{object} has {wanted} of the 2 replicas that it ships with"),
                    "While that node is drained or lost, no job pod is created in namespaces in enforce.",
                )
                .next(format!("kubectl -n {} scale {object} --replicas=2", self.name.namespace))
                .about(&object),
            );
        }
        checks.push(match &self.replicas.budgets {
            Err(unread) => unread.check("disruption-budget", "whether a drain leaves a replica"),
            Ok(budgets) => {
                let labels = pod_labels(deployment);
                let mut spec = budgets.iter().filter_map(|budget| budget.spec.as_ref());
                if spec.any(|spec| selects(spec.selector.as_ref(), &labels)) {
                    Check::good("disruption-budget", "a PodDisruptionBudget keeps a replica during a drain")
                } else {
                    Check::warning(
                        "disruption-budget",
                        "no PodDisruptionBudget covers the replicas",
                        "Drains may take all replicas at once; until one is back, no job pod is created in namespaces in enforce.",
                    )
                    .next(format!("kubectl -n {} get poddisruptionbudgets", self.name.namespace))
                    .about(&object)
                }
            }
        });
        checks
    }

    fn ready(&self) -> Check {
        const NAME: &str = "replicas-ready";
        let pods = match &self.replicas.pods {
            Ok(pods) => pods,
            Err(unread) => return unread.check(NAME, "whether a replica is ready"),
        };
        let alive: Vec<&Pod> = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect();
        let ready: Vec<&&Pod> = alive.iter().filter(|pod| is_ready(pod)).collect();
        let nodes: BTreeSet<&str> = ready
            .iter()
            .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref())
            .collect();
        let told = alive
            .iter()
            .filter(|pod| !is_ready(pod))
            .map(|pod| why_not_ready(pod));
        let object = format!("service/{}", self.name.name);
        let check = if ready.is_empty() {
            Check::error(
                NAME,
                format!("none of {} is ready", count(alive.len(), "replica")),
                "Nothing answers the API server: no job pod is created in namespaces in enforce.",
            )
            .details(told)
            .next(self.describe_pods())
        } else if ready.len() < alive.len() {
            Check::warning(
                NAME,
                format!("{} of {} ready", ready.len(), replicas_are(alive.len())),
                "Jobs run, but the next node that fails may take the last replica away.",
            )
            .details(told)
            .next(self.describe_pods())
        } else if ready.len() > 1 && nodes.len() == 1 {
            Check::warning(
                NAME,
                format!("all {} run on one node", count(ready.len(), "replica")),
                "When that node fails, no job pod is created in namespaces in enforce until a replica is ready elsewhere. A cluster of one node has no choice.",
            )
            .next("kubectl get nodes")
        } else {
            let on = match nodes.len() {
                0 => String::new(),
                number => format!(", on {}", count(number, "node")),
            };
            Check::good(NAME, format!("{} ready{on}", replicas_are(ready.len())))
        };
        check.about(object)
    }

    fn versions(&self) -> Option<Check> {
        const NAME: &str = "versions";
        let own = &self.facts.version;
        let running = self.replicas.versions();
        let only = running.first()?;
        let object = format!("deployment/{}", self.name.name);
        let check = if running.len() > 1 {
            Check::warning(
                NAME,
                format!("replicas run different versions: {}", list(&running)),
                "The same job pod may be repaired differently, until the rollout is over.",
            )
            .next(format!(
                "kubectl -n {} rollout status {object}",
                self.name.namespace
            ))
        } else if only != own {
            Check::warning(
                NAME,
                format!("replicas run {only}, this is {own}"),
                "Findings here may not be what the replicas do.",
            )
            .next("drydock version")
        } else {
            Check::good(NAME, format!("replicas run {only}, as this command"))
        };
        Some(check.about(object))
    }

    /// What the replicas say themselves; whether the API server trusts them, its own call says.
    fn certificate(&self) -> Option<Check> {
        const NAME: &str = "certificate";
        let told = self.replicas.metrics.values().flatten();
        let Some(earliest) = told.filter_map(|metrics| metrics.certificate_expiry).min() else {
            return self.certificate_unread();
        };
        let left = earliest - self.facts.now;
        if left >= SOON {
            let text = format!("certificates are good for {}", lasting(left));
            return Some(Check::good(NAME, text));
        }
        let text = if left <= 0 {
            format!("a replica's certificate expired {} ago", lasting(-left))
        } else {
            format!(
                "a replica's certificate expires in {} and was not renewed",
                lasting(left)
            )
        };
        let meaning = "Once it has expired the API server refuses the answers: no job pod is created in namespaces in enforce.";
        let logs = format!(
            "kubectl -n {} logs deployment/{}",
            self.name.namespace, self.name.name
        );
        Some(Check::error(NAME, text, meaning).next(logs))
    }

    /// The API server's own call, in the section Works, is the better witness; so this is no
    /// finding where it went well.
    fn certificate_unread(&self) -> Option<Check> {
        let unread: &Unread = self
            .replicas
            .metrics
            .values()
            .find_map(|metrics| metrics.as_ref().err())?;
        let is_called = self
            .facts
            .probes
            .iter()
            .any(super::probe::Probed::is_repaired);
        (!is_called).then(|| unread.check("certificate", "when the replicas' certificates expire"))
    }
}

impl Replicas {
    /// Returns the versions that run, as the replicas say or else the tags of their image.
    #[must_use]
    pub fn versions(&self) -> BTreeSet<String> {
        let told = self.metrics.values().flatten();
        let told: BTreeSet<String> = told.filter_map(|metrics| metrics.version.clone()).collect();
        if !told.is_empty() {
            return told;
        }
        self.pods
            .iter()
            .flatten()
            .filter_map(image_version)
            .collect()
    }
}

pub(super) fn pod_labels(deployment: &Deployment) -> Labels {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let metadata = template.and_then(|template| template.metadata.as_ref());
    metadata
        .and_then(|metadata| metadata.labels.clone())
        .unwrap_or_default()
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let mut conditions = status
        .into_iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// One line: the pod, and the first reason that its status has.
fn why_not_ready(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &pod.status else {
        return format!("pod {name}: no status");
    };
    let waiting = status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| {
            let state = container.state.as_ref()?;
            let waiting = state
                .waiting
                .as_ref()
                .and_then(|waiting| waiting.reason.clone());
            let ended = || {
                state
                    .terminated
                    .as_ref()
                    .and_then(|ended| ended.reason.clone())
            };
            waiting.or_else(ended)
        });
    let condition = || {
        let mut conditions = status.conditions.iter().flatten();
        let unmet = conditions
            .find(|condition| condition.status == "False" && condition.reason.is_some())?;
        unmet.reason.clone()
    };
    let phase = status.phase.as_deref().unwrap_or("Unknown");
    match waiting.or_else(condition) {
        Some(reason) => format!("pod {name}: {phase}, {reason}"),
        None => format!("pod {name}: {phase}"),
    }
}

/// The tag of the image, where it is a version.
fn image_version(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let image = containers.first()?.image.as_deref()?;
    let (image, _) = image.split_once('@').unwrap_or((image, ""));
    let (_, tag) = image
        .rsplit_once('/')
        .unwrap_or(("", image))
        .1
        .split_once(':')?;
    let version = tag.strip_prefix('v').unwrap_or(tag);
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| version.to_owned())
}
