//! The runners: whether their jobs run in a namespace that opted in, and whether their
//! ServiceAccount may do what they do.

use super::finding::jobs as finding;
use super::installation::prefix;
use super::report::Check;
use super::rights::{Need, Right};
use super::runner::{Runner, Settings, Version, runners};
use super::text::{count, list};
use super::view::View;
use crate::names::OPT_IN_LABEL;
use std::collections::BTreeMap;

/// Settings of one's own are compared with the API server's text since then.
const RETRY_LIMITS: Version = Version(17, 1);

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    let facts = view.facts;
    let unread = [
        facts.deployments.as_ref().err(),
        facts.stateful_sets.as_ref().err(),
    ];
    let unread = unread.into_iter().flatten();
    let mut checks: Vec<Check> = unread
        .map(|unread| unread.check("where GitLab Runners are and where their jobs run"))
        .collect();
    let deployments = facts.deployments.as_deref().unwrap_or_default();
    let stateful_sets = facts.stateful_sets.as_deref().unwrap_or_default();
    for runner in runners(deployments, stateful_sets) {
        let own = of_runner(view, &runner).into_iter();
        checks.extend(own.map(|check| check.about(runner.object.clone())));
    }
    if checks.is_empty() {
        let check = Check::good("runners", "no GitLab Runner is found in the cluster");
        checks.push(check.advice(
            "A runner outside of the cluster is not seen here, nor are the rights of its account.",
        ));
    }
    checks
}

fn of_runner(view: &View<'_>, runner: &Runner) -> Vec<Check> {
    let mut checks = Vec::new();
    let settings = match view.facts.runner_settings.get(&runner.title()) {
        Some(Ok(settings)) => Some(settings),
        Some(Err(unread)) => {
            let unknown = format!("in which namespaces the jobs of {} run", runner.title());
            checks.push(unread.check(&unknown));
            None
        }
        None => None,
    };
    let (namespaces, is_default) = runner.job_namespaces(settings);
    let version = runner.version.map_or_else(
        || "version unknown".to_owned(),
        |version| version.to_string(),
    );
    if settings.is_some_and(|settings| settings.namespace_per_job) {
        checks.extend(namespace_per_job(view, runner, &version));
    } else {
        let places = namespaces.iter();
        checks.extend(places.map(|place| jobs_in(view, runner, &version, place, is_default)));
    }
    checks.extend(rights(view, runner, &version, &namespaces));
    checks.extend(settings.and_then(|settings| retries(runner, settings)));
    checks
}

fn jobs_in(
    view: &View<'_>,
    runner: &Runner,
    version: &str,
    namespace: &str,
    is_default: bool,
) -> Check {
    let title = runner.title();
    let guess = match is_default {
        true => " (its own; its configuration names no other)",
        false => "",
    };
    let is_out_of_sight = !view.facts.selected.is_empty() && view.namespace(namespace).is_none();
    let is_known = view.facts.namespaces.is_ok() && !is_out_of_sight;
    if is_known && view.opted_in(namespace).is_none() {
        let (label, value) = (OPT_IN_LABEL, view.enforce());
        return finding::runner_not_opted_in(title, version, namespace, guess, label, value);
    }
    let text = format!("{title} ({version}): jobs run in {namespace}{guess}");
    Check::good("runner-namespace", text)
}

/// The namespaces of jobs have no labels, so no label can opt them in.
fn namespace_per_job(view: &View<'_>, runner: &Runner, version: &str) -> Option<Check> {
    view.facts.configurations.as_ref().ok()?;
    let mut webhooks = view.installations.iter().flat_map(|one| &one.webhooks);
    let title = runner.title();
    Some(match webhooks.find_map(|webhook| prefix(webhook)) {
        None => finding::runner_namespace_per_job(title, version),
        Some(prefix) => {
            let text = format!(
                "{title} ({version}): a namespace for each job; drydock is called for {prefix}*"
            );
            Check::good("runner-namespace", text)
        }
    })
}

fn rights(view: &View<'_>, runner: &Runner, version: &str, namespaces: &[String]) -> Option<Check> {
    let asked = view.facts.rights.get(&runner.title())?;
    if let Some(unread) = asked.iter().find_map(|(_, answer)| answer.as_ref().err()) {
        let user = runner.user();
        return Some(unread.check(&format!(
            "whether {user} has the rights that its runner needs"
        )));
    }
    let missing = asked.iter().filter(|(_, answer)| answer == &Ok(false));
    let missing: Vec<Right> = missing.map(|(right, _)| *right).collect();
    let account = format!(
        "ServiceAccount {}/{}",
        runner.namespace, runner.service_account
    );
    let (all, places) = (count(asked.len(), "right"), list(namespaces));
    let Some(first) = missing.first() else {
        let text = format!("{account} has the {all} that {version} needs in {places}");
        return Some(Check::good("runner-rights", text));
    };
    let command = format!(
        "kubectl auth can-i {} {} -n {} --as={}",
        first.verb,
        first.resource,
        namespaces.first()?,
        runner.user()
    );
    let number = missing.len();
    let check = match missing.iter().any(|right| right.need.is_vital()) {
        true => finding::runner_rights(account, number, all, version, places, command),
        false => finding::runner_rights_minor(account, number, all, version, places, command),
    };
    Some(check.details(table(&missing)))
}

/// One line for each resource and need.
fn table(missing: &[Right]) -> Vec<String> {
    let mut rows: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for right in missing {
        let row = (right.resource, Need::without(right.need));
        rows.entry(row).or_default().push(right.verb);
    }
    let rows = rows.into_iter();
    rows.map(|((resource, without), verbs)| format!("{resource}: {} ({without})", verbs.join(", ")))
        .collect()
}

fn retries(runner: &Runner, settings: &Settings) -> Option<Check> {
    const NAME: &str = "runner-retries";
    if runner.version.is_some_and(|version| version < RETRY_LIMITS) {
        return None;
    }
    let title = runner.title();
    Some(match settings.retries_webhooks {
        true => Check::good(NAME, format!("{title} tries again when a webhook fails")),
        false => Check::good(NAME, format!("{title} does not try again when a webhook fails")).advice(
            "A job whose pod is created while drydock restarts then fails at once. In config.toml: [runners.kubernetes.retry_limits] \"failed calling webhook\" = 10",
        ),
    })
}
