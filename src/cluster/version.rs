//! Checks the version of the API server, and logs an error if it is too old for the CRD.
//!
//! Kubernetes 1.29 rejects the CRD, because the CEL rules of the CRD need the library `sets` and
//! the cost model of 1.30. Without this check, the only log line would be that the API server does
//! not know the kind.

use kube::Client;
use std::time::Duration;

/// The first version that accepts the CRD.
const MIN_VERSION: (u32, u32) = (1, 30);
/// Timeout of a version request. If the request fails, the watches report the outage.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two version requests to an API server that is too old. It may be upgraded in place.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Waits until the API server is new enough or its version is unknown. Logs one error if the API
/// server is too old.
pub async fn wait_until_supported(client: &Client) {
    let mut is_logged = false;
    while let Some(problem) = too_old(client).await {
        if !is_logged {
            tracing::error!("{problem}");
            is_logged = true;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

async fn too_old(client: &Client) -> Option<String> {
    let asked = tokio::time::timeout(TIMEOUT, client.apiserver_version()).await;
    let version = asked.ok()?.ok()?;
    let is_old = parse(&version.major, &version.minor)? < MIN_VERSION;
    is_old.then(|| too_old_message(&version.git_version))
}

fn too_old_message(version: &str) -> String {
    let (major, minor) = MIN_VERSION;
    let version = crate::core::quote::escape(version);
    format!(
        "Kubernetes {version} is too old for drydock's CRD, so drydock reads no policies; upgrade to {major}.{minor} or later"
    )
}

/// Parses the major and the minor version. Some providers append a suffix to the minor version, as
/// in `29+`.
fn parse(major: &str, minor: &str) -> Option<(u32, u32)> {
    let minor = minor.trim_end_matches(|last: char| !last.is_ascii_digit());
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{too_old, wait_until_supported};
    use crate::cluster::testing::{Recorder, Reply, refusal};
    use serde_json::json;

    fn client(major: &'static str, minor: &'static str) -> kube::Client {
        let version = json!({
            "major": major, "minor": minor, "gitVersion": format!("v{major}.{minor}.15"),
            "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
        });
        Recorder::default().client(move |_| Reply::Json(200, version.clone()))
    }

    #[tokio::test]
    async fn the_message_about_an_old_api_server_contains_both_versions() {
        for minor in ["29", "29+", "9"] {
            let message = too_old(&client("1", minor)).await.unwrap();
            let expected = format!(
                "Kubernetes v1.{minor}.15 is too old for drydock's CRD, so drydock reads no policies; upgrade to 1.30 or later"
            );
            assert_eq!(message, expected);
        }
    }

    #[tokio::test]
    async fn a_new_or_unknown_version_is_not_waited_for() {
        for (major, minor) in [
            ("1", "30"),
            ("1", "36+"),
            ("2", "0"),
            ("", ""),
            ("1", "new"),
        ] {
            wait_until_supported(&client(major, minor)).await;
        }
        let refused = Recorder::default().client(|_| Reply::Json(403, refusal(403, "no")));
        wait_until_supported(&refused).await;
    }
}
