//! Findings about namespaces, runners, policies, other webhooks, and the pod of `--pod`.

use super::{Check, Display, Level};

findings! {
    no_namespace(name) = "no-namespace" Error,
        "there is no namespace {name}",
        "No job can run in it.",
        "kubectl get namespaces";
    label_value(namespace, label, values, enforce) = "label-value" Error,
        "{namespace}: the label {label} has an unknown value",
        "The API server does not call drydock for job pods of this namespace; they are created unrepaired. The known values are {values}.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    label_unused(namespace, label) = "label-unused" Warning,
        "{namespace} has the label {label}, but no webhook selects it",
        "Job pods of this namespace are created unrepaired. The webhooks exclude drydock's own namespace and kube-system, so that their pods can be created while drydock is down.",
        "kubectl label namespace {namespace} {label}-";
    label_is_annotation(namespace, label, enforce) = "label-is-annotation" Error,
        "{namespace}: {label} is an annotation and must be a label",
        "The API server does not call drydock for job pods of this namespace; they are created unrepaired.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    label_misspelt(namespace, misspelt, label, enforce) = "label-misspelt" Error,
        "{namespace}: the label {misspelt} is unknown",
        "The API server does not call drydock for job pods of this namespace; they are created unrepaired. The label for opting in is {label}.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    not_opted_in(namespace, label, enforce) = "not-opted-in" Error,
        "{namespace} has not opted in",
        "The API server does not call drydock for job pods of this namespace; they are created unrepaired.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    none_opted_in(label, enforce) = "none-opted-in" Warning,
        "no namespace has opted in",
        "The API server never calls drydock. Label the namespaces in which jobs run.",
        "kubectl label namespace NAMESPACE {label}={enforce}";

    quota_used_up(namespace, quota, resources) = "quota-used-up" Warning,
        "{namespace}: ResourceQuota {quota} is used up: {resources}",
        "Until another job ends, job pods that need these resources are refused: \"exceeded quota\".",
        "kubectl -n {namespace} describe resourcequota {quota}";
    quota_counts_claims(namespace, quota, resources, policy) = "quota-counts-claims" Warning,
        "{namespace}: ResourceQuota {quota} limits {resources}, which jobs with dind use",
        "Policy {policy} adds an ephemeral volume to each of these jobs, which creates a PersistentVolumeClaim. So the quota limits how many of these jobs run at a time.",
        "kubectl -n {namespace} describe resourcequota {quota}";
    limits_storage(namespace, range, path, policy) = "limits-ephemeral-storage" Warning,
        "{namespace}: LimitRange {range} limits the ephemeral-storage of every container",
        "Policy {policy} does not add its emptyDir at {path} to jobs with dind: image layers in it would count against the limit, and the kubelet would evict the pod (rule V7).",
        "drydock rules V7", "kubectl -n {namespace} describe limitrange {range}";

    runner_not_opted_in(runner, namespace, guess, label, enforce) = "runner-not-opted-in" Warning,
        "{runner} runs jobs in {namespace}{guess}, which has not opted in",
        "These jobs are not repaired.",
        "kubectl label namespace {namespace} {label}={enforce}";
    runner_namespace_per_job(runner) = "runner-namespace-per-job" Warning,
        "{runner} creates a namespace for each job, and no webhook selects these namespaces",
        "These jobs are not repaired: the runner does not label the namespaces. The component namespace-per-job selects them by the prefix of their names.",
        "drydock print manifests --help";
    runner_rights(account, missing, needed, consequences, command) = "runner-rights" Error,
        "{account} lacks {missing} of the {needed}",
        "{consequences}",
        "{command}";
    runner_rights_minor(account, missing, needed, consequences, command) = "runner-rights-minor" Warning,
        "{account} lacks {missing} of the {needed}",
        "{consequences}",
        "{command}";

    no_policy() = "no-policy" Error,
        "there is no JobPodPolicy",
        "Every job pod is created unrepaired.",
        "drydock print policy > policy.yaml", "kubectl apply -f policy.yaml";
    policy_not_read(policy) = "policy-not-read" Warning,
        "{policy}: no replica of drydock has read it",
        "The policy is not in force, or drydock has no right to write its status.",
        "kubectl describe jobpodpolicy {policy}";
    policy_behind(policy) = "policy-behind" Warning,
        "{policy}: no replica of drydock has read its last change",
        "Until a replica reads the change, the previous version of the policy is in force.",
        "kubectl describe jobpodpolicy {policy}";
    policy_unreadable(policy) = "policy-unreadable" Error,
        "{policy}: this version of drydock cannot parse it",
        "The policy is not in force in replicas of this version.",
        "kubectl get jobpodpolicy {policy} -o yaml | drydock check -";
    policy_not_accepted(policy) = "policy-not-accepted" Error,
        "{policy}: the replicas do not accept it",
        "Its last valid version is in force; if there is none, the policy has no effect.",
        "kubectl describe jobpodpolicy {policy}";
    policy_no_address(policy) = "policy-no-address" Error,
        "{policy}: an object under hostAliases[].from has no address",
        "Jobs get its last known address; without one, drydock does not change how jobs resolve its hostnames.",
        "kubectl describe jobpodpolicy {policy}";
    policy_hostnames(policy) = "policy-hostnames" Warning,
        "{policy}: it does not take all hostnames of an Ingress",
        "Jobs resolve the other hostnames as without drydock.",
        "kubectl describe jobpodpolicy {policy}";
    policy_conflict(policy) = "policy-conflict" Warning,
        "{policy}: a higher-ranked policy overrides it",
        "Jobs that match both policies get the settings of the other policy.",
        "kubectl describe jobpodpolicy {policy}";
    policy_selects_nothing(policy) = "policy-selects-nothing" Warning,
        "{policy}: its namespaceSelector selects no namespace that has opted in",
        "The policy applies to no job.",
        "kubectl get jobpodpolicy {policy} -o jsonpath='{{.spec.namespaceSelector}}'",
        "kubectl get namespaces --show-labels";
    registry_ca_missing(policy, missing, namespace) = "registry-ca-missing" Warning,
        "{policy}: {missing}",
        "Jobs start, but their dind does not trust that registry: \"x509: certificate signed by unknown authority\".",
        "kubectl -n {namespace} create configmap NAME --from-file=ca.crt";
    claim_missing(policy, claim, namespace) = "claim-missing" Error,
        "{policy}: there is no PersistentVolumeClaim {claim} in namespace {namespace}",
        "Jobs with dind stay Pending in this namespace until the runner's timeout.",
        "kubectl -n {namespace} get persistentvolumeclaims";
    pod_security(policy, namespaces, volumes, first) = "pod-security" Warning,
        "{policy}: Pod Security of {namespaces} refuses privileged pods and hostPath volumes",
        "Jobs with dind cannot run in these namespaces, with or without drydock, and no job gets the hostPath volumes of the policy ({volumes}). Other jobs are repaired.",
        "kubectl get namespace {first} --show-labels";
    hostname_elsewhere(policy, hostnames_resolve) = "hostname-elsewhere" Warning,
        "{policy}: {hostnames_resolve} to another address on this computer",
        "If job pods should use another address than this computer, this is right. Otherwise the address in the policy is out of date, and jobs do not reach the server.",
        "kubectl edit jobpodpolicy {policy}";

    other_webhook_last(webhook, namespaces, object) = "other-webhook-last" Warning,
        "{webhook} (in {namespaces}) is called after drydock, and drydock is not called again",
        "drydock does not repair what this webhook adds to a job pod, such as a container with a volume at /certs/client, because its own reinvocationPolicy is not IfNeeded.",
        "kubectl get {object} -o yaml";

    no_pod(pod, namespace) = "no-pod" Error,
        "there is no pod {pod} in namespace {namespace}",
        "The runner deletes the pod of a job when the job ends.",
        "kubectl -n {namespace} get pods";
    pod_too_large(pod) = "pod-too-large" Error,
        "pod {pod} or its changes exceed the limits of drydock",
        "drydock returns an error for such a pod, and failurePolicy decides whether it is created.",
        "drydock rules F6";
    pod_not_of_a_job(reason) = "pod-not-of-a-job" Warning,
        "the pod is not a job pod",
        "drydock does not change it: {reason}.",
        "drydock rules P2";
    pod_not_opted_in(namespace, label, enforce) = "pod-not-opted-in" Error,
        "namespace {namespace} has not opted in",
        "The API server does not call drydock for job pods of this namespace; they are created unrepaired.",
        "drydock doctor -n {namespace}", "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    pod_without_policy() = "pod-without-policy" Error,
        "no policy matches the pod",
        "The selectors of the policies do not select its labels or those of its namespace.",
        "kubectl get jobpodpolicies -o yaml";
    pod_denied(explain) = "pod-denied" Warning,
        "a policy would deny the pod now (onConflict: Deny)",
        "The pod was created before the policy, or without drydock.",
        "{explain}";
    pod_not_repaired(why, explain) = "pod-not-repaired" Error,
        "the pod is not as the policies ask; if it were created now, drydock would make these changes",
        "The job runs without these changes. {why}",
        "{explain}";
}
