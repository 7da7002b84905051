//! Reads the settings of runners, and the permissions of their ServiceAccounts.

use super::CONCURRENCY;
use crate::cli::doctor::reader::{ApiCall, Reader};
use crate::diagnose::facts::{Facts, Read};
use crate::diagnose::permissions::{Permission, PermissionReview, needed};
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
type PermissionsByTitle = BTreeMap<String, Vec<PermissionReview>>;

/// Returns the settings of all runners, and the permissions of the runners with jobs in the
/// selected namespaces. The keys are [`Runner::title`].
pub(super) async fn read(reader: &Reader, facts: &Facts) -> (SettingsByTitle, PermissionsByTitle) {
    let deployments = facts.deployments.as_deref().unwrap_or_default();
    let stateful_sets = facts.stateful_sets.as_deref().unwrap_or_default();
    let (mut all_settings, mut all_permissions) = (BTreeMap::new(), BTreeMap::new());
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
            let permissions = permissions(reader, &runner, &namespaces, per_job).await;
            all_permissions.insert(runner.title(), permissions);
        }
        all_settings.insert(runner.title(), settings);
    }
    (all_settings, all_permissions)
}

/// Returns only the settings that are checked, because the configuration of a runner also contains
/// tokens.
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

async fn permissions(
    reader: &Reader,
    runner: &Runner,
    namespaces: &[String],
    per_job: bool,
) -> Vec<PermissionReview> {
    // The names of the namespaces that a runner creates are unknown, so the permissions are
    // reviewed for all namespaces.
    let namespaces: Vec<Option<String>> = match per_job {
        true => vec![None],
        false => namespaces.iter().cloned().map(Some).collect(),
    };
    let needed = needed(runner.version, per_job);
    let reviews = namespaces.iter().flat_map(|namespace| {
        let permissions = needed.iter();
        permissions.map(|permission| (*permission, namespace.clone()))
    });
    let review = async |(permission, namespace): (Permission, Option<String>)| PermissionReview {
        permission,
        allowed: is_allowed(reader, runner, permission, namespace.clone()).await,
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
    permission: Permission,
    namespace: Option<String>,
) -> Read<bool> {
    let (resource, subresource) = match permission.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (permission.resource, None),
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
                verb: Some(permission.verb.to_owned()),
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
