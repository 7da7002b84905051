//! Findings about the installation: CRD, webhooks, replicas, certificates.

use super::{Check, Display, Level};

findings! {
    definition_missing() = "definition-missing" Error,
        "the CRD jobpodpolicies.drydock.dev does not exist",
        "Without the CRD there are no policies, so no job pod is repaired.",
        "drydock print crd | kubectl apply --server-side -f -";
    definition_not_served() = "definition-not-served" Error,
        "the CRD jobpodpolicies.drydock.dev does not have the condition Established",
        "The API server does not serve JobPodPolicy objects, so drydock cannot read policies, and a new replica does not become ready.",
        "kubectl describe crd jobpodpolicies.drydock.dev";
    definition_differs() = "definition-differs" Warning,
        "the schema of the CRD jobpodpolicies.drydock.dev differs from the schema of this version of drydock",
        "When a policy is created or updated, the API server drops the fields that the CRD does not define, so these fields have no effect on jobs.",
        "drydock version", "drydock print crd | kubectl apply --server-side -f -";

    not_registered() = "not-registered" Error,
        "no MutatingWebhookConfiguration contains a webhook of drydock",
        "The API server never calls drydock, so no job pod is repaired.",
        "kubectl apply --server-side -k manifests";
    only_audit(object) = "only-audit" Error,
        "{object} has no webhook for enforce mode",
        "drydock reports what it would change in job pods, and changes nothing.",
        "kubectl apply --server-side -k manifests";
    registered_twice(number, names) = "registered-twice" Warning,
        "{number} MutatingWebhookConfigurations contain webhooks of drydock: {names}",
        "The API server calls the webhooks of each configuration for every job pod, and these webhooks may apply different policies.",
        "kubectl get mutatingwebhookconfigurations";
    not_for_pods(webhook, object) = "not-for-pods" Error,
        "the rules of {webhook} do not include the operation CREATE on pods",
        "The API server does not call drydock for job pods, so no job pod is repaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_no_namespaces(webhook, label, object) = "selects-no-namespaces" Error,
        "the namespaceSelector of {webhook} does not select namespaces with the label {label}",
        "Job pods in namespaces that have opted in are not repaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_no_job_pods(webhook, object) = "selects-no-job-pods" Error,
        "the objectSelector of {webhook} does not select job pods",
        "The API server does not call drydock for job pods, so no job pod is repaired.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_all_namespaces(webhook, object) = "selects-all-namespaces" Warning,
        "the namespaceSelector of {webhook} selects namespaces that have not opted in",
        "If the failurePolicy is Fail, pods that have a label named \"pod\" cannot be created in these namespaces while drydock is down.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    selects_own_namespace(webhook, namespace, object) = "selects-own-namespace" Warning,
        "the namespaceSelector of {webhook} does not exclude namespace {namespace}",
        "If namespace {namespace} opts in and the failurePolicy is Fail, pods that have a label named \"pod\" cannot be created in the namespace while drydock is down.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    has_side_effects(webhook, value, object) = "has-side-effects" Warning,
        "{webhook} has sideEffects: {value}",
        "The API server refuses dry-run requests that create a job pod, such as those of kubectl diff, kubectl apply --dry-run=server and drydock doctor.",
        "kubectl get {object} -o yaml", "kubectl apply --server-side -k manifests";
    audit_stops_jobs(webhook) = "audit-stops-jobs" Warning,
        "{webhook} has failurePolicy: Fail",
        "While drydock is down, no job pod can be created in namespaces in audit mode.",
        "kubectl apply --server-side -k manifests";

    no_ca_bundle(webhook, logs) = "no-ca-bundle" Error,
        "{webhook} has no caBundle",
        "The API server does not trust drydock, so no job pod can be created in namespaces in enforce mode. In an installation with cert-manager, cert-manager writes the caBundle. Otherwise, drydock writes the caBundle at startup.",
        "{logs}";
    ca_bundle_unreadable(webhook, logs) = "ca-bundle-unreadable" Error,
        "the caBundle of {webhook} cannot be parsed as PEM certificates",
        "The API server does not trust drydock, so no job pod can be created in namespaces in enforce mode.",
        "{logs}";
    ca_bundle_expired(since, logs) = "ca-bundle-expired" Error,
        "all CA certificates in the caBundle have expired, the last one {since} ago",
        "The API server does not trust drydock, so no job pod can be created in namespaces in enforce mode.",
        "{logs}";
    ca_bundle_expires(left, logs) = "ca-bundle-expires" Warning,
        "the last CA certificate in the caBundle expires in {left}",
        "The caBundle should already contain the next CA certificate. Unless the next CA certificate is added before the expiry, no job pod can be created in namespaces in enforce mode after the expiry.",
        "{logs}";

    no_service(name, namespace) = "no-service" Error,
        "there is no Service {name} in namespace {namespace}",
        "The API server cannot call drydock, so no job pod can be created in namespaces in enforce mode.",
        "kubectl -n {namespace} get services";
    few_replicas(object, wanted, namespace) = "few-replicas" Warning,
        "{object} has spec.replicas: {wanted}; at least 2 are recommended",
        "While the only replica is being replaced, or while its node is down, no job pod can be created in namespaces in enforce mode.",
        "kubectl -n {namespace} scale {object} --replicas=2";
    no_disruption_budget(namespace) = "no-disruption-budget" Warning,
        "no PodDisruptionBudget selects the replicas",
        "Node drains may evict all replicas at the same time. No job pod can then be created in namespaces in enforce mode until a replica is ready again.",
        "kubectl -n {namespace} get poddisruptionbudgets";
    no_replica_ready(all_are, describe) = "no-replica-ready" Error,
        "0 of {all_are} ready",
        "The API server cannot call drydock, so no job pod can be created in namespaces in enforce mode.",
        "{describe}";
    replica_not_ready(ready, all_are, describe) = "replica-not-ready" Warning,
        "{ready} of {all_are} ready",
        "Job pods can still be created. If the last ready replica fails, no job pod can be created in namespaces in enforce mode.",
        "{describe}";
    one_node(replicas) = "one-node" Warning,
        "the {replicas} run on the same node",
        "If that node fails, no job pod can be created in namespaces in enforce mode until a replica is ready on another node. In a cluster with one node, this finding cannot be avoided.",
        "kubectl get nodes";
    versions_mixed(versions, namespace, deployment) = "versions-mixed" Warning,
        "the replicas run different versions: {versions}",
        "Until the rollout is complete, identical job pods may be repaired differently.",
        "kubectl -n {namespace} rollout status deployment/{deployment}";
    version_differs(running, own) = "version-differs" Warning,
        "the replicas run version {running}, but this command is version {own}",
        "The replicas may change job pods differently from what this command expects.",
        "drydock version";

    certificate_refused(pod, logs) = "certificate-refused" Error,
        "the API server does not trust the certificate of pod {pod}",
        "The certificate cannot be verified with the caBundle. When the API server calls this replica for a pod in a namespace in enforce mode, the pod is not created.",
        "{logs}";
    certificate_expired(pod, since, logs) = "certificate-expired" Error,
        "the certificate of pod {pod} expired {since} ago",
        "When the API server calls this replica for a pod in a namespace in enforce mode, the pod is not created.",
        "{logs}";
    certificate_expires(pod, left, logs) = "certificate-expires" Error,
        "the certificate of pod {pod} expires in {left} and was not renewed",
        "After the expiry, when the API server calls this replica for a pod in a namespace in enforce mode, the pod is not created.",
        "{logs}";

    fail_open(pods_were) = "fail-open" Warning,
        "{pods_were} created without the changes of drydock, because the call to drydock failed (failurePolicy: Ignore)",
        "The API server has counted such pods since it started. In namespaces in enforce mode, jobs ran without the changes that the policies require.",
        "kubectl get --raw /metrics | grep -E 'webhook_fail_open.*drydock'";
    calls_failed(calls) = "calls-failed" Warning,
        "{calls} from the API server to drydock failed",
        "The API server has counted failed calls since it started. For each failed call, the API server refused a job pod or a dry run, such as a dry run of drydock doctor.",
        "kubectl get --raw /metrics | grep -E 'webhook_rejection.*drydock'";
    calls_slow(took) = "calls-slow" Warning,
        "a call from the API server to drydock takes {took} on average",
        "The call delays the creation of every job pod. drydock itself needs less than 1 ms: check the network and the CPU limit of the replicas.",
        "kubectl get --raw /metrics | grep -E 'webhook_admission_duration.*drydock'";
}
