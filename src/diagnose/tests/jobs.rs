//! Faults in namespaces, runners and other webhooks.

use crate::diagnose::dry_run_pods::{DryRun, DryRunResult, PodKind};
use crate::diagnose::facts::Reason;
use crate::diagnose::permissions::Need;
use crate::diagnose::runner::RunnerSettings;
use crate::diagnose::testing::{
    answered, configuration, dry_run, namespace, object, read_error, runner, webhook, with,
};
use crate::diagnose::view::View;
use serde_json::{Value, json};

const RUNNER: &str = "gitlab/deployment/gitlab-runner";

fn refusals(message: &str) -> Vec<String> {
    with(|facts| {
        facts.dry_runs = vec![dry_run(PodKind::Other, false)];
        let refused = |kind| answered(kind, DryRunResult::Refused(message.to_owned()));
        facts.dry_runs.extend(PodKind::GENERATIONS.map(refused));
    })
}

#[test]
pub(super) fn refused_and_unchanged_job_pods_are_found() {
    let no_endpoints = refusals(
        "Internal error occurred: failed calling webhook \"enforce.job-pods.drydock.dev\": failed to call webhook: Post \"https://drydock.drydock.svc:443/mutate?timeout=5s\": no endpoints available for service \"drydock\"",
    );
    assert_eq!(
        no_endpoints,
        ["error refused-no-endpoints: ci: a job pod is refused: no replica is ready"]
    );
    let unchanged = with(|facts| {
        facts.dry_runs = vec![dry_run(PodKind::Other, false)];
        facts
            .dry_runs
            .extend(PodKind::GENERATIONS.map(|kind| dry_run(kind, false)));
    });
    assert_eq!(
        unchanged,
        ["error not-repaired: ci: job pods are not repaired"]
    );
    let one_generation = with(|facts| {
        facts
            .dry_runs
            .retain(|dry_run| dry_run.kind != PodKind::Annotations);
        facts.dry_runs.push(dry_run(PodKind::Annotations, false));
    });
    assert_eq!(
        one_generation,
        ["error not-repaired: ci: 1 of 3 kinds of job pods are not repaired"]
    );
    let forbidden = with(|facts| {
        let error = read_error("create", "pods", Reason::Forbidden);
        facts.dry_runs = vec![answered(PodKind::Other, DryRunResult::Failed(error))];
    });
    assert_eq!(
        forbidden,
        ["warning not-allowed: you are not allowed to create pods"]
    );
}

/// Only missing permissions are summarized for all namespaces.
#[test]
fn failed_dry_runs_in_several_namespaces_are_one_finding() {
    let failures = |reason: Reason| {
        with(|facts| {
            let failed = |namespace: &str| DryRun {
                namespace: namespace.to_owned(),
                ..answered(
                    PodKind::Other,
                    DryRunResult::Failed(read_error("create", "pods", reason.clone())),
                )
            };
            facts.dry_runs = ["ci", "mobile"].map(failed).into();
        })
    };
    assert_eq!(
        failures(Reason::Forbidden),
        ["warning not-allowed: you are not allowed to create pods in ci and mobile"]
    );
    assert_eq!(
        failures(Reason::NoAnswer),
        ["warning no-answer: the request to create pods timed out"]
    );
}

/// The namespace also refuses a pod for which drydock is not called, so drydock is not the cause.
#[test]
pub(super) fn only_the_refusal_of_a_pod_that_is_not_a_job_pod_is_a_finding() {
    let quota = "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    let findings = with(|facts| {
        let refused = |kind| answered(kind, DryRunResult::Refused(quota.to_owned()));
        facts.dry_runs = [PodKind::Other, PodKind::Label].map(refused).into();
    });
    assert_eq!(
        findings,
        ["warning refused-quota: ci: a pod that is not a job pod is refused by a ResourceQuota"]
    );
}

