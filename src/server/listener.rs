//! Listens on a port, and serves each connection from the TLS handshake to the last response.

use super::connection::{Connection, Phase, Port, TimedStream};
use crate::pki::tls::Certificate;
use crate::telemetry::metrics::{HandshakeFailure, Limit, OtherRequest};
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::net::sockopt;
use rustls::server::Acceptor;
use rustls::{AlertDescription, ServerConfig};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tower_service::Service as _;

/// Timeout for responses that are in progress when the server stops.
const LAST_RESPONSES_TIMEOUT: Duration = Duration::from_secs(2);

/// Delay after a failed accept, for example because the process has no free file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Maximum number of established connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Maximum size of a request's headers and of the read buffer, in bytes. The headers of a request
/// of the API server have about 300 bytes.
const READ_BUFFER: usize = 16 << 10;

/// Binds a socket that refuses connections until it listens. `[::]` binds every address of both
/// families, independent of `net.ipv6.bindv6only`. If the kernel has no IPv6, `[::]` binds every
/// IPv4 address.
///
/// # Errors
/// If the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let bound = bind_one_family(address);
    match bound {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && has_no_ipv6(&error) => {
            bind_one_family((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        bound => bound,
    }
}

fn bind_one_family(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv6() {
        let socket = TcpSocket::new_v6()?;
        sockopt::set_ipv6_v6only(&socket, false)?;
        socket
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    // `io::ErrorKind` has no variant for EAFNOSUPPORT.
    error.kind() == io::ErrorKind::AddrNotAvailable
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::AFNOSUPPORT)
}

/// Listens on a bound socket.
///
/// # Errors
/// If another process has taken the address in the meantime.
pub fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

/// Listens as soon as there is a certificate. Until then the port refuses connections, and the API
/// server tries another replica.
///
/// # Errors
/// If another process has taken the address in the meantime.
pub async fn listen_with_certificate(
    socket: TcpSocket,
    mut certificate: watch::Receiver<Option<Certificate>>,
) -> io::Result<TcpListener> {
    // Fails only if the sender is dropped, which happens when the server ends.
    let _ = certificate.wait_for(Option::is_some).await;
    listen(socket)
}

/// Serves connections until `stop` completes, and then finishes the requests that are in progress.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    port: Arc<Port>,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            () = &mut stop => break,
        };
        // If no connection can be evicted, the new one is closed, and the API server retries.
        let connection = match port.admit() {
            Ok(connection) => connection,
            Err(reason) => {
                tracing::debug!(%reason, "connection not accepted");
                continue;
            }
        };
        let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
        let task = tokio::spawn(handle(stream, tls, router, connection.clone(), watcher));
        connection.set_task(task.abort_handle());
    }
    drop(listener);
    let _ = timeout(LAST_RESPONSES_TIMEOUT, graceful.shutdown()).await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::debug!(%error, "connection not accepted");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn handle(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    connection: Arc<Connection>,
    watcher: Watcher,
) {
    // Without this option, a response would wait for the acknowledgement of earlier bytes.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = tls else {
        return serve_http(stream, router, connection, watcher).await;
    };
    let handshake = handshake(stream, tls);
    let failure = match timeout(connection.port.limits.handshake_time, handshake).await {
        Ok(Ok(stream)) => {
            connection.enter(Phase::Idle);
            return serve_http(stream, router, connection, watcher).await;
        }
        Ok(Err((error, failure))) => {
            tracing::debug!(%error, "TLS handshake failed");
            failure
        }
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            connection.port.metrics.limit_hit(Limit::HandshakeTime);
            HandshakeFailure::Timeout
        }
    };
    connection.port.metrics.handshake_failed(failure);
}

/// Performs the TLS handshake. An error before the ClientHello cannot mean that the client does not
/// trust the certificate, because drydock has not sent it yet.
async fn handshake(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
) -> Result<TlsStream<TcpStream>, (io::Error, HandshakeFailure)> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
    let hello = hello.map_err(|error| match handshake_failure(&error) {
        HandshakeFailure::Closed => (error, HandshakeFailure::Closed),
        _ => (error, HandshakeFailure::Protocol),
    })?;
    let accepted = hello.into_stream(tls).await;
    accepted.map_err(|error| {
        let failure = handshake_failure(&error);
        (error, failure)
    })
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    router: Router,
    connection: Arc<Connection>,
    watcher: Watcher,
) {
    let stream = TokioIo::new(TimedStream::new(stream, connection.clone()));
    let service = service_fn(|request| respond(router.clone(), connection.clone(), request));
    let served = http1::Builder::new()
        .max_buf_size(READ_BUFFER)
        .serve_connection(stream, service);
    if let Err(error) = watcher.watch(served).await {
        if error.is_parse() && connection.port.is_webhook {
            connection.port.metrics.other_request(OtherRequest::NotHttp);
        }
        tracing::debug!(%error, "connection failed");
    }
}

/// Responds to a request, with `Connection: close` if the client must open another connection for
/// its next request.
async fn respond(
    mut router: Router,
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    connection.enter(Phase::Answering);
    request.extensions_mut().insert(connection.clone());
    let mut response = router.call(request).await?;
    let bytes = response.body().size_hint().exact().unwrap_or_default();
    if connection.record_response(usize::try_from(bytes).unwrap_or(usize::MAX)) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response)
}

/// Classifies a handshake failure. Anyone who reaches the port can make a handshake fail, so only a
/// TLS alert about the certificate means that the client does not trust it.
fn handshake_failure(error: &io::Error) -> HandshakeFailure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => return HandshakeFailure::Closed,
        _ => {}
    }
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            // The client trusts a CA with the same name but another key.
            | AlertDescription::DecryptError,
        )) => HandshakeFailure::NotTrusted,
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
            HandshakeFailure::ClientCertificate
        }
        _ => HandshakeFailure::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    async fn is_reached(address: SocketAddr) -> bool {
        TcpStream::connect(address).await.is_ok()
    }

    #[tokio::test]
    async fn connections_are_refused_until_there_is_a_certificate() {
        let socket = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let (sender, certificate) = watch::channel(None);
        let mut listener = pin!(listen_with_certificate(socket, certificate));
        assert!(listener.as_mut().now_or_never().is_none());
        assert!(!is_reached(address).await);
        sender.send_replace(Some(crate::server::tests::certificate().0));
        let _listener = listener.await.unwrap();
        assert!(is_reached(address).await);
    }

    #[tokio::test]
    async fn every_ipv6_address_includes_the_ipv4_addresses() {
        let socket = bind("[::]:0".parse().unwrap()).unwrap();
        if socket.local_addr().unwrap().is_ipv6() {
            assert!(!sockopt::ipv6_v6only(&socket).unwrap());
        }
        let port = socket.local_addr().unwrap().port();
        let _listener = listen(socket).unwrap();
        assert!(is_reached((Ipv4Addr::LOCALHOST, port).into()).await);
    }
}
