//! The text formats of `/metrics`.

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders the metrics in the format that the `Accept` headers of a request allow: OpenMetrics 1.0
/// if the client accepts it, else the Prometheus text format 0.0.4. Returns the value of
/// `Content-Type` and the text.
pub(super) fn render<'a>(
    open_metrics: String,
    mut accept: impl Iterator<Item = &'a str>,
) -> (&'static str, String) {
    match accept.any(|value| value.contains("application/openmetrics-text")) {
        true => (OPEN_METRICS, open_metrics),
        false => (TEXT, text(&open_metrics)),
    }
}

/// Converts OpenMetrics text to the format 0.0.4, which declares a counter under the name of its
/// samples (with `_total`), and has no type `info`, no units and no end marker.
fn text(open_metrics: &str) -> String {
    let (mut text, mut help) = (String::with_capacity(open_metrics.len()), "");
    for line in open_metrics.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", _, words] => help = words,
            ["#", "TYPE", name, kind] => {
                let (suffix, kind) = match *kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    kind => ("", kind),
                };
                text += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
            }
            ["#", "UNIT" | "EOF", ..] => {}
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_scrapers_that_accept_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
        for (accept, expected) in [
            (vec![], TEXT),
            (vec!["*/*"], TEXT),
            (vec!["text/plain;version=0.0.4"], TEXT),
            (vec!["text/html", prometheus], OPEN_METRICS),
        ] {
            let (content_type, _) = render(String::new(), accept.into_iter());
            assert_eq!(content_type, expected);
        }
    }

    #[test]
    fn the_text_format_declares_counters_and_infos_by_their_samples() {
        let open_metrics = "\
# HELP drydock_build The version.
# TYPE drydock_build info
drydock_build_info{version=\"1\"} 1
# HELP drydock_reviews By outcome.
# TYPE drydock_reviews counter
drydock_reviews_total{outcome=\"denied\"} 2
# HELP drydock_review_duration_seconds Time.
# TYPE drydock_review_duration_seconds histogram
# UNIT drydock_review_duration_seconds seconds
drydock_review_duration_seconds_sum 0.5
# EOF
";
        let expected = "\
# HELP drydock_build_info The version.
# TYPE drydock_build_info gauge
drydock_build_info{version=\"1\"} 1
# HELP drydock_reviews_total By outcome.
# TYPE drydock_reviews_total counter
drydock_reviews_total{outcome=\"denied\"} 2
# HELP drydock_review_duration_seconds Time.
# TYPE drydock_review_duration_seconds histogram
drydock_review_duration_seconds_sum 0.5
";
        assert_eq!(text(open_metrics), expected);
    }
}
