//! Endpoints of Services, which no controller creates in these tests.

use crate::api_server::ApiServer;
use crate::raw_requests::{apply, call};
use axum::http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The number of addresses that a Service can have here.
const SLICES: usize = 2;

/// Starts an API server that connects to the endpoints of a Service, because there is no
/// kube-proxy.
pub(crate) async fn api_server() -> ApiServer {
    ApiServer::exclusive_with(|_| vec!["--enable-aggregator-routing=true".to_owned()]).await
}

/// Returns an address of this machine that is allowed as an endpoint, so not a loopback address.
pub(crate) fn own_address() -> IpAddr {
    // Connecting a datagram socket sends nothing; it only selects the local address.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let routed = socket.connect("192.0.2.1:9");
    routed.expect("this machine has no network except loopback");
    socket.local_addr().unwrap().ip()
}

fn slice_path(namespace: &str, service: &str, number: usize) -> String {
    format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{service}-{number}")
}

fn endpoints_path(namespace: &str, service: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/endpoints/{service}")
}

/// Sets the endpoints of a Service: in an Endpoints object, which Kubernetes 1.30 uses, and in an
/// EndpointSlice for each address, because a slice has one list of ports.
pub(crate) async fn set_endpoints(
    admin: &Client,
    namespace: &str,
    service: &str,
    addresses: &[SocketAddr],
) {
    let ports = |port: u16| json!([{"name": "webhook", "port": port, "protocol": "TCP"}]);
    let subset = |address: &SocketAddr| json!({"addresses": [{"ip": address.ip()}], "ports": ports(address.port())});
    let endpoints = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": service, "namespace": namespace},
        "subsets": addresses.iter().map(subset).collect::<Vec<Value>>(),
    });
    let path = endpoints_path(namespace, service);
    apply(admin, &path, &endpoints).await.object();
    for number in 0..SLICES {
        let path = slice_path(namespace, service, number);
        let Some(address) = addresses.get(number) else {
            call(admin, Method::DELETE, &path, None).await;
            continue;
        };
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": format!("{service}-{number}"), "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
            "ports": ports(address.port()),
        });
        apply(admin, &path, &slice).await.object();
    }
}

/// Deletes the endpoints that [`set_endpoints`] created.
pub(crate) async fn delete_endpoints(admin: &Client, namespace: &str, service: &str) {
    for number in 0..SLICES {
        let path = slice_path(namespace, service, number);
        call(admin, Method::DELETE, &path, None).await;
    }
    let path = endpoints_path(namespace, service);
    call(admin, Method::DELETE, &path, None).await;
}
