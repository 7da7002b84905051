//! Findings of the dry runs: the API server refused a job pod, or drydock did not repair it.

use super::{Check, Display, Level};

findings! {
    not_repaired(pods, logs) = "not-repaired" Error,
        "{pods} are not repaired",
        "The API server did not call drydock, or drydock has not read the policies. Jobs run as if drydock were not installed.",
        "{logs}", "kubectl get jobpodpolicies";

    no_endpoints(pod, objects, logs) = "refused-no-endpoints" Error,
        "{pod} is refused: no replica is ready",
        "The Service of drydock has no ready endpoint. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    unknown_authority(pod, objects, logs) = "refused-unknown-authority" Error,
        "{pod} is refused: x509: certificate signed by unknown authority",
        "The caBundle does not contain the CA that signed drydock's certificate: another program overwrote the caBundle, or drydock was not able to update it. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    expired(pod, objects, logs) = "refused-expired" Error,
        "{pod} is refused: x509: certificate has expired or is not yet valid",
        "By the clock of the API server, drydock's certificate or its CA certificate has expired or is not yet valid. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    other_name(pod, objects, logs) = "refused-other-name" Error,
        "{pod} is refused: x509: certificate is valid for another name",
        "The API server calls drydock by the name SERVICE.NAMESPACE.svc, which is not in drydock's certificate. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    bad_certificate(pod, objects, logs) = "refused-certificate" Error,
        "{pod} is refused: the API server does not accept drydock's certificate (x509)",
        "Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    connection_refused(pod, objects, logs) = "refused-connection" Error,
        "{pod} is refused: connection refused",
        "No process listens on the target port of drydock's Service, or the replicas have just stopped. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    timeout(pod, objects, logs) = "refused-timeout" Error,
        "{pod} is refused: the call to drydock timed out",
        "The API server cannot reach the replicas. Possible causes: a firewall between the control plane and the nodes (in private GKE clusters, open the webhook's port), a CNI plugin whose pod network the control plane cannot reach (on EKS, install the component host-network), or a NetworkPolicy. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    no_route(pod, objects, logs) = "refused-no-route" Error,
        "{pod} is refused: no route to host",
        "The API server cannot reach the pod network. On EKS with a CNI plugin other than the Amazon VPC CNI plugin, install the component host-network. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    service_not_found(pod, objects, logs) = "refused-no-service" Error,
        "{pod} is refused: the Service of the webhook does not exist",
        "The webhook configuration refers to a Service that does not exist. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    no_address(pod, objects, logs) = "refused-no-address" Error,
        "{pod} is refused: the API server cannot resolve the hostname of the webhook",
        "The DNS lookup for the Service or the URL of the webhook failed. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";
    answered_with_error(pod, objects, logs) = "refused-error" Error,
        "{pod} is refused: drydock returned an error",
        "The reason is in drydock's log. Jobs fail, and their logs contain \"failed calling webhook\".",
        "{objects}", "{logs}";

    policy_denies(pod) = "refused-policy" Warning,
        "{pod} is refused: a policy denies the pod (onConflict: Deny)",
        "Jobs that mount a volume of their own at the client certificate directory fail, as the policy requires. Their logs contain this message.",
        "kubectl get jobpodpolicies -o yaml";
    other_fails(pod, webhook) = "refused-other-fails" Error,
        "{pod} is refused: the call to another webhook failed",
        "Jobs fail if the API server calls {webhook} for their pods, with or without drydock.",
        "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations";
    other_denies(pod, other) = "refused-other-denies" Error,
        "{pod} is refused: another webhook or admission policy denies the pod",
        "Jobs fail if {other} denies their pods, with or without drydock.",
        "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies";
    other_no_dry_run(pod, webhook) = "refused-other-no-dry-run" Warning,
        "{pod} is refused: another webhook does not support dry run",
        "drydock doctor cannot determine whether job pods are admitted. To support dry run, {webhook} must have sideEffects: None or NoneOnDryRun.",
        "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations";
    pod_security(pod, namespace) = "refused-pod-security" Error,
        "{pod} is refused: it violates the Pod Security level of the namespace",
        "Jobs with such pods fail. The API server checks the pod after drydock has changed it. Privileged pods, such as pods with dind, need the level privileged.",
        "kubectl get namespace {namespace} --show-labels";
    quota(pod, namespace) = "refused-quota" Warning,
        "{pod} is refused by a ResourceQuota",
        "Jobs fail while the quota is used up, or if their pods do not set the requests or limits that the quota requires.",
        "kubectl -n {namespace} describe resourcequotas";
    limit_range(pod, namespace) = "refused-limit-range" Warning,
        "{pod} is refused by a LimitRange",
        "Each container of the pod that drydock doctor sent requests 10m of CPU and 16Mi of memory. Job pods whose requests are within the range of the LimitRange are admitted.",
        "kubectl -n {namespace} get limitranges -o yaml";
    no_service_account(pod, namespace) = "refused-no-service-account" Error,
        "{pod} is refused: the ServiceAccount of the pod does not exist",
        "Jobs fail unless the runner sets another ServiceAccount for their pods.",
        "kubectl -n {namespace} get serviceaccounts";
    terminating(pod, namespace) = "refused-terminating" Warning,
        "{pod} is refused: the namespace is being deleted",
        "No new job can run in this namespace.",
        "kubectl get namespace {namespace}";
    not_accepted(pod, namespace) = "refused" Error,
        "{pod} is refused by the API server",
        "Jobs may fail with the same message.",
        "kubectl get namespace {namespace} -o yaml";
}
