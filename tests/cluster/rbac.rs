//! Tests of the roles in `manifests/` by requests as drydock's ServiceAccount: it has the
//! permissions that it needs and no others.

use crate::api_server::ApiServer;
use crate::drydock_process::Certificate;
use crate::identity::Identity;
use crate::install::install;
use crate::raw_requests::call;
use crate::wait::{TIMEOUT, eventually};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::{CA_SECRET, ENFORCE_WEBHOOK, NAME, NAMESPACE};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const SECRETS: &str = "/api/v1/namespaces/drydock/secrets";
const POLICIES: &str = "/apis/drydock.dev/v1alpha1/jobpodpolicies";

/// Returns an API server with the installation, which the tests of this file share.
async fn installed() -> &'static ApiServer {
    static INSTALLED: OnceCell<ApiServer> = OnceCell::const_new();
    INSTALLED
        .get_or_init(async || {
            let api = ApiServer::exclusive().await;
            install(&api);
            api
        })
        .await
}

async fn drydock() -> Client {
    installed().await.client(Identity::Drydock).await
}

async fn status(client: &Client, method: Method, path: &str, body: Option<&Value>) -> u16 {
    let answer = call(client, method, path, body).await;
    if answer.status >= 400 {
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    answer.status
}

/// Sends requests, and asserts the status of each.
async fn assert_statuses<const N: usize>(
    client: &Client,
    requests: [(Method, String, Option<Value>, u16); N],
) {
    for (method, path, body, wanted) in requests {
        let request = format!("{method} {path}");
        let status = status(client, method, &path, body.as_ref()).await;
        assert_eq!(status, wanted, "{request}");
    }
}

/// Returns the path for a server-side apply.
fn applied(path: &str) -> String {
    format!("{path}?fieldManager=drydock-test")
}

fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"a": "YQ=="}})
}

/// The permissions for self-managed certificates, also the permission to create, are limited to one
/// Secret.
#[tokio::test]
async fn the_role_permits_only_its_own_secret() {
    // Not the shared API server, because other tests write its Secret.
    let api = ApiServer::exclusive().await;
    install(&api);
    let drydock = api.client(Identity::Drydock).await;
    let path = |name: &str| format!("{SECRETS}/{name}");
    let own = path(CA_SECRET);
    // Deletes the Secret that the manifests created, because drydock must be able to create it.
    let admin = api.client(Identity::Admin).await;
    call(&admin, Method::DELETE, &own, None).await.object();
    let requests = [
        (
            Method::POST,
            SECRETS.to_owned(),
            Some(secret(CA_SECRET)),
            403,
        ),
        (
            Method::PATCH,
            applied(&path("other")),
            Some(secret("other")),
            403,
        ),
        (Method::PATCH, applied(&own), Some(secret(CA_SECRET)), 201),
        (Method::PATCH, applied(&own), Some(secret(CA_SECRET)), 200),
        (Method::PUT, own.clone(), Some(secret(CA_SECRET)), 200),
        (Method::GET, own.clone(), None, 200),
        (
            Method::GET,
            format!("{SECRETS}?fieldSelector=metadata.name%3D{CA_SECRET}"),
            None,
            200,
        ),
        (Method::GET, SECRETS.to_owned(), None, 403),
        (Method::GET, path("other"), None, 403),
        (Method::DELETE, own, None, 403),
        (
            Method::GET,
            "/api/v1/namespaces/default/secrets/drydock-ca".to_owned(),
            None,
            403,
        ),
        (Method::GET, "/api/v1/secrets".to_owned(), None, 403),
    ];
    assert_statuses(&drydock, requests).await;
}

/// drydock writes only the `caBundle` of one configuration, and does not create a deleted one.
#[tokio::test]
async fn the_role_permits_patching_but_not_creating_its_webhook_configuration() {
    let api = installed().await;
    let (admin, drydock) = (api.client(Identity::Admin).await, drydock().await);
    let own = format!("{CONFIGURATIONS}/{NAME}");
    let bundle = STANDARD.encode(Certificate::new().authority);
    let healed = |name: &str| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{"name": ENFORCE_WEBHOOK, "clientConfig": {"caBundle": bundle}}],
        })
    };
    let other = format!("{CONFIGURATIONS}/other");
    let requests = [
        (Method::PATCH, applied(&own), Some(healed(NAME)), 200),
        (Method::GET, own.clone(), None, 200),
        (
            Method::GET,
            format!("{CONFIGURATIONS}?fieldSelector=metadata.name%3D{NAME}"),
            None,
            200,
        ),
        (Method::GET, CONFIGURATIONS.to_owned(), None, 403),
        (Method::PATCH, applied(&other), Some(healed("other")), 403),
        (Method::DELETE, own.clone(), None, 403),
    ];
    assert_statuses(&drydock, requests).await;
    // Other fields are unchanged, and no webhook is removed.
    let live = call(&admin, Method::GET, &own, None).await.object();
    assert_eq!(live["webhooks"][0]["clientConfig"]["caBundle"], bundle);
    assert_eq!(
        live["webhooks"][0]["clientConfig"]["service"]["path"],
        "/mutate"
    );
    let unchanged = api.kubectl(&["apply", "-k", "manifests"]).printed();
    assert!(
        unchanged.contains(
            "mutatingwebhookconfiguration.admissionregistration.k8s.io/drydock unchanged"
        )
    );

    call(&admin, Method::DELETE, &own, None).await.object();
    // A partial configuration is invalid, and creating a complete one is forbidden.
    let committed = include_str!("../../manifests/mutating-webhook-configuration.yaml");
    let whole: Value = serde_saphyr::from_str(committed).unwrap();
    let again = status(&drydock, Method::PATCH, &applied(&own), Some(&whole)).await;
    assert_eq!(again, 403);
    api.kubectl(&["apply", "-k", "manifests"]).printed();
}