#[test]
pub(super) fn unchanged_pods_in_audit_mode_are_no_finding() {
    let findings = with(|facts| {
        facts.namespaces = Ok(vec![object(namespace(
            "ci",
            &json!({"drydock.dev/job-pods": "audit"}),
        ))]);
        facts.dry_runs = PodKind::GENERATIONS.map(|kind| dry_run(kind, false)).into();
    });
    assert_eq!(findings, [""; 0]);
}

#[test]
pub(super) fn wrong_labels_are_found() {
    let of = |labels: Value, annotations: Value| {
        with(|facts| {
            let mut wrong = namespace("ci2", &labels);
            wrong["metadata"]["annotations"] = annotations;
            facts.namespaces.as_mut().unwrap().push(object(wrong));
        })
    };
    for value in ["true", "enabled", "Enforce", ""] {
        assert_eq!(
            of(json!({"drydock.dev/job-pods": value}), json!({})),
            [format!(
                "error label-value: ci2: the label drydock.dev/job-pods has the unknown value \"{value}\""
            )]
        );
    }
    assert_eq!(
        of(json!({}), json!({"drydock.dev/job-pods": "enforce"})),
        [
            "error label-is-annotation: ci2: drydock.dev/job-pods is set as an annotation, but must be a label"
        ]
    );
    assert_eq!(
        of(json!({"drydock.dev/job-pod": "enforce"}), json!({})),
        ["error label-misspelt: ci2: the label drydock.dev/job-pod is unknown"]
    );
    assert_eq!(of(json!({"team": "mobile"}), json!({})), [""; 0]);
    let own = with(|facts| {
        let own = namespace("drydock", &json!({"drydock.dev/job-pods": "enforce"}));
        facts.namespaces.as_mut().unwrap().push(object(own));
    });
    assert_eq!(
        own,
        [
            "warning label-unused: drydock: no webhook selects the namespace, although it has the label drydock.dev/job-pods"
        ]
    );
}

#[test]
pub(super) fn selected_namespaces_that_have_not_opted_in_are_found() {
    let findings = with(|facts| facts.selected = vec!["default".to_owned(), "gone".to_owned()]);
    assert_eq!(
        findings,
        [
            "error not-opted-in: namespace default has not opted in: it does not have the label drydock.dev/job-pods",
            "error no-namespace: namespace gone does not exist",
        ]
    );
    let none = with(|facts| {
        facts.namespaces = Ok(vec![object(namespace("ci", &json!({})))]);
        facts.dry_runs.clear();
    });
    assert_eq!(
        none,
        [
            "warning none-opted-in: no namespace has opted in",
            "warning runner-not-opted-in: gitlab/deployment/gitlab-runner (17.11) runs jobs in namespace ci, which has not opted in",
        ]
    );
}

#[test]
pub(super) fn runners_with_jobs_in_other_namespaces_are_found() {
    let elsewhere = with(|facts| {
        let settings = RunnerSettings {
            namespaces: vec!["default".to_owned()],
            ..RunnerSettings::default()
        };
        facts
            .runner_settings
            .insert(RUNNER.to_owned(), Ok(settings));
    });
    assert_eq!(
        elsewhere,
        [
            "warning runner-not-opted-in: gitlab/deployment/gitlab-runner (17.11) runs jobs in namespace default, which has not opted in"
        ]
    );
    let per_job = with(|facts| {
        let settings = RunnerSettings {
            namespace_per_job: true,
            ..RunnerSettings::default()
        };
        facts
            .runner_settings
            .insert(RUNNER.to_owned(), Ok(settings));
    });
    assert_eq!(
        per_job,
        [
            "warning runner-namespace-per-job: gitlab/deployment/gitlab-runner (17.11) creates a namespace for each job, and no webhook selects these namespaces"
        ]
    );
}

