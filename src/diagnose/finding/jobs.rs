//! Findings about namespaces, runners, policies, other webhooks, and the pod of `--pod`.

use super::{Check, Display, Level};

findings! {
    no_namespace(name) = "no-namespace" Error,
        "namespace {name} does not exist",
        "No job can run in this namespace.",
        "kubectl get namespaces";
    label_value(namespace, value, label, values, enforce) = "label-value" Error,
        "{namespace}: the label {label} has the unknown value \"{value}\"",
        "The API server does not call drydock for job pods in this namespace, so they are not repaired. Valid values are {values}.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    label_unused(namespace, label) = "label-unused" Warning,
        "{namespace}: no webhook selects the namespace, although it has the label {label}",
        "Job pods in this namespace are not repaired. The webhooks exclude drydock's own namespace and kube-system, so that pods can be created there while drydock is down.",
        "kubectl label namespace {namespace} {label}-";
    label_is_annotation(namespace, label, enforce) = "label-is-annotation" Error,
        "{namespace}: {label} is set as an annotation, but must be a label",
        "The API server does not call drydock for job pods in this namespace, so they are not repaired.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    label_misspelt(namespace, misspelt, label, enforce) = "label-misspelt" Error,
        "{namespace}: the label {misspelt} is unknown",
        "The API server does not call drydock for job pods in this namespace, so they are not repaired. The opt-in label is {label}.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    not_opted_in(namespace, label, enforce) = "not-opted-in" Error,
        "namespace {namespace} has not opted in: it does not have the label {label}",
        "The API server does not call drydock for job pods in this namespace, so they are not repaired.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    none_opted_in(label, enforce) = "none-opted-in" Warning,
        "no namespace has opted in",
        "The API server never calls drydock. Label the namespaces in which jobs run.",
        "kubectl label namespace NAMESPACE {label}={enforce}";

    quota_used_up(namespace, quota, resources) = "quota-used-up" Warning,
        "{namespace}: ResourceQuota {quota} has reached its limit for {resources}",
        "Until other jobs end, the API server refuses job pods that need more of these resources (\"exceeded quota\").",
        "kubectl -n {namespace} describe resourcequota {quota}";
    quota_counts_claims(namespace, quota, resources, policy) = "quota-counts-claims" Warning,
        "{namespace}: ResourceQuota {quota} limits {resources}, which jobs with dind use",
        "Policy {policy} adds an ephemeral volume to the pods of these jobs, and Kubernetes creates a PersistentVolumeClaim for each ephemeral volume. The quota therefore limits how many of these jobs run at the same time.",
        "kubectl -n {namespace} describe resourcequota {quota}";
    limits_storage(namespace, range, path, policy) = "limits-ephemeral-storage" Warning,
        "{namespace}: LimitRange {range} sets a default limit on ephemeral-storage for every container",
        "drydock does not add the emptyDir of policy {policy} at {path} to the pods of jobs with dind, because image layers in this emptyDir would count against the limit, and the kubelet evicts a pod that exceeds the limit (rule V7).",
        "drydock rules V7", "kubectl -n {namespace} describe limitrange {range}";

    runner_not_opted_in(runner, namespace, note, label, enforce) = "runner-not-opted-in" Warning,
        "{runner} runs jobs in namespace {namespace}{note}, which has not opted in",
        "These jobs are not repaired.",
        "kubectl label namespace {namespace} {label}={enforce}";
    runner_namespace_per_job(runner) = "runner-namespace-per-job" Warning,
        "{runner} creates a namespace for each job, and no webhook selects these namespaces",
        "These jobs are not repaired, because the runner does not set the opt-in label on these namespaces. The webhook in the component namespace-per-job selects namespaces by the prefix of their names.",
        "drydock print manifests --help";
    runner_permissions(account, missing, needed, consequences, command) = "runner-rights" Error,
        "{account} lacks {missing} of the {needed}",
        "{consequences}",
        "{command}";
    runner_permissions_minor(account, missing, needed, consequences, command) = "runner-rights-minor" Warning,
        "{account} lacks {missing} of the {needed}",
        "{consequences}",
        "{command}";

    no_policy() = "no-policy" Error,
        "the cluster has no JobPodPolicy",
        "No job pod is repaired.",
        "drydock print policy > policy.yaml", "kubectl apply -f policy.yaml";
    policy_not_read(policy) = "policy-not-read" Warning,
        "{policy}: no replica of drydock has read the policy",
        "The policy is not in force, or drydock is not allowed to write the status of the policy.",
        "kubectl describe jobpodpolicy {policy}";
    policy_behind(policy) = "policy-behind" Warning,
        "{policy}: no replica of drydock has read the latest version of the policy",
        "Until a replica reads the latest version, the previous version is in force.",
        "kubectl describe jobpodpolicy {policy}";
    policy_unreadable(policy) = "policy-unreadable" Error,
        "{policy}: this version of drydock cannot parse the policy",
        "The policy is not in force in replicas of this version.",
        "kubectl get jobpodpolicy {policy} -o yaml | drydock check -";
    policy_not_accepted(policy) = "policy-not-accepted" Error,
        "{policy}: the replicas do not accept the policy",
        "The last valid version of the policy is in force. If there is no valid version, the policy has no effect.",
        "kubectl describe jobpodpolicy {policy}";
    policy_no_address(policy) = "policy-no-address" Error,
        "{policy}: an object in hostAliases[].from has no address",
        "Jobs use the last known address of the object. If no address is known, drydock does not change how jobs resolve the hostnames of this host alias.",
        "kubectl describe jobpodpolicy {policy}";
    policy_hostnames(policy) = "policy-hostnames" Warning,
        "{policy}: the policy does not use all hostnames of an Ingress",
        "drydock does not change how jobs resolve the hostnames that the policy does not use.",
        "kubectl describe jobpodpolicy {policy}";
    policy_conflict(policy) = "policy-conflict" Warning,
        "{policy}: a policy of higher rank overrides settings of this policy",
        "Jobs that both policies match get the settings of the policy of higher rank.",
        "kubectl describe jobpodpolicy {policy}";
    policy_selects_nothing(policy) = "policy-selects-nothing" Warning,
        "{policy}: the namespaceSelector selects no namespace that has opted in",
        "The policy applies to no job.",
        "kubectl get jobpodpolicy {policy} -o jsonpath='{{.spec.namespaceSelector}}'",
        "kubectl get namespaces --show-labels";
    registry_ca_missing(policy, missing, namespace) = "registry-ca-missing" Warning,
        "{policy}: {missing}",
        "Jobs start, but dind does not trust the registry: \"x509: certificate signed by unknown authority\".",
        "kubectl -n {namespace} create configmap NAME --from-file=ca.crt";
    claim_missing(policy, claim, namespace) = "claim-missing" Error,
        "{policy}: there is no PersistentVolumeClaim {claim} in namespace {namespace}",
        "The pods of jobs with dind stay Pending in this namespace, and the jobs fail after the runner's poll_timeout (by default 180 seconds).",
        "kubectl -n {namespace} get persistentvolumeclaims";
    pod_security(policy, namespaces, volumes, first) = "pod-security" Warning,
        "{policy}: the Pod Security level of {namespaces} forbids privileged pods and hostPath volumes",
        "Pods with dind cannot be created in these namespaces, with or without drydock, so no job uses the hostPath volumes of the policy ({volumes}). Other jobs are repaired.",
        "kubectl get namespace {first} --show-labels";
    hostname_elsewhere(policy, hostnames_resolve) = "hostname-elsewhere" Warning,
        "{policy}: on this computer, {hostnames_resolve} to an address that is not in the policy",
        "This is correct if job pods must use another address than this computer uses. Otherwise, the address in the policy is out of date, and jobs cannot reach the server.",
        "kubectl edit jobpodpolicy {policy}";

    other_webhook_last(webhook, namespaces, object) = "other-webhook-last" Warning,
        "{webhook} (in {namespaces}) is called after drydock, and drydock is not called again",
        "drydock does not repair what {webhook} adds to a job pod, such as a container with a volume at /certs/client. To call drydock again, set reinvocationPolicy: IfNeeded on drydock's webhooks.",
        "kubectl get {object} -o yaml";

    no_pod(pod, namespace) = "no-pod" Error,
        "there is no pod {pod} in namespace {namespace}",
        "The runner deletes the pod of a job when the job ends.",
        "kubectl -n {namespace} get pods";
    pod_too_large(pod) = "pod-too-large" Error,
        "pod {pod} or the patch for it exceeds a limit of drydock",
        "drydock returns an error for such a pod, and the failurePolicy of the webhook determines whether the pod is created.",
        "drydock rules F6";
    pod_not_of_a_job(reason) = "pod-not-of-a-job" Warning,
        "the pod is not a job pod",
        "drydock does not change the pod, because {reason}.",
        "drydock rules P2";
    pod_not_opted_in(namespace, label, enforce) = "pod-not-opted-in" Error,
        "namespace {namespace} has not opted in",
        "The API server does not call drydock for job pods in this namespace, so they are not repaired.",
        "drydock doctor -n {namespace}", "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    pod_without_policy() = "pod-without-policy" Error,
        "no policy matches the pod",
        "No policy has both a namespaceSelector that selects the namespace and a podSelector that selects the pod.",
        "kubectl get jobpodpolicies -o yaml";
    pod_denied(explain) = "pod-denied" Warning,
        "if the pod were created now, a policy would deny it (onConflict: Deny)",
        "The pod was created before the policy, or without a call to drydock.",
        "{explain}";
    pod_not_repaired(why, explain) = "pod-not-repaired" Error,
        "the pod is not repaired; if it were created now, drydock would make these changes",
        "The job runs without these changes. {why}",
        "{explain}";
}
