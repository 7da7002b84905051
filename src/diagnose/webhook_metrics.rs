//! Checks the metrics of the API server about drydock's webhooks. Unlike the metrics of drydock,
//! they include the calls that did not reach drydock.

use super::facts::Reason;
use super::finding::installed as finding;
use super::installation::is_drydock_webhook;
use super::report::Check;
use super::text::count;
use super::view::View;

/// The metrics of an API server, summed over drydock's webhooks. The API server counts from its
/// start, and each API server of a cluster counts only its own calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdmissionMetrics {
    /// The number of calls.
    pub calls: u64,
    /// The total duration of the calls in seconds.
    pub seconds: f64,
    /// The number of failed calls: connection, certificate, timeout or HTTP error.
    pub failed: u64,
    /// The number of pods that were admitted because the call failed and failurePolicy is Ignore.
    pub fail_open: u64,
}

/// The average duration in seconds above which calls are slow. drydock itself needs microseconds.
const SLOW_SECONDS: f64 = 0.1;

impl AdmissionMetrics {
    /// Parses the metrics in the text format of Prometheus.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut sums = Self::default();
        for (family, labels, value) in text.lines().filter_map(sample) {
            if !label(labels, "name").is_some_and(is_drydock_webhook) {
                continue;
            }
            match family {
                "apiserver_admission_webhook_admission_duration_seconds_count" => {
                    sums.calls += whole(value);
                }
                "apiserver_admission_webhook_admission_duration_seconds_sum" => {
                    sums.seconds += value;
                }
                "apiserver_admission_webhook_fail_open_count" => sums.fail_open += whole(value),
                // A denial (onConflict: Deny) is not a failed call, so it is not counted.
                "apiserver_admission_webhook_rejection_count"
                    if label(labels, "error_type") != Some("no_error") =>
                {
                    sums.failed += whole(value);
                }
                _ => {}
            }
        }
        sums
    }
}

/// Returns the value of the first sample of a metric.
#[must_use]
pub fn value_of(text: &str, family: &str) -> Option<f64> {
    text.lines()
        .filter_map(sample)
        .find_map(|(name, _, value)| (name == family).then_some(value))
}

/// Returns the value of a label of the first sample of a metric.
#[must_use]
pub fn label_of<'t>(text: &'t str, family: &str, key: &str) -> Option<&'t str> {
    text.lines()
        .filter_map(sample)
        .find_map(|(name, labels, _)| (name == family).then(|| label(labels, key)).flatten())
}

/// Parses `family{labels} value`, a line of the Prometheus or OpenMetrics format.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = match line.rsplit_once("} ") {
        Some((series, value)) => (series, value),
        None => line.split_once(' ')?,
    };
    let (family, labels) = series.split_once('{').unwrap_or((series, ""));
    let value = value.split(' ').next()?.parse().ok()?;
    Some((family, labels, value))
}

fn label<'t>(labels: &'t str, key: &str) -> Option<&'t str> {
    labels.split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == key).then(|| value.trim_matches('"'))
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter is a whole number, and no API server reaches 2^53 calls"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

pub(super) fn checks(view: &View<'_>) -> Option<Check> {
    const NAME: &str = "calls";
    view.installations.first()?;
    let metrics = match &view.facts.admission_metrics {
        Ok(metrics) => metrics,
        // Few users are allowed to read the metrics, and the dry runs show whether calls succeed,
        // so this error is no finding.
        Err(error) if error.reason == Reason::Forbidden => return None,
        Err(error) => return Some(error.check("how many calls to drydock failed")),
    };
    if metrics.calls == 0 {
        let text = "the API server has not called drydock since it started";
        return Some(Check::info(NAME, text));
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "the average does not need to be exact"
    )]
    let average = metrics.seconds / metrics.calls as f64;
    let took = format!("{:.1} ms", average * 1000.0);
    let times = match metrics.calls {
        1 => "once".to_owned(),
        number => format!("{number} times"),
    };
    Some(if metrics.fail_open > 0 {
        finding::fail_open(match metrics.fail_open {
            1 => "1 pod was".to_owned(),
            number => format!("{number} pods were"),
        })
    } else if metrics.failed > 0 {
        finding::calls_failed(count(metrics.failed, "call"))
    } else if average > SLOW_SECONDS {
        finding::calls_slow(took)
    } else {
        let text =
            format!("the API server called drydock {times}, {took} on average, and no call failed");
        Check::good(NAME, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE apiserver_admission_webhook_rejection_count counter
apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="enforce.job-pods.drydock.dev",operation="CREATE",rejection_code="0",type="admit"} 3
apiserver_admission_webhook_rejection_count{error_type="no_error",name="enforce.job-pods.drydock.dev",operation="CREATE",rejection_code="403",type="admit"} 7
apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="other.example.com",operation="CREATE",rejection_code="0",type="admit"} 9
apiserver_admission_webhook_fail_open_count{name="audit.job-pods.drydock.dev",type="admit"} 2
apiserver_admission_webhook_admission_duration_seconds_sum{name="enforce.job-pods.drydock.dev",operation="CREATE",rejected="false",type="admit"} 0.5
apiserver_admission_webhook_admission_duration_seconds_count{name="enforce.job-pods.drydock.dev",operation="CREATE",rejected="false",type="admit"} 100
"#;

    #[test]
    fn only_drydocks_webhooks_count_and_a_denial_is_no_failure() {
        let wanted = AdmissionMetrics {
            calls: 100,
            seconds: 0.5,
            failed: 3,
            fail_open: 2,
        };
        assert_eq!(AdmissionMetrics::parse(TEXT), wanted);
    }

    #[test]
    fn values_and_labels_of_a_replica_are_read() {
        let text = "drydock_build_info{version=\"0.1.0\"} 1\ndrydock_certificate_expiry_timestamp_seconds 1795849200\n# EOF\n";
        assert_eq!(
            label_of(text, "drydock_build_info", "version"),
            Some("0.1.0")
        );
        let expiry = value_of(text, "drydock_certificate_expiry_timestamp_seconds");
        assert_eq!(expiry, Some(1_795_849_200.0));
        assert_eq!(value_of(text, "drydock_other"), None);
    }
}
