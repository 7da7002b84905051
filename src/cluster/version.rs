//! Checks the version of the API server, and logs if it is too old for the CRD.
//!
//! Kubernetes 1.29 refuses the CRD, because its CEL rules use the library `sets` and the cost model
//! of 1.30. Without this check the log would only say that the kind is unknown.

use kube::Client;
use std::time::Duration;

/// The first version that accepts the CRD.
const MIN_VERSION: (u32, u32) = (1, 30);
/// Time for the answer. If there is none, the watches report the outage.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time until an old API server is asked again: it may be upgraded in place.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Returns when the API server is new enough, or its version is unknown. Logs one line if it is too
/// old.
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
        "Kubernetes {version} is too old for drydock's CRD; {major}.{minor} or later is needed, so no policy is read"
    )
}

/// Parses major and minor version. Providers append to the minor version, as in `29+`.
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
    async fn an_old_api_server_is_named_with_the_version_that_is_needed() {
        for minor in ["29", "29+", "9"] {
            let said = too_old(&client("1", minor)).await.unwrap();
            let named =
                format!("Kubernetes v1.{minor}.15 is too old for drydock's CRD; 1.30 or later");
            assert!(said.starts_with(&named), "{said}");
        }
    }

    #[tokio::test]
    async fn a_newer_one_and_one_that_does_not_say_are_not_waited_for() {
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
