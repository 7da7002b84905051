//! Findings of the dry run: a job pod that is refused, in the API server's words, or not repaired.

use super::{Check, Display, Level};

findings! {
    not_repaired(place, logs) = "not-repaired" Error,
        "{place} come back as they were sent",
        "The API server did not call drydock for them, or drydock has not read the policies. Jobs run as if drydock were not there.",
        "{logs}", "kubectl get jobpodpolicies";

    no_endpoints(pod, objects, logs) = "refused-no-endpoints" Error,
        "{pod} is refused: no replica is ready",
        "No replica of drydock is ready behind its Service. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    unknown_authority(pod, objects, logs) = "refused-unknown-authority" Error,
        "{pod} is refused: x509, unknown authority",
        "The caBundle is not of the authority that signed drydock's certificate: something overwrote it, or drydock could not write it. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    expired(pod, objects, logs) = "refused-expired" Error,
        "{pod} is refused: x509, expired",
        "drydock's certificate or its authority has expired, or is not valid yet by the API server's clock. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    other_name(pod, objects, logs) = "refused-other-name" Error,
        "{pod} is refused: x509, another name",
        "drydock's certificate is not for the name by which the API server calls it, SERVICE.NAMESPACE.svc. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    bad_certificate(pod, objects, logs) = "refused-certificate" Error,
        "{pod} is refused: x509",
        "The API server does not accept drydock's certificate. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    connection_refused(pod, objects, logs) = "refused-connection" Error,
        "{pod} is refused: connection refused",
        "The Service leads to a port on which nothing listens, or the replicas have just ended. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    timeout(pod, objects, logs) = "refused-timeout" Error,
        "{pod} is refused: no answer in time",
        "The API server does not reach the pods: a firewall between control plane and nodes (GKE private clusters: open the webhook's port), a CNI that the control plane is not part of (EKS: component host-network), or a NetworkPolicy. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    no_route(pod, objects, logs) = "refused-no-route" Error,
        "{pod} is refused: no route to the pods",
        "The API server does not reach the pods' network (EKS with another CNI: component host-network). Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    service_not_found(pod, objects, logs) = "refused-no-service" Error,
        "{pod} is refused: its Service is not there",
        "The Service that the webhook configuration names does not exist. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    no_address(pod, objects, logs) = "refused-no-address" Error,
        "{pod} is refused: drydock's name has no address",
        "The API server does not find the address of drydock's Service or URL. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";
    answered_with_error(pod, objects, logs) = "refused-error" Error,
        "{pod} is refused: drydock answers with an error",
        "drydock's log has a line about it. Jobs fail with \"failed calling webhook\" in their log.",
        "{objects}", "{logs}";

    policy_denies(pod) = "refused-policy" Warning,
        "{pod} is refused: a policy denies it (onConflict: Deny)",
        "A job with a volume at the client's certificate directory fails with that text in its log, as the policy asks.",
        "kubectl get jobpodpolicies -o yaml";
    other_fails(pod, webhook) = "refused-other-fails" Error,
        "{pod} is refused: another webhook does not answer",
        "Jobs fail because of {webhook}, with or without drydock, if it treats them like this pod.",
        "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations";
    other_denies(pod, webhook) = "refused-other-denies" Error,
        "{pod} is refused: another webhook denies it",
        "Jobs fail because of {webhook}, with or without drydock, if it treats them like this pod.",
        "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations";
    other_no_dry_run(pod, webhook) = "refused-other-no-dry-run" Warning,
        "{pod} is refused: another webhook does not support dry run",
        "Real jobs may pass; it cannot be tried here. The sideEffects of {webhook} would have to be None or NoneOnDryRun.",
        "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations";
    pod_security(pod, namespace) = "refused-pod-security" Error,
        "{pod} is refused: Pod Security",
        "The namespace's Pod Security level refuses the pod as drydock would leave it. Privileged pods, as jobs with dind, need the level privileged.",
        "kubectl get namespace {namespace} --show-labels";
    quota(pod, namespace) = "refused-quota" Warning,
        "{pod} is refused: ResourceQuota",
        "Jobs fail at once while the quota is used up, or if they name no resources that it asks for.",
        "kubectl -n {namespace} describe resourcequotas";
    limit_range(pod, namespace) = "refused-limit-range" Warning,
        "{pod} is refused: LimitRange",
        "This pod asks for 10m CPU and 16Mi of memory. Jobs pass if theirs are within the range.",
        "kubectl -n {namespace} get limitranges -o yaml";
    no_service_account(pod, namespace) = "refused-no-service-account" Error,
        "{pod} is refused: no ServiceAccount",
        "Jobs whose runner names no other ServiceAccount fail too.",
        "kubectl -n {namespace} get serviceaccounts";
    terminating(pod, namespace) = "refused-terminating" Warning,
        "{pod} is refused: the namespace is being deleted",
        "Jobs cannot run there any more.",
        "kubectl get namespace {namespace}";
    not_accepted(pod, namespace) = "refused" Error,
        "{pod} is refused: the API server does not accept it",
        "Jobs may fail with the same text in their log.",
        "kubectl get namespace {namespace} -o yaml";
}
