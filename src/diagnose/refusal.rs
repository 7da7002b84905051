//! What a refusal of the API server means, by its own words.

use super::installation::{ServiceName, is_drydocks};
use super::report::Level;

/// A refusal, understood.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) level: Level,
    /// The rest of "a job pod is refused: …".
    pub(super) what: &'static str,
    /// What it means for a job.
    pub(super) meaning: String,
    pub(super) next: Vec<String>,
}

/// Finds out what stands behind a refusal of a pod in a namespace.
pub(super) fn classify(words: &str, namespace: &str, service: Option<&ServiceName>) -> Refusal {
    let failed = quoted_after(words, "failed calling webhook ");
    let denied = quoted_after(words, "admission webhook ");
    match (failed, denied) {
        (Some(webhook), _) if is_drydocks(webhook) => unreachable_drydock(words, service),
        (Some(webhook), _) => of_other(webhook, "another webhook does not answer", words),
        (_, Some(webhook)) if words.contains("does not support dry run") => Refusal {
            level: Level::Warning,
            what: "another webhook takes no dry runs",
            meaning: format!("Real jobs may pass; it cannot be tried here. The sideEffects of {webhook} would have to be None or NoneOnDryRun."),
            next: vec!["kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations".to_owned()],
        },
        (_, Some(webhook)) if is_drydocks(webhook) => Refusal {
            level: Level::Warning,
            what: "a policy denies it (onConflict: Deny)",
            meaning: "A job with a volume at the client's certificate directory fails with that text in its log, as the policy wants.".to_owned(),
            next: vec!["kubectl get jobpodpolicies -o yaml".to_owned()],
        },
        (_, Some(webhook)) => of_other(webhook, "another webhook denies it", words),
        _ => of_api_server(words, namespace),
    }
}

fn of_other(webhook: &str, what: &'static str, _: &str) -> Refusal {
    Refusal {
        level: Level::Error,
        what,
        meaning: format!(
            "Jobs fail because of {webhook}, with or without drydock, if it treats them like this pod."
        ),
        next: vec![
            "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations".to_owned(),
        ],
    }
}

/// The first of these texts that a failed call has says why.
const CAUSES: [(&str, &str, &str); 12] = [
    (
        "no endpoints available",
        "no replica is ready",
        "No replica of drydock is ready behind the Service.",
    ),
    (
        "signed by unknown authority",
        "x509, unknown authority",
        "The caBundle is not of the authority that signed drydock's certificate. Something overwrote it, or drydock could not write it.",
    ),
    (
        "certificate has expired",
        "x509, expired",
        "drydock's certificate, or its authority, has expired and was not renewed; or a clock is wrong.",
    ),
    (
        "is not yet valid",
        "x509, not yet valid",
        "The clocks of a node and of the API server differ.",
    ),
    (
        "x509: certificate is valid for",
        "x509, another name",
        "drydock's certificate is not for the name by which the API server calls it, SERVICE.NAMESPACE.svc.",
    ),
    (
        "x509: ",
        "x509",
        "The API server does not accept drydock's certificate.",
    ),
    (
        "connection refused",
        "connection refused",
        "The Service leads to a port on which nothing listens, or the replicas have just ended.",
    ),
    (
        "context deadline exceeded",
        "no answer in time",
        "The API server does not reach the pods: a firewall between control plane and nodes (GKE private clusters: open the webhook's port), a CNI that the control plane is not part of (EKS: component host-network), or a NetworkPolicy.",
    ),
    (
        "i/o timeout",
        "no answer in time",
        "The API server does not reach the pods: a firewall between control plane and nodes (GKE private clusters: open the webhook's port), a CNI that the control plane is not part of (EKS: component host-network), or a NetworkPolicy.",
    ),
    (
        "no route to host",
        "no route to the pods",
        "The API server does not reach the pods' network (EKS with another CNI: component host-network).",
    ),
    (
        "not found",
        "its Service is not there",
        "The Service that the webhook configuration names does not exist.",
    ),
    (
        "lookup ",
        "its name has no address",
        "The API server does not find the address of drydock's Service or URL.",
    ),
];

fn unreachable_drydock(words: &str, service: Option<&ServiceName>) -> Refusal {
    let found = CAUSES.iter().find(|(text, _, _)| words.contains(text));
    let (what, cause) = match found {
        Some((_, what, cause)) => (*what, *cause),
        None => (
            "drydock answers with an error",
            "The log of drydock has a line about it.",
        ),
    };
    let next = service.map_or_else(
        || vec!["kubectl get mutatingwebhookconfigurations -o yaml".to_owned()],
        |service| {
            let namespace = &service.namespace;
            vec![
                format!("kubectl -n {namespace} get pods,services,endpointslices"),
                format!("kubectl -n {namespace} logs deployment/{}", service.name),
            ]
        },
    );
    Refusal {
        level: Level::Error,
        what,
        meaning: format!("{cause} Jobs fail with \"failed calling webhook\" in their log."),
        next,
    }
}

