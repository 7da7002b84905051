//! Reads the settings of runners, and the rights of their ServiceAccounts.

use super::CONCURRENCY;
use crate::cli::doctor::reader::{ApiCall, Reader};
use crate::diagnose::facts::{Facts, Read};
use crate::diagnose::rights::{Right, RightReview, needed};
use crate::diagnose::runner::{Runner, RunnerSettings, runners};
use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use std::collections::BTreeMap;

type SettingsByTitle = BTreeMap<String, Read<RunnerSettings>>;
type RightsByTitle = BTreeMap<String, Vec<RightReview>>;

/// Returns the settings and the rights of all runners. The key is [`Runner::title`].
pub(super) async fn read(reader: &Reader, facts: &Facts) -> (SettingsByTitle, RightsByTitle) {
    let deployments = facts.deployments.as_deref().unwrap_or_default();
    let stateful_sets = facts.stateful_sets.as_deref().unwrap_or_default();
    let (mut all_settings, mut all_rights) = (BTreeMap::new(), BTreeMap::new());
    for runner in runners(deployments, stateful_sets) {
        let settings = settings(reader, &runner).await;
        let known = settings.as_ref().ok();
        let (namespaces, _) = runner.job_namespaces(known);
        let is_selected = facts.selected.is_empty()
            || namespaces
                .iter()
                .any(|namespace| facts.selected.contains(namespace));
        if is_selected {
            let per_job = known.is_some_and(|settings| settings.namespace_per_job);
            let rights = rights(reader, &runner, &namespaces, per_job).await;
            all_rights.insert(runner.title(), rights);
        }
        all_settings.insert(runner.title(), settings);
    }
    (all_settings, all_rights)
}

/// Returns only the settings, because the configuration of a runner also contains tokens.
async fn settings(reader: &Reader, runner: &Runner) -> Read<RunnerSettings> {
    let mut settings = RunnerSettings::default();
    for name in &runner.config_maps {
        let namespace = &runner.namespace;
        let call = ApiCall::of("get", "configmaps", Some(namespace));
        let api: Api<ConfigMap> = Api::namespaced(reader.client.clone(), namespace);
        let map = reader.get(call, api, name).await?;
        for (key, text) in map.into_iter().flat_map(|map| map.data).flatten() {
            if key.ends_with(".toml") {
                settings = settings.merged(RunnerSettings::parse(&text));
            }
        }
    }
    Ok(settings)
}

async fn rights(
    reader: &Reader,
    runner: &Runner,
    namespaces: &[String],
    per_job: bool,
) -> Vec<RightReview> {
    // The names of the namespaces that a runner creates are unknown.
    let namespaces: Vec<Option<String>> = match per_job {
        true => vec![None],
        false => namespaces.iter().cloned().map(Some).collect(),
    };
    let needed = needed(runner.version, per_job);
    let reviews = namespaces.iter().flat_map(|namespace| {
        let rights = needed.iter();
        rights.map(|right| (*right, namespace.clone()))
    });
    let review = async |(right, namespace): (Right, Option<String>)| RightReview {
        right,
        allowed: is_allowed(reader, runner, right, namespace.clone()).await,
        namespace,
    };
    stream::iter(reviews.collect::<Vec<_>>())
        .map(review)
        .buffered(CONCURRENCY)
        .collect()
        .await
}

async fn is_allowed(
    reader: &Reader,
    runner: &Runner,
    right: Right,
    namespace: Option<String>,
) -> Read<bool> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(runner.user()),
            groups: Some(vec![
                "system:authenticated".to_owned(),
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{}", runner.namespace),
            ]),
            resource_attributes: Some(ResourceAttributes {
                namespace,
                verb: Some(right.verb.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let call = ApiCall::of("create", "subjectaccessreviews.authorization.k8s.io", None);
    let api: Api<SubjectAccessReview> = Api::all(reader.client.clone());
    let params = PostParams::default();
    let answer = reader.ask(call, api.create(&params, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
