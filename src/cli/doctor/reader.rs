//! Sends requests to the API server within one time limit. A failed request results in a
//! [`ReadError`], which `diagnose` reports as a finding.

use crate::diagnose::facts::{Read, ReadError, Reason};
use anyhow::{Context as _, anyhow};
use axum::http::Request;
use kube::api::{Api, ListParams};
use kube::{Client, Error};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The maximum number of objects in the response to a list request.
const PAGE_SIZE: u32 = 250;

#[derive(Clone)]
pub(super) struct Reader {
    pub(super) client: Client,
    deadline: Instant,
}

/// The verb, resource and namespace of a request, for its [`ReadError`].
#[derive(Clone, Copy)]
pub(super) struct ApiCall<'q> {
    pub(super) verb: &'static str,
    pub(super) resource: &'q str,
    pub(super) namespace: Option<&'q str>,
}

impl<'q> ApiCall<'q> {
    pub(super) fn of(verb: &'static str, resource: &'q str, namespace: Option<&'q str>) -> Self {
        Self {
            verb,
            resource,
            namespace,
        }
    }

    pub(super) fn read_error(self, reason: Reason) -> ReadError {
        ReadError {
            verb: self.verb,
            resource: self.resource.to_owned(),
            namespace: self.namespace.map(str::to_owned),
            reason,
        }
    }
}

impl Reader {
    pub(super) fn new(client: &Client, limit: Duration) -> Self {
        Self {
            client: client.clone(),
            deadline: Instant::now() + limit,
        }
    }

    /// Returns the version of the API server.
    pub(super) async fn server_version(&self, limit: Duration) -> anyhow::Result<String> {
        match timeout(limit, self.client.apiserver_version()).await {
            Err(_) => Err(anyhow!(
                "the API server did not respond within {} s",
                limit.as_secs()
            )),
            Ok(Err(error)) => Err(anyhow!("{}", message(&error))).context("GET /version failed"),
            Ok(Ok(info)) => Ok(info.git_version),
        }
    }

    /// Waits for the response to a request within the time limit.
    pub(super) async fn ask<T>(
        &self,
        call: ApiCall<'_>,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Read<T> {
        match timeout_at(self.deadline, answer).await {
            Err(_) => Err(call.read_error(Reason::NoAnswer)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(call.read_error(reason(&error))),
        }
    }

    /// Lists the objects of a kind in the given namespaces, or in all namespaces if none are given.
    pub(super) async fn list<K>(&self, resource: &str, namespaces: &[String]) -> Read<Vec<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        if namespaces.is_empty() {
            let call = ApiCall::of("list", resource, None);
            return self.pages(call, Api::<K>::all(self.client.clone())).await;
        }
        let mut all = Vec::new();
        for namespace in namespaces {
            let call = ApiCall::of("list", resource, Some(namespace));
            let api = Api::<K>::namespaced(self.client.clone(), namespace);
            all.extend(self.pages(call, api).await?);
        }
        Ok(all)
    }

    pub(super) async fn pages<K>(&self, call: ApiCall<'_>, api: Api<K>) -> Read<Vec<K>>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        let mut all = Vec::new();
        let mut params = ListParams::default().limit(PAGE_SIZE);
        loop {
            let page = self.ask(call, api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => params = params.continue_token(&token),
                _ => return Ok(all),
            }
        }
    }

    /// Returns an object; `None` if it does not exist.
    pub(super) async fn get<K>(&self, call: ApiCall<'_>, api: Api<K>, name: &str) -> Read<Option<K>>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        self.ask(call, api.get_opt(name)).await
    }

    /// Returns a response that is plain text, such as the metrics.
    pub(super) async fn text(&self, call: ApiCall<'_>, path: &str) -> Read<String> {
        match get(path) {
            Ok(request) => self.ask(call, self.client.request_text(request)).await,
            Err(reason) => Err(call.read_error(reason)),
        }
    }

    /// Returns a response that is JSON; `None` if the path does not exist.
    pub(super) async fn json(&self, call: ApiCall<'_>, path: &str) -> Read<Option<Value>> {
        let request = get(path).map_err(|reason| call.read_error(reason))?;
        let answer = self.client.request::<Value>(request);
        let answer = async {
            match answer.await {
                Ok(value) => Ok(Some(value)),
                Err(Error::Api(status)) if status.code == 404 => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.ask(call, answer).await
    }
}

fn get(path: &str) -> Result<Request<Vec<u8>>, Reason> {
    let request = Request::get(path).body(Vec::new());
    request.map_err(|error| Reason::Failed(error.to_string()))
}

fn reason(error: &Error) -> Reason {
    match error {
        Error::Api(status) if status.code == 403 => Reason::Forbidden,
        error => Reason::Failed(message(error)),
    }
}

/// Returns the message of the API server. For an error of the client, returns the message and its
/// causes.
pub(super) fn message(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 401 => {
            format!(
                "{} (401): the API server does not accept the credentials",
                status.message
            )
        }
        Error::Api(status) => status.message.clone(),
        error => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(error) = cause {
                let more = error.to_string();
                if !text.contains(&more) {
                    text = format!("{text}: {more}");
                }
                cause = error.source();
            }
            text
        }
    }
}
