//! Findings about the installation: definition, webhooks, replicas, certificates.

use super::{Check, Display, Level};

findings! {
    definition_missing() = "definition-missing" Error,
        "JobPodPolicy is not defined",
        "There can be no policy, so no job pod is repaired.",
        "drydock print crd | kubectl apply --server-side -f -";
    definition_not_served() = "definition-not-served" Error,
        "the API server does not serve JobPodPolicy",
        "Policies cannot be read, so a replica that starts is not ready.",
        "kubectl describe crd jobpodpolicies.drydock.dev";
    definition_differs() = "definition-differs" Warning,
        "JobPodPolicy is defined as in another version of drydock",
        "The API server drops fields that the definition does not have when a policy is written, so jobs do not get what these fields ask for.",
        "drydock version", "drydock print crd | kubectl apply --server-side -f -";

    not_registered() = "not-registered" Error,
        "no webhook of drydock is registered",
        "The API server never calls drydock, so no job pod is repaired.",
        "kubectl apply --server-side -k manifests";
    only_audit(object) = "only-audit" Error,
        "{object} has no webhook that changes pods",
        "Job pods are only looked at, in namespaces in audit.",
        "kubectl apply --server-side -k manifests";
    registered_twice(number, names) = "registered-twice" Warning,
        "drydock is registered {number} times: {names}",
        "The API server calls each of them for every job pod, and they may apply different policies.",
        "kubectl get mutatingwebhookconfigurations";
    not_for_pods(webhook, object) = "not-for-pods" Error,
        "{webhook} is not registered for the creation of pods",
        "The API server does not call drydock for job pods, so none is repaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_no_namespaces(webhook, label, object) = "selects-no-namespaces" Error,
        "{webhook} selects no namespaces by the label {label}",
        "Job pods of namespaces that opt in are created unrepaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_no_job_pods(webhook, object) = "selects-no-job-pods" Error,
        "{webhook} has an objectSelector that does not select job pods",
        "The API server does not call drydock for job pods, so none is repaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_all_namespaces(webhook, object) = "selects-all-namespaces" Warning,
        "{webhook} selects namespaces that have not opted in",
        "Their pods with the label pod need drydock too: while it is away, they cannot be created.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_own_namespace(webhook, namespace, object) = "selects-own-namespace" Warning,
        "{webhook} does not exclude namespace {namespace}",
        "If that namespace opts in, its pods need drydock: while it is away, they cannot be created.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    has_side_effects(webhook, value, object) = "has-side-effects" Warning,
        "{webhook} has sideEffects {value}",
        "The API server refuses dry runs of job pods: kubectl diff, kubectl apply --dry-run=server, and this command's.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    audit_stops_jobs(webhook) = "audit-stops-jobs" Warning,
        "{webhook} has failurePolicy Fail",
        "An audit can stop jobs: while drydock is away, no job pod is created in namespaces in audit.",
        "kubectl apply --server-side -k manifests";

    no_ca_bundle(webhook, logs) = "no-ca-bundle" Error,
        "{webhook} has no caBundle",
        "The API server does not trust drydock, so no job pod is created in namespaces in enforce. drydock writes the caBundle when it starts, or cert-manager does.",
        "{logs}";
    ca_bundle_unreadable(webhook, logs) = "ca-bundle-unreadable" Error,
        "the caBundle of {webhook} is not a list of PEM certificates",
        "The API server does not trust drydock, so no job pod is created in namespaces in enforce.",
        "{logs}";
    ca_bundle_expired(since, logs) = "ca-bundle-expired" Error,
        "the caBundle expired {since} ago",
        "The API server does not trust drydock, so no job pod is created in namespaces in enforce.",
        "{logs}";
    ca_bundle_expires(left, logs) = "ca-bundle-expires" Warning,
        "the caBundle expires in {left}",
        "It should contain the next authority by now. Once it has expired, no job pod is created in namespaces in enforce.",
        "{logs}";

    no_service(name, namespace) = "no-service" Error,
        "there is no Service {name} in namespace {namespace}",
        "The API server cannot call drydock, so no job pod is created in namespaces in enforce.",
        "kubectl -n {namespace} get services";
    few_replicas(object, wanted, namespace) = "few-replicas" Warning,
        "{object} has {wanted} of the 2 replicas that it ships with",
        "While its node is drained or lost, no job pod is created in namespaces in enforce.",
        "kubectl -n {namespace} scale {object} --replicas=2";
    no_disruption_budget(namespace) = "no-disruption-budget" Warning,
        "no PodDisruptionBudget covers the replicas",
        "Drains may evict all replicas at once. Until one is back, no job pod is created in namespaces in enforce.",
        "kubectl -n {namespace} get poddisruptionbudgets";
    no_replica_ready(replicas, describe) = "no-replica-ready" Error,
        "no replica is ready, of {replicas}",
        "Nothing answers the API server, so no job pod is created in namespaces in enforce.",
        "{describe}";
    replica_not_ready(ready, all_are, describe) = "replica-not-ready" Warning,
        "{ready} of {all_are} ready",
        "Jobs run, but the next node that fails may take the last replica away.",
        "{describe}";
    one_node(replicas) = "one-node" Warning,
        "all {replicas} run on one node",
        "When that node fails, no job pod is created in namespaces in enforce until a replica is ready elsewhere. A cluster of one node has no choice.",
        "kubectl get nodes";
    versions_mixed(versions, namespace, deployment) = "versions-mixed" Warning,
        "replicas run different versions: {versions}",
        "Until the rollout is over, two job pods that are alike may be repaired differently.",
        "kubectl -n {namespace} rollout status deployment/{deployment}";
    version_differs(running, own) = "version-differs" Warning,
        "replicas run {running}, this is {own}",
        "The replicas may act differently from what this command expects.",
        "drydock version";

    certificate_refused(pod, logs) = "certificate-refused" Error,
        "the caBundle does not trust the certificate of pod {pod}",
        "The API server refuses that replica's answers: where it is called, no job pod is created in namespaces in enforce.",
        "{logs}";
    certificate_expired(pod, since, logs) = "certificate-expired" Error,
        "the certificate of pod {pod} expired {since} ago",
        "The API server refuses that replica's answers: where it is called, no job pod is created in namespaces in enforce.",
        "{logs}";
    certificate_expires(pod, left, logs) = "certificate-expires" Error,
        "the certificate of pod {pod} expires in {left} and was not renewed",
        "Once it has expired, the API server refuses that replica's answers, and no job pod is created in namespaces in enforce.",
        "{logs}";

    fail_open(pods) = "fail-open" Warning,
        "{pods} created unrepaired, because a call to drydock failed (failurePolicy: Ignore)",
        "Since the API server started, that many calls to drydock failed, and these jobs ran without what their policies ask for.",
        "kubectl get --raw /metrics | grep -E 'webhook_fail_open.*drydock'";
    calls_failed(calls) = "calls-failed" Warning,
        "{calls} of the API server to drydock failed",
        "Since the API server started, that many job pods were refused because drydock did not answer. Old failures count too.",
        "kubectl get --raw /metrics | grep -E 'webhook_rejection.*drydock'";
    calls_slow(times, took) = "calls-slow" Warning,
        "the API server called drydock {times}, {took}",
        "Every job pod is created that much later. drydock itself needs less than a thousandth of it, so look at the network and at the replicas' CPU limit.",
        "kubectl get --raw /metrics | grep -E 'webhook_admission_duration.*drydock'";
}