#[test]
pub(super) fn label_values_and_name_prefixes_of_the_webhooks_are_used() {
    let findings = with(|facts| {
        let mut enforce = webhook("enforce");
        enforce["namespaceSelector"]["matchExpressions"][0]["values"] = json!(["canary"]);
        let mut by_name = webhook("namespace-per-job");
        by_name["namespaceSelector"]["matchExpressions"][0] =
            json!({"key": "drydock.dev/job-pods", "operator": "DoesNotExist"});
        by_name["matchConditions"] =
            json!([{"name": "n", "expression": "request.namespace.startsWith('ci-job-')"}]);
        let webhooks = json!([enforce, webhook("audit"), by_name]);
        facts.webhook_configurations = Ok(vec![object(configuration("drydock", &webhooks))]);
        facts.namespaces = Ok(vec![
            object(namespace("ci", &json!({"drydock.dev/job-pods": "canary"}))),
            object(namespace("ci-job-7", &json!({}))),
            object(namespace("default", &json!({}))),
        ]);
        let settings = RunnerSettings {
            namespace_per_job: true,
            ..RunnerSettings::default()
        };
        facts
            .runner_settings
            .insert(RUNNER.to_owned(), Ok(settings));
        let view = View::of(facts);
        let names: Vec<&str> = view.opted_in.iter().map(|one| one.name).collect();
        assert_eq!(names, ["ci", "ci-job-7"]);
    });
    assert_eq!(findings, [""; 0]);
}

#[test]
pub(super) fn a_runner_configuration_that_cannot_be_read_is_a_finding() {
    let findings = with(|facts| {
        let forbidden = read_error("get", "configmaps", Reason::Forbidden);
        let settings = [(RUNNER.to_owned(), Err(forbidden))];
        facts.runner_settings = settings.into();
    });
    assert_eq!(
        findings,
        ["warning not-allowed: you are not allowed to get configmaps"]
    );
}

#[test]
pub(super) fn missing_permissions_of_a_runner_are_found() {
    let lacking = |need: Need| {
        with(move |facts| {
            let reviews = facts.permissions.get_mut(RUNNER).unwrap();
            for review in reviews {
                review.allowed = Ok(review.permission.need != need);
            }
        })
    };
    assert_eq!(
        lacking(Need::Credentials),
        [
            "error runner-rights: ServiceAccount gitlab/runner lacks 4 of the 16 permissions that GitLab Runner 17.11 needs in ci"
        ]
    );
    assert_eq!(
        lacking(Need::Events),
        [
            "warning runner-rights-minor: ServiceAccount gitlab/runner lacks 1 of the 16 permissions that GitLab Runner 17.11 needs in ci"
        ]
    );
    let old = with(|facts| {
        facts.deployments = Ok(vec![object(runner("gitlab/gitlab-runner:v13.12.0"))]);
    });
    assert_eq!(old, [""; 0]);
}

#[test]
pub(super) fn other_webhooks_are_called_before_or_after_drydock() {
    let other = |name: &str, reinvocation: &str| {
        let mut reports = Vec::new();
        let findings = with(|facts| {
            let mut enforce = webhook("enforce");
            enforce["reinvocationPolicy"] = reinvocation.into();
            let other = json!({
                "name": "sidecar.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"url": "https://a"},
                "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}],
            });
            facts.webhook_configurations = Ok(vec![
                object(configuration(
                    "drydock",
                    &json!([enforce, webhook("audit")]),
                )),
                object(configuration(name, &json!([other]))),
            ]);
            reports = crate::diagnose::other_webhooks::checks(&View::of(facts));
        });
        (reports.remove(0).text, findings)
    };
    let (before, findings) = other("a-sidecar", "IfNeeded");
    assert_eq!(
        before,
        "sidecar.example.com (in ci) is called before drydock, so drydock sees its changes"
    );
    assert_eq!(findings, [""; 0]);
    let (after, findings) = other("sidecar", "IfNeeded");
    assert_eq!(
        after,
        "sidecar.example.com (in ci) is called after drydock; if it changes the pod, drydock is called again"
    );
    assert_eq!(findings, [""; 0]);
    let (never_again, findings) = other("sidecar", "Never");
    assert_eq!(
        never_again,
        "sidecar.example.com (in ci) is called after drydock, and drydock is not called again"
    );
    assert_eq!(findings.len(), 1);
}
