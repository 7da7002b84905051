//! Findings about jobs: namespaces, runners, policies, other webhooks, and one pod.

use super::{Check, Display, Level};

findings! {
    no_namespace(name) = "no-namespace" Error,
        "there is no namespace {name}",
        "No job can run there.",
        "kubectl get namespaces";
    label_value(namespace, label, values, enforce) = "label-value" Error,
        "{namespace}: the label {label} has a value that means nothing",
        "The API server does not call drydock for its job pods; they are created unrepaired. The values are {values}.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    label_unused(namespace, label) = "label-unused" Warning,
        "{namespace}: it has the label, and no webhook selects it",
        "Its job pods are created unrepaired. drydock's own namespace and kube-system are excluded, so that they never need drydock.",
        "kubectl label namespace {namespace} {label}-";
    label_is_annotation(namespace, label, enforce) = "label-is-annotation" Error,
        "{namespace}: {label} is an annotation there, and must be a label",
        "The API server does not call drydock for its job pods; they are created unrepaired.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    label_misspelt(namespace, misspelt, label, enforce) = "label-misspelt" Error,
        "{namespace}: the label {misspelt} means nothing",
        "The API server does not call drydock for its job pods; they are created unrepaired. The label is {label}.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    not_opted_in(namespace, label, enforce) = "not-opted-in" Error,
        "{namespace}: has not opted in",
        "The API server does not call drydock for its job pods; they are created unrepaired.",
        "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    none_opted_in(label, enforce) = "none-opted-in" Warning,
        "no namespace has opted in",
        "The API server never calls drydock. Give the label to the namespaces in which jobs run.",
        "kubectl label namespace NAMESPACE {label}={enforce}";

    quota_used_up(namespace, quota, resources) = "quota-used-up" Warning,
        "{namespace}: ResourceQuota {quota} is used up: {resources}",
        "Job pods that need more of it are refused until another job ends: \"exceeded quota\".",
        "kubectl -n {namespace} describe resourcequota {quota}";
    quota_counts_claims(namespace, quota, resources, policy) = "quota-counts-claims" Warning,
        "{namespace}: ResourceQuota {quota} counts {resources}, which jobs with dind use",
        "Policy {policy} gives each of them an ephemeral volume, which is a claim, so the quota limits how many run at a time.",
        "kubectl -n {namespace} describe resourcequota {quota}";
    limits_storage(namespace, range, path, policy) = "limits-ephemeral-storage" Warning,
        "{namespace}: LimitRange {range} limits ephemeral-storage of every container",
        "Jobs with dind get no emptyDir at {path} from policy {policy}: image layers in it would count against the limit, and the pod would be evicted (rule V7).",
        "drydock rules V7", "kubectl -n {namespace} describe limitrange {range}";

    runner_not_opted_in(runner, version, namespace, guess, label, enforce) = "runner-not-opted-in" Warning,
        "{runner} ({version}): jobs run in {namespace}{guess}, which has not opted in",
        "These jobs are not repaired.",
        "kubectl label namespace {namespace} {label}={enforce}";
    runner_namespace_per_job(runner, version) = "runner-namespace-per-job" Warning,
        "{runner} ({version}) makes a namespace for each job, which never opts in",
        "The runner gives these namespaces no labels, so their jobs are not repaired. The installation can take them by the prefix of their names: component namespace-per-job.",
        "drydock print manifests --help";
    runner_rights(account, missing, all, version, namespaces, command) = "runner-rights" Error,
        "{account} lacks {missing} of {all} that {version} needs in {namespaces}",
        "Jobs fail, repaired or not.",
        "{command}";
    runner_rights_minor(account, missing, all, version, namespaces, command) = "runner-rights-minor" Warning,
        "{account} lacks {missing} of {all} that {version} needs in {namespaces}",
        "Jobs run. Without the right to list events, authors do not read drydock's Events in the job log.",
        "{command}";

    no_policy() = "no-policy" Error,
        "there is no JobPodPolicy",
        "Every job pod is created unrepaired.",
        "drydock print policy > policy.yaml", "kubectl apply -f policy.yaml";
    policy_not_read(policy) = "policy-not-read" Warning,
        "{policy}: no replica of drydock has read it",
        "It is not in force, or drydock may not write its status.",
        "kubectl describe jobpodpolicy {policy}";
    policy_behind(policy) = "policy-behind" Warning,
        "{policy}: the last change is not read yet",
        "Until a replica reads it, jobs get what the policy said before.",
        "kubectl describe jobpodpolicy {policy}";
    policy_unreadable(policy) = "policy-unreadable" Error,
        "{policy}: this version of drydock cannot read it",
        "With this version it is not in force.",
        "kubectl get jobpodpolicy {policy} -o yaml | drydock check -";
    policy_not_accepted(policy) = "policy-not-accepted" Error,
        "{policy}: it is not in force as it is written",
        "Jobs get its last good version, or nothing of it.",
        "kubectl describe jobpodpolicy {policy}";
    policy_no_address(policy) = "policy-no-address" Error,
        "{policy}: an object under hostAliases[].from has no address",
        "Jobs get its last known address; where there never was one, its hostnames are left alone.",
        "kubectl describe jobpodpolicy {policy}";
    policy_hostnames(policy) = "policy-hostnames" Warning,
        "{policy}: hostnames of an Ingress are not taken",
        "Jobs resolve these hostnames as without drydock.",
        "kubectl describe jobpodpolicy {policy}";
    policy_conflict(policy) = "policy-conflict" Warning,
        "{policy}: a higher-ranked policy overrides it",
        "Jobs that match both policies get the settings of the other one.",
        "kubectl describe jobpodpolicy {policy}";
    policy_selects_nothing(policy) = "policy-selects-nothing" Warning,
        "{policy}: its namespaceSelector selects no namespace that opted in",
        "It is in force for no job.",
        "kubectl get jobpodpolicy {policy} -o jsonpath='{{.spec.namespaceSelector}}'",
        "kubectl get namespaces --show-labels";
    registry_ca_missing(policy, missing, namespace) = "registry-ca-missing" Warning,
        "{policy}: {missing}",
        "Jobs start, but their dind does not trust that registry: \"x509: certificate signed by unknown authority\".",
        "kubectl -n {namespace} create configmap NAME --from-file=ca.crt";
    claim_missing(policy, claim, namespace) = "claim-missing" Error,
        "{policy}: there is no PersistentVolumeClaim {claim} in namespace {namespace}",
        "Jobs with dind stay Pending there, until the runner gives up.",
        "kubectl -n {namespace} get persistentvolumeclaims";
    pod_security(policy, namespaces, volumes, first) = "pod-security" Warning,
        "{policy}: Pod Security of {namespaces} refuses privileged pods and hostPath",
        "Jobs with dind cannot run there, with or without drydock, and no job gets the policy's hostPath volumes ({volumes}). Other jobs are repaired.",
        "kubectl get namespace {first} --show-labels";
    hostname_elsewhere(policy, hostnames_resolve) = "hostname-elsewhere" Warning,
        "{policy}: {hostnames_resolve} elsewhere from here",
        "This is right if jobs are to take another way than this computer. Otherwise the policy's address is out of date, and jobs do not reach the server.",
        "kubectl edit jobpodpolicy {policy}";

    other_webhook_last(webhook, namespaces, object) = "other-webhook-last" Warning,
        "{webhook} ({namespaces}) is called after drydock, which is not called again",
        "What it adds to a job pod, such as a container with a volume at /certs/client, is not repaired: drydock's reinvocationPolicy is not IfNeeded.",
        "kubectl get {object} -o yaml";

    no_pod(pod, namespace) = "no-pod" Error,
        "there is no pod {pod} in namespace {namespace}",
        "The runner deletes a job's pod when the job ends.",
        "kubectl -n {namespace} get pods";
    pod_too_large(pod) = "pod-too-large" Error,
        "pod {pod} is larger than drydock reads, or its changes than drydock writes",
        "drydock answers such a review with an error, and the failurePolicy decides.",
        "drydock rules F6";
    pod_not_of_a_job(reason) = "pod-not-of-a-job" Warning,
        "it is no job pod",
        "drydock leaves it alone: {reason}.",
        "drydock rules P2";
    pod_not_opted_in(namespace, label, enforce) = "pod-not-opted-in" Error,
        "namespace {namespace} has not opted in",
        "The API server does not call drydock for its job pods; they are created unrepaired.",
        "drydock doctor -n {namespace}", "kubectl label namespace {namespace} {label}={enforce} --overwrite";
    pod_without_policy() = "pod-without-policy" Error,
        "no policy matches it",
        "Its labels or those of its namespace are not what the selectors of the policies ask for.",
        "kubectl get jobpodpolicies -o yaml";
    pod_denied(explain) = "pod-denied" Warning,
        "a policy would refuse it now (onConflict: Deny)",
        "It was created before that policy, or without drydock.",
        "{explain}";
    pod_not_repaired(why, explain) = "pod-not-repaired" Error,
        "it is not as the policies want it; created now, drydock would have",
        "The job runs without these changes. {why}",
        "{explain}";
}
