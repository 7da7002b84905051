//! An HTTP/1.1 client with and without TLS that returns every response and reports every closed
//! connection.
//!
//! It blocks, with a time limit for each read, so that a test fails instead of hanging if the
//! server does not respond. It does not retry.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The time limit of a read, longer than any limit of the server in the tests.
const READ_TIME: Duration = Duration::from_secs(20);

/// Connects over TLS and trusts one CA.
#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

/// A connection without TLS.
pub(crate) type Plain = Connection<TcpStream>;
/// A connection over TLS.
pub(crate) type Tls = Connection<StreamOwned<ClientConnection, TcpStream>>;

/// An HTTP connection.
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    /// Bytes that were read after the last response.
    buffer: Vec<u8>,
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Opens a TCP connection with timeouts for reads and writes.
pub(crate) fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_TIME))?;
    stream.set_write_timeout(Some(READ_TIME))?;
    Ok(stream)
}

impl Client {
    /// Returns a client that trusts only this CA, given as PEM.
    pub(crate) fn trusting(ca: &str) -> Self {
        Self::new(ca, rustls::ALL_VERSIONS, None)
    }

    /// Returns a client with a client certificate and its key, given as PEM.
    pub(crate) fn showing(ca: &str, certificate: &str, key: &str) -> Self {
        Self::new(ca, rustls::ALL_VERSIONS, Some((certificate, key)))
    }

    /// Returns a client with a client certificate that uses TLS 1.2.
    pub(crate) fn showing_in_tls12(ca: &str, certificate: &str, key: &str) -> Self {
        Self::new(ca, &[&rustls::version::TLS12], Some((certificate, key)))
    }

    fn new(
        ca: &str,
        versions: &[&'static SupportedProtocolVersion],
        shown: Option<(&str, &str)>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        assert!(!roots.is_empty(), "no CA certificate in {ca:?}");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
        };
        // Offers the same ALPN protocols as the API server.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// Returns a TLS session without a socket, for tests that transfer its bytes themselves.
    pub(crate) fn session(&self) -> ClientConnection {
        let name = ServerName::try_from("localhost").unwrap();
        ClientConnection::new(self.0.clone(), name).unwrap()
    }

    /// Opens a connection and completes the handshake.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Tls> {
        let mut stream = StreamOwned::new(self.session(), tcp(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection::over(stream))
    }
}

impl Plain {
    /// Opens a connection.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(tcp(address)?))
    }
}

impl Tls {
    /// Returns the server's certificate, as DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        let chain = self.stream.conn.peer_certificates().unwrap();
        chain.first().unwrap().to_vec()
    }
}

/// Returns the bytes of a request.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: drydock\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let says_length = ["Content-Length", "Transfer-Encoding"]
        .iter()
        .any(|length| headers.iter().any(|(name, _)| name == length));
    if !says_length && method != "GET" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// Returns the bytes of a request with a review.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    request("POST", path, &[JSON], body)
}

/// The header of a review.
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

impl<S: Read + Write> Connection<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends bytes unchanged.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a review and reads the response.
    pub(crate) fn review(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.send(&post(path, body))?;
        self.answer()
    }

    /// Sends a GET request and reads the response.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send(&request("GET", path, &[], b""))?;
        self.answer()
    }

    /// Reads the next response.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break self.buffer.drain(..end + 4).collect::<Vec<u8>>();
            }
            self.read_more()?;
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status_line = lines.next().unwrap();
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = match answer.header("content-length") {
            Some(length) => length.parse().unwrap(),
            // "100 Continue" precedes a response and has no body.
            None if status < 200 => 0,
            None => panic!("a response without content-length: {answer:?}"),
        };
        while self.buffer.len() < length {
            self.read_more()?;
        }
        answer.body = self.buffer.drain(..length).collect();
        Ok(answer)
    }

    /// Waits until the server closes the connection, and ignores bytes before that.
    pub(crate) fn wait_until_closed(&mut self) {
        loop {
            match self.read_more() {
                Ok(()) => {}
                Err(error) if is_timeout(&error) => {
                    panic!("the server did not close the connection")
                }
                Err(_) => return,
            }
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.buffer.extend_from_slice(&bytes[..length]);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

impl Answer {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(other, _)| other == name);
        header.map(|(_, value)| value.as_str())
    }

    /// Returns whether the response has `Connection: close`.
    pub(crate) fn says_close(&self) -> bool {
        self.header("connection") == Some("close")
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}
