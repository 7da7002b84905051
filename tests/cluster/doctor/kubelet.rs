//! The part of a kubelet that serves port-forwards. The API server connects to the kubelet's
//! address in the Node object and forwards the client's WebSocket (subprotocol
//! `v4.channel.k8s.io`).

use crate::drydock_process::Certificate;
use crate::raw_requests::apply;
use futures::{SinkExt as _, StreamExt as _};
use kube::Client;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// The data channel and the error channel of the first port.
const CHANNELS: [u8; 2] = [0, 1];

type Targets = Arc<Mutex<BTreeMap<String, SocketAddr>>>;

/// A running kubelet. It stops when dropped.
pub(crate) struct Kubelet {
    address: SocketAddr,
    targets: Targets,
    server: JoinHandle<()>,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Kubelet {
    pub(crate) async fn start(ip: IpAddr) -> Self {
        let certificate = Certificate::new();
        let acceptor = acceptor(&certificate.file(), &certificate.key_file());
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Targets::default();
        let known = targets.clone();
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (acceptor, known) = (acceptor.clone(), known.clone());
                tokio::spawn(async move {
                    if let Ok(connection) = acceptor.accept(connection).await {
                        forward(connection, &known).await;
                    }
                });
            }
        });
        Self {
            address,
            targets,
            server,
        }
    }

    /// Creates a Node object with the address of this kubelet.
    pub(crate) async fn create_node(&self, admin: &Client, name: &str) {
        let path = format!("/api/v1/nodes/{name}");
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        apply(admin, &path, &node).await.object();
        let mut status = node;
        status["status"] = json!({
            "addresses": [{"type": "InternalIP", "address": self.address.ip()}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.address.port()}},
        });
        apply(admin, &format!("{path}/status"), &status)
            .await
            .object();
    }

    /// Forwards all ports of a pod to an address.
    pub(crate) fn forward_to(&self, pod: &str, target: SocketAddr) {
        self.targets.lock().unwrap().insert(pod.to_owned(), target);
    }
}

/// Returns a TLS acceptor with the certificate and the key from two files.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn forward(connection: TlsStream<TcpStream>, targets: &Targets) {
    let mut asked = None;
    #[allow(
        clippy::result_large_err,
        reason = "tungstenite defines the error type"
    )]
    let answer = |request: &Request, mut response: Response| {
        asked = Some(request.uri().clone());
        let protocol = "v4.channel.k8s.io".parse().unwrap();
        response
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(connection, answer).await else {
        return;
    };
    // /portForward/NAMESPACE/POD?port=NUMBER
    let asked = asked.unwrap();
    let pod = asked.path().rsplit('/').next().unwrap().to_owned();
    let (_, port) = asked.query().unwrap().split_once("port=").unwrap();
    let [low, high] = port.parse::<u16>().unwrap().to_le_bytes();
    for channel in CHANNELS {
        let first = Message::binary(vec![channel, low, high]);
        socket.send(first).await.unwrap();
    }
    let target = targets.lock().unwrap().get(&pod).copied();
    let connected = match target {
        Some(target) => TcpStream::connect(target).await,
        None => return,
    };
    let mut target = match connected {
        Ok(target) => target,
        Err(error) => {
            let text = format!("failed to connect to localhost:{port} inside namespace: {error}");
            let _ = socket
                .send(Message::binary([&[1], text.as_bytes()].concat()))
                .await;
            let _ = socket.close(None).await;
            return;
        }
    };
    let mut buffer = [0; 16 * 1024];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&0) => {
                    if target.write_all(&bytes[1..]).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            read = target.read(&mut buffer) => match read {
                Ok(0) | Err(_) => {
                    let _ = socket.close(None).await;
                    return;
                }
                Ok(number) => {
                    let data = [&[0], &buffer[..number]].concat();
                    if socket.send(Message::binary(data)).await.is_err() {
                        return;
                    }
                }
            },
        }
    }
}