fn of_api_server(words: &str, namespace: &str) -> Refusal {
    let show = |resource: &str| vec![format!("kubectl -n {namespace} get {resource} -o yaml")];
    let has = |text: &str| words.contains(text);
    if has("violates PodSecurity") {
        return Refusal {
            level: Level::Error,
            what: "Pod Security",
            meaning: "The namespace's Pod Security level refuses the pod as drydock would leave it. Privileged pods, as jobs with dind, need the level privileged.".to_owned(),
            next: vec![format!("kubectl get namespace {namespace} --show-labels")],
        };
    }
    if has("exceeded quota") || has("failed quota") {
        return Refusal {
            level: Level::Warning,
            what: "ResourceQuota",
            meaning: "Jobs fail at once while the quota is used up, or where they name no resources that it asks for.".to_owned(),
            next: vec![format!("kubectl -n {namespace} describe resourcequotas")],
        };
    }
    if has("usage per Container") || has("usage per Pod") || has("per PersistentVolumeClaim") {
        return Refusal {
            level: Level::Warning,
            what: "LimitRange",
            meaning: "This pod asks for 10m CPU and 16Mi of memory. Jobs pass if theirs are within the range.".to_owned(),
            next: show("limitranges"),
        };
    }
    if has("looking up service account") || has("serviceaccount \"") {
        return Refusal {
            level: Level::Error,
            what: "no ServiceAccount",
            meaning: "Jobs whose runner names no other ServiceAccount fail too.".to_owned(),
            next: vec![format!("kubectl -n {namespace} get serviceaccounts")],
        };
    }
    if has("is being terminated") || has("because it is being terminated") {
        return Refusal {
            level: Level::Warning,
            what: "the namespace is being deleted",
            meaning: "Jobs cannot run there any more.".to_owned(),
            next: vec![format!("kubectl get namespace {namespace}")],
        };
    }
    Refusal {
        level: Level::Error,
        what: "the API server does not accept it",
        meaning: "Jobs may fail with the same text in their log.".to_owned(),
        next: show("namespace"),
    }
}

/// Returns the text between the quotes that follow some words.
fn quoted_after<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(words)?;
    rest.strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "drydock";

    fn what(words: &str) -> (&'static str, Level) {
        let service = ServiceName {
            namespace: SERVICE.to_owned(),
            name: SERVICE.to_owned(),
            port: 443,
        };
        let refusal = classify(words, "ci", Some(&service));
        assert!(
            !refusal.next.is_empty() && refusal.meaning.ends_with('.'),
            "{refusal:?}"
        );
        (refusal.what, refusal.level)
    }

    #[test]
    fn the_words_of_the_api_server_are_understood() {
        let failed = |rest: &str| {
            format!(
                "Internal error occurred: failed calling webhook \"enforce.job-pods.drydock.dev\": failed to call webhook: Post \"https://drydock.drydock.svc:443/mutate?timeout=5s\": {rest}"
            )
        };
        for (words, wanted) in [
            (failed("no endpoints available for service \"drydock\""), "no replica is ready"),
            (failed("tls: failed to verify certificate: x509: certificate signed by unknown authority"), "x509, unknown authority"),
            (failed("tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-28T00:00:00Z is after 2026-11-27T00:00:00Z"), "x509, expired"),
            (failed("x509: certificate is valid for a.b.svc, not drydock.drydock.svc"), "x509, another name"),
            (failed("dial tcp 10.0.0.1:443: connect: connection refused"), "connection refused"),
            (failed("context deadline exceeded"), "no answer in time"),
            (failed("service \"drydock\" not found"), "its Service is not there"),
            (failed("an error on the server (\"drydock is not ready\") has prevented the request from succeeding"), "drydock answers with an error"),
            ("Internal error occurred: failed calling webhook \"a.example.com\": context deadline exceeded".to_owned(), "another webhook does not answer"),
            ("admission webhook \"a.example.com\" denied the request: no".to_owned(), "another webhook denies it"),
            ("pods \"a\" is forbidden: violates PodSecurity \"baseline:latest\": privileged".to_owned(), "Pod Security"),
            ("something new".to_owned(), "the API server does not accept it"),
        ] {
            assert_eq!(what(&words), (wanted, Level::Error), "{words}");
        }
        for (words, wanted) in [
            (
                "admission webhook \"a.example.com\" does not support dry run",
                "another webhook takes no dry runs",
            ),
            (
                "admission webhook \"enforce.job-pods.drydock.dev\" denied the request: x",
                "a policy denies it (onConflict: Deny)",
            ),
            (
                "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
                "ResourceQuota",
            ),
            (
                "pods \"a\" is forbidden: minimum cpu usage per Container is 50m, but request is 10m",
                "LimitRange",
            ),
        ] {
            assert_eq!(what(words), (wanted, Level::Warning), "{words}");
        }
    }
}
