//! Tests of the warning about the Secret of an earlier self-managed authority.

use super::leftover_secret_warning;
use crate::cluster::testing::{Recorder, Reply, refusal};
use crate::names::{CA_SECRET, ENFORCE_WEBHOOK, NAME};
use crate::pki::authority::Authority;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;

async fn report(secret: Option<u16>, is_trusted: bool) -> Option<String> {
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
    leftover_secret_warning(&client, "drydock", CA_SECRET, NAME).await
}

#[tokio::test]
async fn a_leftover_secret_is_reported_with_how_and_when_to_delete_it() {
    let trusted = report(None, true).await.unwrap();
    assert!(trusted.contains("still trusts that authority"), "{trusted}");
    let other = report(None, false).await.unwrap();
    assert!(other.contains("does not trust that authority"), "{other}");
    for text in [trusted, other] {
        assert!(
            text.ends_with("run kubectl -n drydock delete secret drydock-ca"),
            "{text}"
        );
        assert!(!text.contains("PRIVATE KEY"));
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_or_forbidden_is_not_reported() {
    assert_eq!(report(Some(404), false).await, None);
    assert_eq!(report(Some(403), false).await, None);
}
