//! `HTTPS_PROXY` and `NO_PROXY` beside a kubeconfig.

use crate::api_server::shared;
use crate::identity::Identity;
use crate::serve::{Certificate, Drydock};
use crate::setup::install;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that counts the tunnels through it.
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
async fn a_proxy_of_the_environment_is_used_unless_no_proxy_names_the_api_server() {
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
