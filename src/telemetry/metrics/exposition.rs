//! The text formats of `/metrics`.

/// A text format for metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Text,
}

impl Exposition {
    /// Returns the format for the values of a request's `Accept` headers.
    pub fn accepted<'a>(mut accept: impl Iterator<Item = &'a str>) -> Self {
        if accept.any(|value| value.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Returns the value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Converts OpenMetrics text to the format 0.0.4, which declares a counter by the name of its
/// samples and has no type `info`, no units and no end marker.
pub(super) fn text(open_metrics: &str) -> String {
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
        for (accept, exposition) in [
            (vec![], Exposition::Text),
            (vec!["*/*"], Exposition::Text),
            (vec!["text/plain;version=0.0.4"], Exposition::Text),
            (vec!["text/html", prometheus], Exposition::OpenMetrics),
        ] {
            assert_eq!(Exposition::accepted(accept.into_iter()), exposition);
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