#[tokio::test]
async fn policies_are_read_and_their_status_is_written() {
    let api = installed().await;
    let drydock = drydock().await;
    api.kubectl(&["apply", "-f", "manifests/sample-policy.yaml"])
        .printed();
    let own = format!("{POLICIES}/gitlab");
    let policy = |with: (&str, Value)| {
        let mut policy = json!({"apiVersion": "drydock.dev/v1alpha1", "kind": "JobPodPolicy", "metadata": {"name": "gitlab"}});
        policy[with.0] = with.1;
        policy
    };
    let of_status = policy(("status", json!({"observedGeneration": 1})));
    let of_spec = policy(("spec", json!({"priority": 7})));
    let requests = [
        (Method::GET, POLICIES.to_owned(), None, 200),
        (
            Method::PATCH,
            applied(&format!("{own}/status")),
            Some(of_status),
            200,
        ),
        (Method::PATCH, applied(&own), Some(of_spec), 403),
        (Method::DELETE, own, None, 403),
    ];
    assert_statuses(&drydock, requests).await;
}

#[tokio::test]
async fn the_role_permits_only_reading_namespaces_and_writing_events() {
    let drydock = drydock().await;
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "job.1"},
        "involvedObject": {"kind": "Pod", "name": "job", "namespace": "default"},
        "type": "Warning",
        "message": "something of yours was displaced",
    });
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
    let requests = [
        (Method::GET, "/api/v1/namespaces", None, 200),
        (Method::GET, "/api/v1/namespaces/default", None, 200),
        (
            Method::POST,
            "/api/v1/namespaces/default/events",
            Some(event),
            201,
        ),
        (Method::GET, "/api/v1/namespaces/default/events", None, 403),
        (Method::GET, "/api/v1/pods", None, 403),
        (
            Method::POST,
            "/api/v1/namespaces/drydock/pods",
            Some(pod),
            403,
        ),
        (Method::GET, "/api/v1/services", None, 403),
        (
            Method::GET,
            "/apis/networking.k8s.io/v1/ingresses",
            None,
            403,
        ),
        (
            Method::GET,
            "/api/v1/namespaces/drydock/configmaps",
            None,
            403,
        ),
        (
            Method::GET,
            "/apis/apps/v1/namespaces/drydock/deployments",
            None,
            403,
        ),
        (
            Method::GET,
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            None,
            403,
        ),
        (Method::DELETE, "/api/v1/namespaces/drydock", None, 403),
    ];
    let owned =
        requests.map(|(method, path, body, wanted)| (method, path.to_owned(), body, wanted));
    assert_statuses(&drydock, owned).await;
}

/// A role can be limited to one object in one namespace.
#[tokio::test]
async fn rbac_can_permit_reading_one_named_address_source() {
    let api = installed().await;
    let drydock = drydock().await;
    api.kubectl(&["create", "namespace", "cicd"]).printed();
    let account = format!("--serviceaccount={NAMESPACE}:{NAME}");
    for arguments in [
        &[
            "create",
            "role",
            "drydock-address-sources",
            "--namespace=cicd",
            "--verb=get,list,watch",
            "--resource=ingresses.networking.k8s.io",
            "--resource-name=gitlab-registry",
        ][..],
        &[
            "create",
            "rolebinding",
            "drydock-address-sources",
            "--namespace=cicd",
            "--role=drydock-address-sources",
            &account,
        ],
    ] {
        api.kubectl(arguments).printed();
    }
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/cicd/ingresses";
    for (path, wanted) in [
        (
            format!("{ingresses}?fieldSelector=metadata.name%3Dgitlab-registry"),
            200,
        ),
        (ingresses.to_owned(), 403),
    ] {
        // The API server uses a new role only after a moment.
        let look = async || status(&drydock, Method::GET, &path, None).await;
        eventually(&path, TIMEOUT, look, |status| *status == wanted).await;
    }
}
