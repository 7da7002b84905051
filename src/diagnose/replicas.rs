//! Checks the replicas behind the Service: their number, nodes, versions and certificates.

use super::facts::{ReadError, Replicas};
use super::finding::installed as finding;
use super::installation::ServiceReference;
use super::label_selector::{Labels, selects, service_selects};
use super::report::Check;
use super::text::{count, duration, list, plural};
use super::view::View;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerState, Pod, Service};
use std::collections::BTreeSet;

/// The remaining lifetime in seconds below which the renewal of a certificate is overdue. A
/// self-managed certificate is valid for 24 hours and renewed 8 hours before its expiry.
const RENEWAL_OVERDUE: i64 = 4 * 60 * 60;

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    let (Some(name), Some(replicas)) = (view.service(), &view.facts.replicas) else {
        return Vec::new();
    };
    let service = match &replicas.service {
        Ok(Some(service)) => service,
        Ok(None) => return vec![finding::no_service(&name.name, &name.namespace)],
        Err(error) => return vec![error.check("whether the Service of the webhooks exists")],
    };
    let mut checks = deployment(replicas, &name, &selector(service));
    checks.push(ready(replicas, &name, &selector(service)));
    checks.extend(versions(replicas, &name, &view.facts.version));
    checks.extend(certificates(replicas, &name, view.facts.now));
    let about = format!("service/{}", name.name);
    checks
        .into_iter()
        .map(|check| check.about(&about))
        .collect()
}

fn selector(service: &Service) -> Labels {
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.clone());
    selector.unwrap_or_default()
}

/// Checks the Deployment whose pods the Service selects, and its PodDisruptionBudget.
fn deployment(replicas: &Replicas, name: &ServiceReference, selector: &Labels) -> Vec<Check> {
    let deployments = match &replicas.deployments {
        Ok(deployments) => deployments,
        Err(error) => return vec![error.check("how many replicas the Deployment has")],
    };
    let mut all = deployments.iter();
    let Some(deployment) = all.find(|one| service_selects(selector, &pod_labels(one))) else {
        return Vec::new();
    };
    let spec = deployment.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let deployment_name = deployment.metadata.name.as_deref().unwrap_or_default();
    let object = format!("deployment/{deployment_name}");
    let mut checks = Vec::new();
    if wanted < 2 {
        checks.push(finding::few_replicas(&object, wanted, &name.namespace));
    }
    checks.push(match &replicas.budgets {
        Err(error) => error.check("whether a drain can evict all replicas at the same time"),
        Ok(budgets) => {
            let labels = pod_labels(deployment);
            let mut specs = budgets.iter().filter_map(|budget| budget.spec.as_ref());
            if specs.any(|spec| selects(spec.selector.as_ref(), &labels)) {
                let text = "a PodDisruptionBudget keeps a replica running during drains";
                Check::good("disruption-budget", text)
            } else {
                finding::no_disruption_budget(&name.namespace)
            }
        }
    });
    checks
        .into_iter()
        .map(|check| check.about(&object))
        .collect()
}

fn ready(replicas: &Replicas, name: &ServiceReference, selector: &Labels) -> Check {
    let pods = match &replicas.pods {
        Ok(pods) => pods,
        Err(error) => return error.check("whether a replica is ready"),
    };
    let alive = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let (ready, others): (Vec<&Pod>, Vec<&Pod>) = alive.partition(|pod| is_ready(pod));
    let nodes = ready
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref());
    let nodes: BTreeSet<&str> = nodes.collect();
    let all = ready.len() + others.len();
    let why = others.iter().map(|pod| why_not_ready(pod));
    let pairs = selector.iter().map(|(key, value)| format!("{key}={value}"));
    let pairs: Vec<String> = pairs.collect();
    let describe = format!(
        "kubectl -n {} describe pods -l {}",
        name.namespace,
        pairs.join(",")
    );
    if ready.is_empty() {
        finding::no_replica_ready(replicas_are(all), describe).details(why)
    } else if !others.is_empty() {
        finding::replica_not_ready(ready.len(), replicas_are(all), describe).details(why)
    } else if all > 1 && nodes.len() == 1 {
        finding::one_node(count(all, "replica"))
    } else {
        let on = match nodes.len() {
            0 => String::new(),
            number => format!(", on {}", count(number, "node")),
        };
        Check::good("replicas", format!("{} ready{on}", replicas_are(all)))
    }
}

fn versions(replicas: &Replicas, name: &ServiceReference, own: &str) -> Option<Check> {
    let running = replicas.versions();
    let only = running.first()?;
    Some(if running.len() > 1 {
        finding::versions_mixed(list(&running), &name.namespace, &name.name)
    } else if only != own {
        finding::version_differs(only, own)
    } else {
        Check::good(
            "versions",
            format!("the replicas and this command have the same version, {only}"),
        )
    })
}

