//! `HTTPS_PROXY` and `NO_PROXY` with a kubeconfig.

use crate::api_server::shared;
use crate::drydock_process::{Certificate, Drydock, PROGRAM};
use crate::identity::Identity;
use crate::installation::install;
use crate::measurements::print_figure;
use drydock::names::NAMESPACE;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Starts an HTTP proxy that counts CONNECT requests.
async fn proxy() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let count = tunnels.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let count = count.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.strip_prefix("CONNECT ").unwrap();
                let target = target.split(' ').next().unwrap();
                let mut server = TcpStream::connect(target).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, tunnels)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_in_the_environment_is_used_unless_no_proxy_has_the_api_server() {
    let api = shared().await;
    install(api).await;
    let certificate = Certificate::new();
    let (file, key) = (certificate.file(), certificate.key_file());
    let (file, key) = (file.to_str().unwrap(), key.to_str().unwrap());
    let flags = ["--cluster", "--tls-cert-file", file, "--tls-key-file", key];
    let (address, tunnels) = proxy().await;
    let start = |no_proxy: &str| {
        let (kubeconfig, no_proxy) = (api.kubeconfig(Identity::Drydock), no_proxy.to_owned());
        Drydock::start_with(&flags, |command| {
            for name in ["https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"] {
                command.env_remove(name);
            }
            command.env("KUBECONFIG", kubeconfig);
            command.env("HTTPS_PROXY", format!("http://{address}"));
            command.env("NO_PROXY", no_proxy);
        })
    };
    let through = start("");
    through.ready().await;
    assert!(tunnels.load(Ordering::Relaxed) > 0);
    drop(through);
    let before = tunnels.load(Ordering::Relaxed);
    for no_proxy in ["127.0.0.1", "10.0.0.0/8,127.0.0.0/8", "*"] {
        start(no_proxy).ready().await;
        assert_eq!(tunnels.load(Ordering::Relaxed), before, "{no_proxy}");
    }
}

/// Runs a command in a mount namespace in which `/run/secrets/kubernetes.io/serviceaccount` is the
/// directory `$POD`.
const IN_A_POD: &str = r#"
mount -t tmpfs pod /run
mkdir -p /run/secrets/kubernetes.io
ln -s "$POD" /run/secrets/kubernetes.io/serviceaccount
exec "$@"
"#;

/// In a pod, the API server is inside the cluster, so drydock must not use a proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_pod_a_proxy_in_the_environment_is_ignored() {
    let can = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "pod", "/run"])
        .output();
    if !can.is_ok_and(|can| can.status.success()) {
        print_figure("skipped: cannot create a mount namespace");
        return;
    }
    let api = shared().await;
    install(api).await;
    let pod = TempDir::new().unwrap();
    let text = fs::read_to_string(api.kubeconfig(Identity::Drydock)).unwrap();
    let kubeconfig: Value = serde_json::from_str(&text).unwrap();
    let authority = &kubeconfig["clusters"][0]["cluster"]["certificate-authority"];
    let token = &kubeconfig["users"][0]["user"]["token"];
    fs::copy(authority.as_str().unwrap(), pod.path().join("ca.crt")).unwrap();
    fs::write(pod.path().join("token"), token.as_str().unwrap()).unwrap();
    fs::write(pod.path().join("namespace"), NAMESPACE).unwrap();
    let (address, tunnels) = proxy().await;
    let certificate = Certificate::new();
    let (file, key) = (certificate.file(), certificate.key_file());
    let (file, key) = (file.to_str().unwrap(), key.to_str().unwrap());
    let flags = ["--cluster", "--tls-cert-file", file, "--tls-key-file", key];
    let program = ["unshare", "-rm", "sh", "-ec", IN_A_POD, "sh", PROGRAM];
    let url = api.url();
    let (host, port) = url
        .strip_prefix("https://")
        .unwrap()
        .split_once(':')
        .unwrap();
    let server = Drydock::start_by(&program.map(OsStr::new), &flags, |command| {
        command.env("HOME", pod.path()).env("POD", pod.path());
        command.env("KUBERNETES_SERVICE_HOST", host);
        command.env("KUBERNETES_SERVICE_PORT", port);
        for name in ["NO_PROXY", "no_proxy"] {
            command.env_remove(name);
        }
        for name in [
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
        ] {
            command.env(name, format!("http://{address}"));
        }
    });
    server.ready().await;
    assert_eq!(tunnels.load(Ordering::Relaxed), 0);
}
