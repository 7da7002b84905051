//! The Secret of a self-managed authority that is not used any more, because certificates come from files now.
//!
//! Its key could still sign for drydock's names where the `caBundle` trusts it, so it should not stay. drydock does not delete it by
//! itself: during the rollout replicas that keep their own certificate need it, and a rollback would, too.

use crate::names::{CA_SECRET, NAME};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::secret::Content;
use super::webhook::Live;

/// Returns what there is to say about the Secret of a namespace; nothing where there is none, or drydock may not see it.
pub async fn leftover(client: &Client, namespace: &str) -> Option<String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = match secrets.get_opt(CA_SECRET).await {
        Ok(secret) => secret?,
        Err(error) => {
            tracing::debug!("secret {namespace}/{CA_SECRET} cannot be looked for: {error}");
            return None;
        }
    };
    let (content, _) = Content::read(&secret.data.unwrap_or_default());
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let live = configurations.get_opt(NAME).await.ok().flatten();
    let trusted = live.as_ref().map(Live::of).unwrap_or_default();
    let trusted = trusted.trusted_by_any();
    let is_trusted = content.trusted().into_iter().any(|it| trusted.contains(it));
    let first = if is_trusted {
        "the caBundle still trusts it: put the authority of the files there alone once every replica uses files, then "
    } else {
        "the caBundle does not trust it any more: once every replica uses files, "
    };
    Some(format!(
        "secret {namespace}/{CA_SECRET} still holds the key of the authority that drydock kept itself, and the certificate comes from files; \
         {first}run kubectl -n {namespace} delete secret {CA_SECRET}"
    ))
}

#[cfg(test)]
mod tests {
    use super::leftover;
    use crate::cluster::testing::{Recorder, Reply, refusal};
    use crate::names::{ENFORCE_WEBHOOK, NAME};
    use crate::pki::authority::Authority;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use jiff::Timestamp;
    use serde_json::json;
    use std::time::Duration;

    async fn said(secret: Option<u16>, is_trusted: bool) -> Option<String> {
        let made = Authority::make("drydock CA", Timestamp::now(), Duration::from_secs(3600));
        let authority = made.unwrap();
        let encode = |text: &str| STANDARD.encode(text);
        let (certificate, key) = (
            encode(authority.certificate().pem()),
            encode(&authority.key_pem()),
        );
        let bundle = if is_trusted {
            certificate.clone()
        } else {
            String::new()
        };
        let client = Recorder::default().client(move |line| match (line.contains("/secrets/"), secret) {
            (true, Some(code)) => Reply::Json(code, refusal(code, "no")),
            (true, None) => Reply::Json(
                200,
                json!({"metadata": {}, "data": {"ca.crt": certificate, "ca.key": key}}),
            ),
            (false, _) => Reply::Json(
                200,
                json!({
                    "metadata": {"name": NAME},
                    "webhooks": [{
                        "name": ENFORCE_WEBHOOK, "admissionReviewVersions": [], "sideEffects": "None",
                        "clientConfig": {"caBundle": bundle},
                    }],
                }),
            ),
        });
        leftover(&client, "drydock").await
    }

    #[tokio::test]
    async fn a_secret_that_is_left_is_told_with_how_to_delete_it_and_when() {
        let trusted = said(None, true).await.unwrap();
        assert!(trusted.contains("still trusts it"), "{trusted}");
        let other = said(None, false).await.unwrap();
        assert!(other.contains("does not trust it any more"), "{other}");
        for text in [trusted, other] {
            assert!(
                text.ends_with("run kubectl -n drydock delete secret drydock-ca"),
                "{text}"
            );
            assert!(!text.contains("PRIVATE KEY"));
        }
    }

    #[tokio::test]
    async fn where_there_is_none_or_it_cannot_be_seen_nothing_is_said() {
        assert_eq!(said(Some(404), false).await, None);
        assert_eq!(said(Some(403), false).await, None);
    }
}
