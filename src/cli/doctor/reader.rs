//! Questions to the API server within one time limit; an answer that does not come is a fact like
//! any other.

use crate::diagnose::facts::{Read, Reason, Unread};
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

/// Objects of a page; a page that is never the last would be read until the time is over.
const PAGE: u32 = 250;

#[derive(Clone)]
pub(super) struct Reader {
    pub(super) client: Client,
    deadline: Instant,
}

/// A question, for whoever reads that it was not answered.
#[derive(Clone, Copy)]
pub(super) struct Question<'q> {
    pub(super) verb: &'static str,
    pub(super) resource: &'q str,
    pub(super) namespace: Option<&'q str>,
}

impl<'q> Question<'q> {
    pub(super) fn of(verb: &'static str, resource: &'q str, namespace: Option<&'q str>) -> Self {
        Self {
            verb,
            resource,
            namespace,
        }
    }

    pub(super) fn unread(self, reason: Reason) -> Unread {
        Unread {
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

    /// Asks whether the API server is there, and who it takes the user for.
    pub(super) async fn server_version(&self, limit: Duration) -> anyhow::Result<String> {
        match timeout(limit, self.client.apiserver_version()).await {
            Err(_) => Err(anyhow!(
                "the API server accepts connections, or loses them, and has not answered within {} s",
                limit.as_secs()
            )),
            Ok(Err(error)) => Err(anyhow!("{}", words(&error))).context("GET /version failed"),
            Ok(Ok(info)) => Ok(info.git_version),
        }
    }

    /// Waits for an answer.
    pub(super) async fn ask<T>(
        &self,
        question: Question<'_>,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Read<T> {
        match timeout_at(self.deadline, answer).await {
            Err(_) => Err(question.unread(Reason::NoAnswer)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(question.unread(reason(&error))),
        }
    }

    /// Reads all objects of a kind, of the cluster or of some namespaces.
    pub(super) async fn list<K>(&self, resource: &str, namespaces: &[String]) -> Read<Vec<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        if namespaces.is_empty() {
            let question = Question::of("list", resource, None);
            return self
                .pages(question, Api::<K>::all(self.client.clone()))
                .await;
        }
        let mut all = Vec::new();
        for namespace in namespaces {
            let question = Question::of("list", resource, Some(namespace));
            let api = Api::<K>::namespaced(self.client.clone(), namespace);
            all.extend(self.pages(question, api).await?);
        }
        Ok(all)
    }

    pub(super) async fn pages<K>(&self, question: Question<'_>, api: Api<K>) -> Read<Vec<K>>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        let mut all = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = self.ask(question, api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => params = params.continue_token(&token),
                _ => return Ok(all),
            }
        }
    }

    /// Reads an object that may not be there.
    pub(super) async fn get<K>(
        &self,
        question: Question<'_>,
        api: Api<K>,
        name: &str,
    ) -> Read<Option<K>>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        self.ask(question, api.get_opt(name)).await
    }

    /// Reads a plain-text response, such as `/metrics`.
    pub(super) async fn text(&self, question: Question<'_>, path: &str) -> Read<String> {
        match get(path) {
            Ok(request) => self.ask(question, self.client.request_text(request)).await,
            Err(reason) => Err(question.unread(reason)),
        }
    }

    /// Reads JSON; `None` where there is nothing at that path.
    pub(super) async fn json(&self, question: Question<'_>, path: &str) -> Read<Option<Value>> {
        let request = get(path).map_err(|reason| question.unread(reason))?;
        let answer = self.client.request::<Value>(request);
        let answer = async {
            match answer.await {
                Ok(value) => Ok(Some(value)),
                Err(Error::Api(status)) if status.code == 404 => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.ask(question, answer).await
    }
}

fn get(path: &str) -> Result<Request<Vec<u8>>, Reason> {
    let request = Request::get(path).body(Vec::new());
    request.map_err(|error| Reason::Failed(error.to_string()))
}

fn reason(error: &Error) -> Reason {
    match error {
        Error::Api(status) if status.code == 403 => Reason::Forbidden,
        error => Reason::Failed(words(error)),
    }
}

/// The API server's own words where it has some.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 401 => {
            format!("{} (401): the credentials are not accepted", status.message)
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
