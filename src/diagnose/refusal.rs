//! Returns the finding for the message with which the API server refuses a pod.

use super::finding::works as finding;
use super::installation::{ServiceReference, is_drydock_webhook};
use super::report::Check;

/// Returns the finding for a message. `pod` describes the refused pod.
pub(super) fn explain(
    message: &str,
    pod: &str,
    namespace: &str,
    service: Option<&ServiceReference>,
) -> Check {
    let has = |text: &str| message.contains(text);
    if let Some(webhook) = quoted_after(message, "failed calling webhook ", '"') {
        return match is_drydock_webhook(webhook) {
            true => failed_call(message, pod, service),
            false => finding::other_fails(pod, webhook),
        };
    }
    if let Some(webhook) = quoted_after(message, "admission webhook ", '"') {
        return match is_drydock_webhook(webhook) {
            _ if has("does not support dry run") => finding::other_no_dry_run(pod, webhook),
            true => finding::policy_denies(pod),
            false => finding::other_denies(pod, format!("webhook {webhook}")),
        };
    }
    if let Some(policy) = quoted_after(message, "ValidatingAdmissionPolicy ", '\'') {
        return finding::other_denies(pod, format!("ValidatingAdmissionPolicy {policy}"));
    }
    if has("violates PodSecurity") {
        finding::pod_security(pod, namespace)
    } else if has("exceeded quota") || has("failed quota") {
        finding::quota(pod, namespace)
    } else if has("usage per Container") || has("usage per Pod") || has("per PersistentVolumeClaim")
    {
        finding::limit_range(pod, namespace)
    } else if has("looking up service account") || has("serviceaccount \"") {
        finding::no_service_account(pod, namespace)
    } else if has("is being terminated") {
        finding::terminating(pod, namespace)
    } else {
        finding::not_accepted(pod, namespace)
    }
}

/// Returns the finding for a failed call to a webhook of drydock. Searches the message for known
/// texts, in order, and uses the first match.
fn failed_call(message: &str, pod: &str, service: Option<&ServiceReference>) -> Check {
    let all = "kubectl get mutatingwebhookconfigurations -o yaml".to_owned();
    let (objects, logs) = service.map_or((all.clone(), all), |service| {
        let objects = format!(
            "kubectl -n {} get pods,services,endpointslices",
            service.namespace
        );
        (objects, service.logs_command())
    });
    type Finding<'p> = fn(&'p str, String, String) -> Check;
    let findings: [(&str, Finding<'_>); 12] = [
        ("no endpoints available", finding::no_endpoints),
        // The message of Kubernetes 1.30 for a Service that never had a pod.
        (": endpoints \"", finding::no_endpoints),
        ("signed by unknown authority", finding::unknown_authority),
        ("certificate has expired", finding::expired),
        ("x509: certificate is valid for", finding::other_name),
        ("x509: ", finding::bad_certificate),
        ("connection refused", finding::connection_refused),
        ("context deadline exceeded", finding::timeout),
        ("i/o timeout", finding::timeout),
        ("no route to host", finding::no_route),
        ("lookup ", finding::no_address),
        ("not found", finding::service_not_found),
    ];
    let mut found = findings
        .into_iter()
        .filter(|(text, _)| message.contains(text));
    let default: Finding<'_> = finding::answered_with_error;
    let finding = found.next().map_or(default, |(_, finding)| finding);
    let mut check = finding(pod, objects, logs);
    check.next.dedup();
    check
}

/// Returns the text in quotation marks that follows `before`. `quote` is the quotation mark.
fn quoted_after<'t>(text: &'t str, before: &str, quote: char) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.strip_prefix(quote)?.split(quote).next()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::diagnose::report::Level;
    use crate::diagnose::testing::note;

    fn found(message: &str) -> (&'static str, Level) {
        let service = ServiceReference {
            namespace: "drydock".to_owned(),
            name: "drydock".to_owned(),
            port: 443,
        };
        let check = explain(message, "a job pod", "ci", Some(&service));
        note(&check);
        (check.name, check.level)
    }

    #[test]
    pub(in crate::diagnose) fn each_message_of_the_api_server_has_a_finding() {
        let failed = |rest: &str| {
            format!(
                "Internal error occurred: failed calling webhook \"enforce.job-pods.drydock.dev\": failed to call webhook: Post \"https://drydock.drydock.svc:443/mutate?timeout=5s\": {rest}"
            )
        };
        for (message, wanted) in [
            (failed("no endpoints available for service \"drydock\""), "refused-no-endpoints"),
            (failed("tls: failed to verify certificate: x509: certificate signed by unknown authority"), "refused-unknown-authority"),
            (failed("tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-28T00:00:00Z is after 2026-11-27T00:00:00Z"), "refused-expired"),
            (failed("x509: certificate is valid for a.b.svc, not drydock.drydock.svc"), "refused-other-name"),
            (failed("x509: something new"), "refused-certificate"),
            (failed("dial tcp 10.0.0.1:443: connect: connection refused"), "refused-connection"),
            (failed("context deadline exceeded"), "refused-timeout"),
            (failed("dial tcp 10.0.0.1:443: i/o timeout"), "refused-timeout"),
            (failed("dial tcp 10.0.0.1:443: connect: no route to host"), "refused-no-route"),
            (failed("dial tcp: lookup drydock.example.com: no such host"), "refused-no-address"),
            (failed("endpoints \"drydock\" not found"), "refused-no-endpoints"),
            (failed("service \"drydock\" not found"), "refused-no-service"),
            (failed("an error on the server (\"drydock is not ready\") has prevented the request from succeeding"), "refused-error"),
            ("Internal error occurred: failed calling webhook \"a.example.com\": context deadline exceeded".to_owned(), "refused-other-fails"),
            ("admission webhook \"a.example.com\" denied the request: no".to_owned(), "refused-other-denies"),
            ("pods \"a\" is forbidden: ValidatingAdmissionPolicy 'no-pods' with binding 'no-pods' denied request: no".to_owned(), "refused-other-denies"),
            ("pods \"a\" is forbidden: violates PodSecurity \"baseline:latest\": privileged".to_owned(), "refused-pod-security"),
            ("error looking up service account ci/default: serviceaccount \"default\" not found".to_owned(), "refused-no-service-account"),
            ("something new".to_owned(), "refused"),
        ] {
            assert_eq!(found(&message), (wanted, Level::Error), "{message}");
        }
        for (message, wanted) in [
            (
                "admission webhook \"a.example.com\" does not support dry run",
                "refused-other-no-dry-run",
            ),
            (
                "admission webhook \"enforce.job-pods.drydock.dev\" denied the request: x",
                "refused-policy",
            ),
            (
                "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
                "refused-quota",
            ),
            (
                "pods \"a\" is forbidden: minimum cpu usage per Container is 50m, but request is 10m",
                "refused-limit-range",
            ),
            (
                "pods \"a\" is forbidden: unable to create new content in namespace ci because it is being terminated",
                "refused-terminating",
            ),
        ] {
            assert_eq!(found(message), (wanted, Level::Warning), "{message}");
        }
    }
}
