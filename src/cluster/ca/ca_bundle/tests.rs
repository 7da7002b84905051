use super::*;
use crate::names::{AUDIT_WEBHOOK, ENFORCE_WEBHOOK, NAME};
use crate::pki::authority::Authority;
use jiff::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

fn authority() -> CaCertificate {
    let made =
        Authority::make("a CA", Timestamp::UNIX_EPOCH + SECOND * 3600, SECOND * 3600).unwrap();
    made.certificate().clone()
}

/// Creates a configuration from the name and the bundle of each webhook.
fn configuration(webhooks: &[(&str, &str)]) -> WebhookBundles {
    let webhooks: Vec<Value> = webhooks
        .iter()
        .map(|(name, bundle)| {
            let bundle = STANDARD.encode(bundle);
            json!({
                "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"caBundle": bundle},
            })
        })
        .collect();
    let configuration = serde_json::from_value(json!({
        "metadata": {"name": NAME, "resourceVersion": "7"}, "webhooks": webhooks,
    }));
    WebhookBundles::of(Some(&configuration.unwrap()))
}

fn both(bundle: &str) -> WebhookBundles {
    configuration(&[(ENFORCE_WEBHOOK, bundle), (AUDIT_WEBHOOK, bundle)])
}

#[test]
fn one_webhook_with_another_bundle_is_enough_to_write() {
    assert!(!both("bundle").differs_from("bundle"));
    for webhooks in [
        [(ENFORCE_WEBHOOK, "bundle"), (AUDIT_WEBHOOK, "")],
        [(ENFORCE_WEBHOOK, "else"), (AUDIT_WEBHOOK, "bundle")],
    ] {
        assert!(configuration(&webhooks).differs_from("bundle"));
    }
}

#[test]
fn foreign_webhooks_are_neither_read_nor_written() {
    let live = configuration(&[("other.example.com", "else"), (AUDIT_WEBHOOK, "bundle")]);
    assert!(!live.differs_from("bundle"));
    let patch = live.patch("bundle");
    let names: Vec<&Value> = patch["webhooks"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 1, "{patch}");
    assert_eq!(patch["webhooks"][0]["name"], AUDIT_WEBHOOK);
    assert!(configuration(&[("other.example.com", "")]).is_empty());
}

#[test]
fn a_patch_has_the_bundles_of_both_webhooks_and_the_version_that_was_read() {
    let expected = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "drydock", "resourceVersion": "7"},
        "webhooks": [
            {"name": "enforce.job-pods.drydock.dev", "clientConfig": {"caBundle": "YnVuZGxl"}},
            {"name": "audit.job-pods.drydock.dev", "clientConfig": {"caBundle": "YnVuZGxl"}},
        ],
    });
    assert_eq!(both("old").patch("bundle"), expected);
}

#[test]
fn an_authority_is_trusted_from_when_all_webhooks_have_it() {
    let (one, other) = (authority(), authority());
    let two = [one.pem(), other.pem()].concat();
    let mut trust = TrustHistory::default();
    assert_eq!(trust.trusted_for(&one), None);
    let start = Instant::now();
    trust.record(
        &configuration(&[(ENFORCE_WEBHOOK, &two), (AUDIT_WEBHOOK, one.pem())]),
        start,
    );
    assert_eq!(trust.trusted_for(&one), Some(Duration::ZERO));
    assert_eq!(trust.trusted_for(&other), None);
    trust.record(&both(&two), start + SECOND * 5);
    assert_eq!(trust.trusted_for(&one), Some(SECOND * 5));
    assert_eq!(trust.trusted_for(&other), Some(Duration::ZERO));
}

#[test]
fn an_authority_that_was_removed_starts_from_zero() {
    let one = authority();
    let mut trust = TrustHistory::default();
    let start = Instant::now();
    trust.record(&both(one.pem()), start);
    trust.record(&both(""), start + SECOND);
    assert_eq!(trust.trusted_for(&one), None);
    trust.record(&both(one.pem()), start + SECOND * 2);
    trust.record(&both(one.pem()), start + SECOND * 5);
    assert_eq!(trust.trusted_for(&one), Some(SECOND * 3));
    trust.record(&WebhookBundles::default(), start + SECOND * 6);
    assert_eq!(trust.trusted_for(&one), None);
}

#[test]
fn the_authorities_of_any_webhook_are_listed_once_without_junk() {
    let (one, other) = (authority(), authority());
    let two = [one.pem(), "junk\n", other.pem()].concat();
    let live = configuration(&[(ENFORCE_WEBHOOK, one.pem()), (AUDIT_WEBHOOK, &two)]);
    assert_eq!(live.trusted_by_any(), [one, other]);
}
