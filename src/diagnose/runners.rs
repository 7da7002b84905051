//! Checks whether the jobs of each runner run in a namespace that has opted in, and whether its
//! ServiceAccount has the permissions that the runner needs.

use super::finding::jobs as finding;
use super::installation::namespace_prefix;
use super::permissions::{Need, ReviewedPermission, by_permission, table};
use super::report::Check;
use super::runner::{Runner, RunnerSettings, Version, runners};
use super::text::{count, list};
use super::view::View;
use crate::names::OPT_IN_LABEL;
use std::collections::BTreeSet;

/// The first version of GitLab Runner that compares the keys of `retry_limits` with the message of
/// the API server.
const FIRST_WITH_RETRY_LIMITS: Version = Version(17, 1);

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    let facts = view.facts;
    let errors = [
        facts.deployments.as_ref().err(),
        facts.stateful_sets.as_ref().err(),
    ];
    let errors = errors.into_iter().flatten();
    let mut checks: Vec<Check> = errors
        .map(|error| error.check("which GitLab Runners exist and where their jobs run"))
        .collect();
    let deployments = facts.deployments.as_deref().unwrap_or_default();
    let stateful_sets = facts.stateful_sets.as_deref().unwrap_or_default();
    for runner in runners(deployments, stateful_sets) {
        let own = runner_checks(view, &runner).into_iter();
        checks.extend(own.map(|check| check.about(runner.object.clone())));
    }
    if checks.is_empty() {
        let check = Check::info("runners", "no GitLab Runner was found in the cluster");
        checks.push(check.advice("drydock doctor cannot check runners outside of the cluster."));
    }
    checks
}

fn runner_checks(view: &View<'_>, runner: &Runner) -> Vec<Check> {
    let mut checks = Vec::new();
    let settings = match view.facts.runner_settings.get(&runner.title()) {
        Some(Ok(settings)) => Some(settings),
        Some(Err(error)) => {
            let unknown = format!("in which namespaces the jobs of {} run", runner.title());
            checks.push(error.check(&unknown));
            None
        }
        None => None,
    };
    let (namespaces, is_default) = runner.job_namespaces(settings);
    let per_job = settings.is_some_and(|settings| settings.namespace_per_job);
    if per_job {
        checks.extend(namespace_per_job(view, runner));
    } else {
        let namespaces = namespaces.iter();
        checks.extend(namespaces.map(|namespace| jobs_in(view, runner, namespace, is_default)));
    }
    let job_namespaces = match per_job {
        true => "all namespaces".to_owned(),
        false => list(&namespaces),
    };
    checks.extend(permissions(view, runner, &job_namespaces));
    checks.extend(settings.and_then(|settings| retries(runner, settings)));
    checks
}

/// Returns the name and the version of a runner for messages.
fn versioned(runner: &Runner) -> String {
    match runner.version {
        Some(version) => format!("{} ({version})", runner.title()),
        None => format!("{} (version unknown)", runner.title()),
    }
}

fn jobs_in(view: &View<'_>, runner: &Runner, namespace: &str, is_default: bool) -> Check {
    let runner = versioned(runner);
    const NAME: &str = "runner-namespace";
    let note = match is_default {
        true => " (its own namespace, because its configuration sets no other)",
        false => "",
    };
    let is_unselected = !view.facts.selected.is_empty() && view.namespace(namespace).is_none();
    if view.facts.namespaces.is_err() || is_unselected {
        Check::info(
            NAME,
            format!("{runner} runs jobs in namespace {namespace}{note}"),
        )
    } else if view.opted_in(namespace).is_none() {
        finding::runner_not_opted_in(runner, namespace, note, OPT_IN_LABEL, view.enforce_value())
    } else {
        let text = format!("{runner} runs jobs in namespace {namespace}{note}, which has opted in");
        Check::good(NAME, text)
    }
}

/// Checks whether a webhook selects the namespaces that the runner creates. These namespaces have
/// no opt-in label, so the webhook must select them by their names.
fn namespace_per_job(view: &View<'_>, runner: &Runner) -> Option<Check> {
    view.facts.webhook_configurations.as_ref().ok()?;
    let mut webhooks = view.installations.iter().flat_map(|one| &one.webhooks);
    let runner = versioned(runner);
    Some(
        match webhooks.find_map(|webhook| namespace_prefix(webhook)) {
            None => finding::runner_namespace_per_job(runner),
            Some(prefix) => {
                let text = format!(
                    "{runner} creates a namespace for each job, and a webhook selects the namespaces whose names begin with {prefix}"
                );
                Check::good("runner-namespace", text)
            }
        },
    )
}

fn permissions(view: &View<'_>, runner: &Runner, job_namespaces: &str) -> Option<Check> {
    let reviews = view.facts.permissions.get(&runner.title())?;
    let mut errors = reviews
        .iter()
        .filter_map(|review| review.allowed.as_ref().err());
    if let Some(error) = errors.next() {
        let user = runner.user();
        return Some(error.check(&format!(
            "whether {user} has the permissions that the runner needs"
        )));
    }
    let account = format!(
        "ServiceAccount {}/{}",
        runner.namespace, runner.service_account
    );
    let permissions = by_permission(reviews);
    let missing = permissions.iter().filter(|one| !one.denied_in.is_empty());
    let missing: Vec<&ReviewedPermission<'_>> = missing.collect();
    let version = match runner.version {
        Some(version) => format!("GitLab Runner {version}"),
        None => "the newest GitLab Runner".to_owned(),
    };
    let needed = format!(
        "{} that {version} needs in {job_namespaces}",
        count(permissions.len(), "permission")
    );
    let Some(first) = missing.first() else {
        let text = format!("{account} has the {needed}");
        let check = Check::good("runner-rights", text);
        return Some(check.table(table(reviews)));
    };
    let namespace = first
        .denied_in
        .first()
        .copied()
        .filter(|name| !name.is_empty());
    let command = format!(
        "kubectl auth can-i {} {}{} --as={}",
        first.permission.verb,
        first.permission.resource,
        namespace.map_or_else(String::new, |name| format!(" -n {name}")),
        runner.user()
    );
    let needs: BTreeSet<Need> = missing.iter().map(|one| one.permission.need).collect();
    let consequences: Vec<&str> = needs.iter().map(|need| need.consequence()).collect();
    let consequences = consequences.join(" ");
    let number = missing.len();
    let check = match needs.iter().any(|need| need.fails_jobs()) {
        true => finding::runner_permissions(account, number, needed, consequences, command),
        false => finding::runner_permissions_minor(account, number, needed, consequences, command),
    };
    Some(check.table(table(reviews)))
}

fn retries(runner: &Runner, settings: &RunnerSettings) -> Option<Check> {
    const NAME: &str = "runner-retries";
    if runner
        .version
        .is_some_and(|version| version < FIRST_WITH_RETRY_LIMITS)
    {
        return None;
    }
    let title = runner.title();
    Some(match settings.retries_webhooks {
        true => Check::good(NAME, format!("{title} retries when the call to a webhook fails")),
        false => Check::info(NAME, format!("{title} does not retry when the call to a webhook fails")).advice(
            "A job fails if drydock restarts while the pod of the job is created. To retry, set in config.toml: [runners.kubernetes.retry_limits] \"failed calling webhook\" = 10",
        ),
    })
}
