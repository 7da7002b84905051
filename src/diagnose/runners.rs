//! The runners: whether their jobs run in a namespace that opted in, and whether their
//! ServiceAccount may do what they do.

use super::facts::Facts;
use super::installation::{installations, prefix};
use super::namespaces::opted_in;
use super::report::Check;
use super::rights::{Need, Right};
use super::runner::{Runner, Version, runners};
use super::words::{count, list};
use crate::names::{ENFORCE, OPT_IN_LABEL};
use std::collections::BTreeMap;

/// Settings of one's own are compared with the API server's text since then.
const RETRY_LIMITS: Version = Version(17, 1);

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    for read in [
        facts.deployments.as_ref().map(|_| ()),
        facts.stateful_sets.as_ref().map(|_| ()),
    ] {
        if let Err(unread) = read {
            checks.push(unread.check(
                "runners",
                "where GitLab Runners are and where their jobs run",
            ));
        }
    }
    let deployments = facts.deployments.as_deref().unwrap_or_default();
    let stateful_sets = facts.stateful_sets.as_deref().unwrap_or_default();
    let found = runners(deployments, stateful_sets);
    for runner in &found {
        checks.extend(of_runner(facts, runner));
    }
    if checks.is_empty() {
        checks.push(
            Check::good("runners", "no GitLab Runner is found in the cluster").advice(
                "A runner outside of it is not seen here; its ServiceAccount is not looked at.",
            ),
        );
    }
    checks
}

fn of_runner(facts: &Facts, runner: &Runner) -> Vec<Check> {
    let settings = match facts.runner_settings.get(&runner.title()) {
        Some(Ok(settings)) => Some(settings),
        _ => None,
    };
    let (namespaces, is_default) = runner.job_namespaces(settings);
    let version = runner.version.map_or_else(
        || "version unknown".to_owned(),
        |version| version.to_string(),
    );
    let mut checks = Vec::new();
    if settings.is_some_and(|settings| settings.namespace_per_job) {
        checks.extend(namespace_per_job(facts, runner, &version));
    } else {
        for namespace in &namespaces {
            checks.push(jobs_in(facts, runner, &version, namespace, is_default));
        }
    }
    checks.extend(rights(facts, runner, &version, &namespaces));
    checks.extend(retries(facts, runner, settings));
    let about = |check: Check| match check.object {
        None => check.about(runner.object.clone()),
        Some(_) => check,
    };
    checks.into_iter().map(about).collect()
}

fn jobs_in(
    facts: &Facts,
    runner: &Runner,
    version: &str,
    namespace: &str,
    is_default: bool,
) -> Check {
    const NAME: &str = "runner-namespace";
    let title = runner.title();
    let guess = match is_default {
        true => " (its own; its configuration names no other)",
        false => "",
    };
    let text = format!("{title} ({version}): jobs run in {namespace}{guess}");
    let Ok(namespaces) = &facts.namespaces else {
        return Check::good(NAME, text);
    };
    let is_known = namespaces
        .iter()
        .any(|one| one.metadata.name.as_deref() == Some(namespace));
    if !is_known && !facts.selected.is_empty() {
        return Check::good(NAME, text);
    }
    let opted_in = opted_in(facts.configurations.as_deref().ok(), namespaces);
    if opted_in.iter().any(|one| one.name == namespace) {
        return Check::good(NAME, text);
    }
    Check::warning(
        NAME,
        format!("{title} ({version}): jobs run in {namespace}{guess}, which has not opted in"),
        "These jobs are not repaired.",
    )
    .next(format!(
        "kubectl label namespace {namespace} {OPT_IN_LABEL}={ENFORCE}"
    ))
}

