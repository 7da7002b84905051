//! An API server for tests, which answers as a test wants it to.

use axum::Router;
use kube::{Client, Config};
use tokio::net::TcpListener;

/// Serves for as long as the test's runtime lives; returns a client of it.
pub(super) async fn client_of(router: Router) -> Client {
    // kube takes the provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client::try_from(Config::new(url.parse().unwrap())).unwrap()
}
