//! A blocking HTTP/1.1 client over TLS with little overhead, and a load generator.

use crate::server::Server;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// An HTTP keep-alive connection.
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

/// Returns a TLS configuration that trusts a CA: TLS 1.3, AES-128 and X25519, as the API server
/// chooses, and no session resumption.
pub(crate) fn trusting(ca: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let provider = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Returns a request with the headers that the API server sends.
pub(crate) fn request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /mutate?timeout=5s HTTP/1.1\r\nHost: drydock.drydock.svc:443\r\nUser-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Client {
    /// Connects, with a full TLS handshake.
    pub(crate) fn connect(server: &Server) -> Self {
        let mut tcp = TcpStream::connect(server.address).unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(server.tls.clone(), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).unwrap();
        }
        Self {
            stream: StreamOwned::new(tls, tcp),
            buffer: vec![0; 16 << 10],
        }
    }

    /// Opens `count` connections, and sends a request on each.
    pub(crate) fn connect_many(server: &Server, count: usize, request: &[u8]) -> Vec<Self> {
        let connect = |_| {
            let mut client = Self::connect(server);
            client.ask(request);
            client
        };
        (0..count).map(connect).collect()
    }

    /// Sends a request and returns the body of the response.
    pub(crate) fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.send(request);
        self.receive()
    }

    /// Sends a request, or a part of one.
    pub(crate) fn send(&mut self, mut request: &[u8]) {
        while !request.is_empty() {
            let written = self.retry(|stream| stream.write(request));
            request = &request[written..];
        }
        self.retry(Write::flush);
    }

    /// Retries an operation on the stream while it would block.
    fn retry<T>(
        &mut self,
        mut what: impl FnMut(&mut StreamOwned<ClientConnection, TcpStream>) -> io::Result<T>,
    ) -> T {
        loop {
            match what(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
                result => return result.unwrap(),
            }
        }
    }

    /// Sets whether reads block, or spin until there is data.
    fn set_blocking(&self, blocking: bool) {
        self.stream.sock.set_nonblocking(!blocking).unwrap();
    }

    /// Reads the response and returns its body.
    pub(crate) fn receive(&mut self) -> &[u8] {
        let mut filled = 0;
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = self.retry(|stream| stream.read(&mut buffer[filled..]));
            self.buffer = buffer;
            assert!(
                read > 0,
                "the server closed the connection, or its response exceeds {filled} bytes"
            );
            filled += read;
            let answer = &self.buffer[..filled];
            if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&answer[..end]).unwrap();
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .unwrap();
                if filled == end + 4 + length.parse::<usize>().unwrap() {
                    return &self.buffer[end + 4..filled];
                }
            }
        }
    }
}

/// Keeps every connection busy until the end, and returns the number of responses.
///
/// One thread is enough: while it reads a response, the server has the requests of the other
/// connections. The thread never sleeps: the kernel would count the work to wake it as CPU time of
/// the server, but only if the server is slower than the client.
pub(crate) fn saturate(clients: &mut [Client], request: &[u8], until: Until) -> u32 {
    let mut answered = 0;
    clients.iter().for_each(|client| client.set_blocking(false));
    clients.iter_mut().for_each(|client| client.send(request));
    while until.is_ahead(answered) {
        for client in &mut *clients {
            client.receive();
            client.send(request);
            answered += 1;
        }
    }
    for client in clients {
        client.receive();
        client.set_blocking(true);
        answered += 1;
    }
    answered
}

/// The end of the load: a time, or a number of responses.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Time(Instant),
    Answers(u32),
}

impl Until {
    fn is_ahead(self, answered: u32) -> bool {
        match self {
            Self::Time(end) => Instant::now() < end,
            Self::Answers(enough) => answered < enough,
        }
    }
}
