//! The configuration of runners, and the rights of their ServiceAccounts.

use super::AT_ONCE;
use crate::cli::doctor::reader::{Question, Reader};
use crate::diagnose::facts::{Facts, Read};
use crate::diagnose::rights::{Right, needed};
use crate::diagnose::runner::{Runner, Settings, runners};
use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use std::collections::BTreeMap;

/// By the runner's title.
#[derive(Default)]
pub(super) struct OfRunners {
    pub(super) settings: BTreeMap<String, Read<Settings>>,
    pub(super) rights: BTreeMap<String, Vec<(Right, Read<bool>)>>,
}

pub(super) async fn read(reader: &Reader, facts: &Facts) -> OfRunners {
    let deployments = facts.deployments.as_deref().unwrap_or_default();
    let stateful_sets = facts.stateful_sets.as_deref().unwrap_or_default();
    let mut all = OfRunners::default();
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
            all.rights.insert(runner.title(), rights);
        }
        all.settings.insert(runner.title(), settings);
    }
    all
}

/// Only the settings that are asked for leave this function: a configuration has tokens.
async fn settings(reader: &Reader, runner: &Runner) -> Read<Settings> {
    let mut settings = Settings::default();
    for name in &runner.config_maps {
        let namespace = &runner.namespace;
        let question = Question::of("get", "configmaps", Some(namespace));
        let api: Api<ConfigMap> = Api::namespaced(reader.client.clone(), namespace);
        let map = reader.get(question, api, name).await?;
        for (key, text) in map.into_iter().flat_map(|map| map.data).flatten() {
            if key.ends_with(".toml") {
                settings = settings.merged(Settings::parse(&text));
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
) -> Vec<(Right, Read<bool>)> {
    let asked = namespaces.iter().flat_map(|namespace| {
        let rights = needed(runner.version, per_job).into_iter();
        rights.map(move |right| (right, namespace.clone()))
    });
    let asked: Vec<(Right, String)> = asked.collect();
    let answer = async |(right, namespace): (Right, String)| {
        let of_cluster = right.resource == "namespaces";
        let namespace = (!of_cluster).then_some(namespace);
        (right, may(reader, runner, right, namespace).await)
    };
    stream::iter(asked)
        .map(answer)
        .buffered(AT_ONCE)
        .collect()
        .await
}

async fn may(
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
    let question = Question::of("create", "subjectaccessreviews.authorization.k8s.io", None);
    let api: Api<SubjectAccessReview> = Api::all(reader.client.clone());
    let params = PostParams::default();
    let answer = reader.ask(question, api.create(&params, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
