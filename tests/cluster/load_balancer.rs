//! Replaces a Service: one address for all ready servers. Like kube-proxy, it forwards a new
//! connection to a ready server, and keeps open connections to a server that is no longer ready.

use crate::wait::POLL_INTERVAL;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server behind the load balancer.
#[derive(Clone, Copy, Debug)]
struct Endpoint {
    webhook: SocketAddr,
    ops: SocketAddr,
    is_ready: bool,
}

/// A running load balancer. It closes all connections and stops when dropped.
pub(crate) struct LoadBalancer {
    pub(crate) address: SocketAddr,
    endpoints: Arc<Mutex<Vec<Endpoint>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl LoadBalancer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoints = Arc::new(Mutex::new(Vec::new()));
        let tasks = [
            tokio::spawn(accept(listener, endpoints.clone())),
            tokio::spawn(probe(endpoints.clone())),
        ];
        Self {
            address,
            endpoints,
            tasks,
        }
    }

    /// Adds a server, which receives connections as soon as it is ready.
    pub(crate) fn add(&self, webhook: SocketAddr, ops: SocketAddr) {
        self.endpoints.lock().unwrap().push(Endpoint {
            webhook,
            ops,
            is_ready: false,
        });
    }

    /// Removes a server that has exited.
    pub(crate) fn remove(&self, webhook: SocketAddr) {
        let mut endpoints = self.endpoints.lock().unwrap();
        endpoints.retain(|endpoint| endpoint.webhook != webhook);
    }

    /// Returns the number of servers that receive connections.
    pub(crate) fn ready(&self) -> usize {
        let endpoints = self.endpoints.lock().unwrap();
        endpoints
            .iter()
            .filter(|endpoint| endpoint.is_ready)
            .count()
    }
}

async fn accept(listener: TcpListener, endpoints: Arc<Mutex<Vec<Endpoint>>>) {
    let turn = AtomicUsize::new(0);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let ready: Vec<SocketAddr> = endpoints
            .lock()
            .unwrap()
            .iter()
            .filter(|endpoint| endpoint.is_ready)
            .map(|endpoint| endpoint.webhook)
            .collect();
        let number = turn.fetch_add(1, Ordering::Relaxed);
        let chosen = ready.get(number % ready.len().max(1)).copied();
        connections.spawn(async move {
            // Without a ready endpoint, the connection is closed.
            let Some(chosen) = chosen else { return };
            if let Ok(mut server) = TcpStream::connect(chosen).await {
                let _ = client.set_nodelay(true);
                let _ = server.set_nodelay(true);
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Probes the readiness of each server, like a kubelet but more often.
async fn probe(endpoints: Arc<Mutex<Vec<Endpoint>>>) {
    loop {
        let all: Vec<Endpoint> = endpoints.lock().unwrap().clone();
        for endpoint in all {
            let is_ready = is_ready(endpoint.ops).await;
            let mut endpoints = endpoints.lock().unwrap();
            let same = endpoints.iter_mut().find(|it| it.ops == endpoint.ops);
            if let Some(same) = same {
                same.is_ready = is_ready;
            }
        }
        tokio::time::sleep(5 * POLL_INTERVAL).await;
    }
}

async fn is_ready(ops: SocketAddr) -> bool {
    let ask = async {
        let mut connection = TcpStream::connect(ops).await?;
        let request = b"GET /readyz HTTP/1.1\r\nHost: drydock\r\nConnection: close\r\n\r\n";
        connection.write_all(request).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    ask.await
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
