//! Findings about the installation: CRD, webhooks, replicas, certificates.

use super::{Check, Display, Level};

findings! {
    definition_missing() = "definition-missing" Error,
        "the CRD of JobPodPolicy does not exist",
        "Without the CRD there are no policies, so no job pod is repaired.",
        "drydock print crd | kubectl apply --server-side -f -";
    definition_not_served() = "definition-not-served" Error,
        "the API server does not serve JobPodPolicy",
        "drydock cannot read policies, so a replica that starts does not become ready.",
        "kubectl describe crd jobpodpolicies.drydock.dev";
    definition_differs() = "definition-differs" Warning,
        "the CRD of JobPodPolicy is that of another version of drydock",
        "When a policy is written, the API server drops the fields that the CRD does not define, so they have no effect on jobs.",
        "drydock version", "drydock print crd | kubectl apply --server-side -f -";

    not_registered() = "not-registered" Error,
        "no webhook of drydock is registered",
        "The API server never calls drydock, so no job pod is repaired.",
        "kubectl apply --server-side -k manifests";
    only_audit(object) = "only-audit" Error,
        "{object} has no webhook for enforce",
        "drydock only audits job pods and changes none.",
        "kubectl apply --server-side -k manifests";
    registered_twice(number, names) = "registered-twice" Warning,
        "drydock is registered {number} times: {names}",
        "The API server calls each of them for every job pod, and their policies may differ.",
        "kubectl get mutatingwebhookconfigurations";
    not_for_pods(webhook, object) = "not-for-pods" Error,
        "{webhook} is not registered for the creation of pods",
        "The API server does not call drydock for job pods, so none is repaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_no_namespaces(webhook, label, object) = "selects-no-namespaces" Error,
        "{webhook} does not select namespaces by the label {label}",
        "Job pods in namespaces that opt in are created unrepaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_no_job_pods(webhook, object) = "selects-no-job-pods" Error,
        "the objectSelector of {webhook} does not select job pods",
        "The API server does not call drydock for job pods, so none is repaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_all_namespaces(webhook, object) = "selects-all-namespaces" Warning,
        "{webhook} selects namespaces that have not opted in",
        "While drydock is down, pods with the label pod cannot be created in these namespaces.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_own_namespace(webhook, namespace, object) = "selects-own-namespace" Warning,
        "{webhook} does not exclude namespace {namespace}",
        "If that namespace opts in, its pods cannot be created while drydock is down.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    has_side_effects(webhook, value, object) = "has-side-effects" Warning,
        "{webhook} has sideEffects: {value}",
        "The API server refuses every dry run of a job pod: those of kubectl diff, kubectl apply --dry-run=server and drydock doctor.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    audit_stops_jobs(webhook) = "audit-stops-jobs" Warning,
        "{webhook} has failurePolicy: Fail",
        "While drydock is down, no job pod can be created in namespaces in audit.",
        "kubectl apply --server-side -k manifests";

    no_ca_bundle(webhook, logs) = "no-ca-bundle" Error,
        "{webhook} has no caBundle",
        "The API server does not trust drydock, so no job pod can be created in namespaces in enforce. drydock writes the caBundle when it starts; with cert-manager, cert-manager does.",
        "{logs}";
    ca_bundle_unreadable(webhook, logs) = "ca-bundle-unreadable" Error,
        "the caBundle of {webhook} is not a list of PEM certificates",
        "The API server does not trust drydock, so no job pod can be created in namespaces in enforce.",
        "{logs}";
    ca_bundle_expired(since, logs) = "ca-bundle-expired" Error,
        "the caBundle expired {since} ago",
        "The API server does not trust drydock, so no job pod can be created in namespaces in enforce.",
        "{logs}";
    ca_bundle_expires(left, logs) = "ca-bundle-expires" Warning,
        "the caBundle expires in {left}",
        "The caBundle should contain the next CA by now. After its expiry, no job pod can be created in namespaces in enforce.",
        "{logs}";

    no_service(name, namespace) = "no-service" Error,
        "there is no Service {name} in namespace {namespace}",
        "The API server cannot call drydock, so no job pod can be created in namespaces in enforce.",
        "kubectl -n {namespace} get services";
    few_replicas(object, wanted, namespace) = "few-replicas" Warning,
        "{object} has {wanted} of the 2 replicas that it ships with",
        "While its node is drained or lost, no job pod can be created in namespaces in enforce.",
        "kubectl -n {namespace} scale {object} --replicas=2";
    no_disruption_budget(namespace) = "no-disruption-budget" Warning,
        "no PodDisruptionBudget selects the replicas",
        "Drains may evict all replicas at once. Until one is ready again, no job pod can be created in namespaces in enforce.",
        "kubectl -n {namespace} get poddisruptionbudgets";
    no_replica_ready(replicas, describe) = "no-replica-ready" Error,
        "no replica is ready: 0 of {replicas}",
        "Nothing answers the API server, so no job pod can be created in namespaces in enforce.",
        "{describe}";
    replica_not_ready(ready, all_are, describe) = "replica-not-ready" Warning,
        "{ready} of {all_are} ready",
        "Jobs run. If the last ready replica fails, no job pod can be created in namespaces in enforce.",
        "{describe}";
    one_node(replicas) = "one-node" Warning,
        "all {replicas} run on one node",
        "If that node fails, no job pod can be created in namespaces in enforce until a replica is ready on another node. This is unavoidable in a cluster with one node.",
        "kubectl get nodes";
    versions_mixed(versions, namespace, deployment) = "versions-mixed" Warning,
        "the replicas run different versions: {versions}",
        "Until the rollout is complete, identical job pods may be repaired differently.",
        "kubectl -n {namespace} rollout status deployment/{deployment}";
    version_differs(running, own) = "version-differs" Warning,
        "the replicas run version {running}, this command is version {own}",
        "The replicas may act differently from what this command expects.",
        "drydock version";

    certificate_refused(pod, logs) = "certificate-refused" Error,
        "the caBundle does not trust the certificate of pod {pod}",
        "The API server rejects that certificate. When it calls that replica, no job pod can be created in namespaces in enforce.",
        "{logs}";
    certificate_expired(pod, since, logs) = "certificate-expired" Error,
        "the certificate of pod {pod} expired {since} ago",
        "The API server rejects that certificate. When it calls that replica, no job pod can be created in namespaces in enforce.",
        "{logs}";
    certificate_expires(pod, left, logs) = "certificate-expires" Error,
        "the certificate of pod {pod} expires in {left} and was not renewed",
        "After its expiry the API server rejects that certificate, and no job pod can be created in namespaces in enforce.",
        "{logs}";

    fail_open(pods) = "fail-open" Warning,
        "{pods} created unrepaired, because a call to drydock failed (failurePolicy: Ignore)",
        "The API server has counted these failures since it started. The jobs ran without the changes that their policies ask for.",
        "kubectl get --raw /metrics | grep -E 'webhook_fail_open.*drydock'";
    calls_failed(calls) = "calls-failed" Warning,
        "{calls} from the API server to drydock failed",
        "The API server has counted these failures since it started. Each refused a job pod, or a dry run such as those of drydock doctor.",
        "kubectl get --raw /metrics | grep -E 'webhook_rejection.*drydock'";
    calls_slow(times, took) = "calls-slow" Warning,
        "the API server called drydock {times}, {took}",
        "The creation of every job pod takes that much longer. drydock itself needs less than a thousandth of this time: check the network and the CPU limit of the replicas.",
        "kubectl get --raw /metrics | grep -E 'webhook_admission_duration.*drydock'";
}