/// Checks the certificates that the replicas served in TLS handshakes, and the expiries in the
/// metrics of the replicas.
fn certificates(replicas: &Replicas, name: &ServiceReference, now: i64) -> Vec<Check> {
    let logs = name.logs_command();
    let mut checks = Vec::new();
    let mut handshake_error: Option<&ReadError> = None;
    let mut trusted = 0;
    for (pod, read) in &replicas.handshakes {
        match read {
            Ok(served) => match &served.verification_error {
                // Another finding reports the expiry.
                Some(_) if served.expires <= now => {}
                Some(error) => {
                    let check = finding::certificate_refused(pod, &logs);
                    checks.push(check.details([error.clone()]).about(format!("pod/{pod}")));
                }
                None => trusted += 1,
            },
            Err(error) => handshake_error = handshake_error.or(Some(error)),
        }
    }
    let served = replicas.handshakes.iter();
    let served = served.filter_map(|(pod, read)| Some((pod, read.as_ref().ok()?.expires)));
    let reported = replicas.metrics.iter();
    let reported =
        reported.filter_map(|(pod, read)| Some((pod, read.as_ref().ok()?.certificate_expiry?)));
    let first = served.chain(reported).min_by_key(|(_, expires)| *expires);
    let left = first.map(|(pod, expires)| (pod, expires - now));
    match left {
        Some((pod, left)) if left <= 0 => {
            checks.push(finding::certificate_expired(pod, duration(-left), logs));
        }
        Some((pod, left)) if left < RENEWAL_OVERDUE => {
            checks.push(finding::certificate_expires(pod, duration(left), logs));
        }
        Some((_, left)) if checks.is_empty() => {
            let text = match trusted {
                0 => format!("the certificates are valid for {}", duration(left)),
                number => format!(
                    "the API server trusts the {} of {}, valid for {}",
                    plural(number, "certificate", "certificates"),
                    count(number, "replica"),
                    duration(left)
                ),
            };
            checks.push(Check::good("certificates", text));
        }
        _ => {}
    }
    let unknown = "whether the API server trusts the certificates of the replicas";
    checks.extend(handshake_error.map(|error| error.check(unknown)));
    let mut metrics = replicas.metrics.values();
    let metrics_error = metrics.find_map(|read| read.as_ref().err());
    checks.extend(metrics_error.map(|error| error.check("which version the replicas run")));
    checks
}

impl Replicas {
    /// Returns the versions in the metrics of the replicas. If no metrics have a version, returns
    /// the versions in the tags of the images.
    #[must_use]
    pub fn versions(&self) -> BTreeSet<String> {
        let metrics = self.metrics.values().flatten();
        let versions: BTreeSet<String> = metrics.filter_map(|one| one.version.clone()).collect();
        if !versions.is_empty() {
            return versions;
        }
        let pods = self.pods.iter().flatten();
        pods.filter_map(image_version).collect()
    }
}

/// Returns a number of replicas with the verb: `1 replica is`, `2 replicas are`.
fn replicas_are(number: usize) -> String {
    format!(
        "{} {}",
        count(number, "replica"),
        plural(number, "is", "are")
    )
}

fn pod_labels(deployment: &Deployment) -> Labels {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let metadata = template.and_then(|template| template.metadata.as_ref());
    let labels = metadata.and_then(|metadata| metadata.labels.clone());
    labels.unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Returns the name, the phase and the first reason in the status of a pod, in one line.
fn why_not_ready(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &pod.status else {
        return format!("pod {name}: no status");
    };
    let mut containers = status.container_statuses.iter().flatten();
    let waiting = containers.find_map(|container| reason(container.state.as_ref()?));
    let condition = || {
        let mut conditions = status.conditions.iter().flatten();
        conditions.find_map(|one| one.reason.clone().filter(|_| one.status == "False"))
    };
    let phase = status.phase.as_deref().unwrap_or("Unknown");
    match waiting.or_else(condition) {
        Some(reason) => format!("pod {name}: {phase}, {reason}"),
        None => format!("pod {name}: {phase}"),
    }
}

fn reason(state: &ContainerState) -> Option<String> {
    let waiting = state.waiting.as_ref().map(|waiting| waiting.reason.clone());
    let ended = state.terminated.as_ref().map(|ended| ended.reason.clone());
    waiting.or(ended).flatten()
}

/// Returns the tag of the image if it is a version.
fn image_version(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let (_, tag) = super::runner::name_and_tag(containers.first()?.image.as_deref()?);
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    is_version.then(|| version.to_owned())
}