/// The namespaces of jobs have no labels, so no label can opt them in.
fn namespace_per_job(facts: &Facts, runner: &Runner, version: &str) -> Option<Check> {
    const NAME: &str = "runner-namespace";
    let title = runner.title();
    let configurations = facts.configurations.as_ref().ok()?;
    let installations = installations(configurations);
    let webhooks = installations.iter().flat_map(|one| &one.webhooks);
    let prefixes: Vec<&str> = webhooks.filter_map(|webhook| prefix(webhook)).collect();
    Some(if let Some(first) = prefixes.first() {
        Check::good(
            NAME,
            format!("{title} ({version}): a namespace for each job, and drydock takes {first}*"),
        )
    } else {
        Check::warning(
            NAME,
            format!("{title} ({version}) makes a namespace for each job, which never opts in"),
            "The runner gives these namespaces no labels, so their jobs are not repaired. The installation can take them by the prefix of their names.",
        )
        .next("drydock print manifests --help")
    })
}

fn rights(facts: &Facts, runner: &Runner, version: &str, namespaces: &[String]) -> Option<Check> {
    const NAME: &str = "runner-rights";
    let asked = facts.rights.get(&runner.title())?;
    let unread = asked.iter().find_map(|(_, answer)| answer.as_ref().err());
    if let Some(unread) = unread {
        let unknown = format!(
            "whether {} has the rights that its runner needs",
            runner.user()
        );
        return Some(unread.check(NAME, &unknown));
    }
    let missing: Vec<Right> = asked
        .iter()
        .filter(|(_, answer)| answer == &Ok(false))
        .map(|(right, _)| *right)
        .collect();
    let namespace = namespaces.first()?;
    if missing.is_empty() {
        return Some(Check::good(
            NAME,
            format!(
                "{} has the {} that {version} needs in {}",
                runner.service_account_title(),
                count(asked.len(), "right"),
                list(namespaces)
            ),
        ));
    }
    let text = format!(
        "{} lacks {} of {} that {version} needs in {}",
        runner.service_account_title(),
        missing.len(),
        count(asked.len(), "right"),
        list(namespaces)
    );
    let first = missing.first()?;
    let command = format!(
        "kubectl auth can-i {} {} -n {namespace} --as={}",
        first.verb,
        first.resource,
        runner.user()
    );
    let is_vital = missing.iter().any(|right| right.need.is_vital());
    let meaning = if is_vital {
        "Jobs fail for it, repaired or not."
    } else {
        "Jobs run. drydock's Events reach the job log only by the right to list events."
    };
    let check = match is_vital {
        true => Check::error(NAME, text, meaning),
        false => Check::warning(NAME, text, meaning),
    };
    Some(check.details(table(&missing)).next(command))
}

/// One line for each resource and need.
fn table(missing: &[Right]) -> Vec<String> {
    let mut rows: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for right in missing {
        let Right {
            verb,
            resource,
            need,
        } = right;
        rows.entry((resource, Need::without(*need)))
            .or_default()
            .push(verb);
    }
    rows.into_iter()
        .map(|((resource, without), verbs)| format!("{resource}: {} ({without})", verbs.join(", ")))
        .collect()
}

fn retries(
    facts: &Facts,
    runner: &Runner,
    settings: Option<&super::runner::Settings>,
) -> Option<Check> {
    const NAME: &str = "runner-retries";
    if facts.configurations.is_err() || runner.version.is_some_and(|version| version < RETRY_LIMITS)
    {
        return None;
    }
    let settings = settings?;
    Some(if settings.retries_webhooks {
        Check::good(
            NAME,
            format!("{} tries again when a webhook fails", runner.title()),
        )
    } else {
        Check::good(NAME, format!("{} does not try again when a webhook fails", runner.title())).advice(
            "A job whose pod meets a restart of drydock then fails at once. In config.toml: [runners.kubernetes.retry_limits] \"failed calling webhook\" = 10",
        )
    })
}

impl Runner {
    fn service_account_title(&self) -> String {
        format!("ServiceAccount {}/{}", self.namespace, self.service_account)
    }
}
