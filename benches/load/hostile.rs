//! Measures hostile reviews, four at the same time: the time of the response, and the time of other
//! requests meanwhile.
//!
//! Each shape has its own server, so that its peak of memory is measured separately. The clients
//! run on the same machine, and encrypt four bodies of 8 MiB.

use crate::bounds::AT_BOUNDS;
use crate::client;
use crate::hostile_reviews::{SHAPES, long_name};
use crate::server::Server;
use crate::{bodies, target::verdict};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The maximum size of a body.
const SIZE: usize = 8 << 20;
const SIDE_BY_SIDE: usize = 4;
const ROUNDS: usize = 3;
/// Timeout of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Interval of the other requests.
const PACE: Duration = Duration::from_millis(5);

/// The targets: times in milliseconds, the peak in MiB.
const ANSWER: f64 = 1_000.0;
const LIVEZ: f64 = 50.0;
const GOOD: f64 = 500.0;
const PEAK: f64 = 100.0;
/// `--drain-seconds` is 0; after it, connections have 2 s to end.
const END: f64 = 3_000.0;

/// The results of a shape. Times are in milliseconds.
struct Row {
    kib: usize,
    statuses: BTreeSet<String>,
    answer: f64,
    livez: f64,
    good: f64,
    peak_mib: f64,
    end: f64,
}

pub(crate) fn run() {
    println!(
        "{SIDE_BY_SIDE} at the same time, {ROUNDS} rounds, slowest time. Targets: a response {ANSWER} ms, /livez {LIVEZ} ms, a normal review on another connection {GOOD} ms, peak {PEAK} MiB, exit {END} ms after a SIGTERM while {SIDE_BY_SIDE} more are evaluated.\n"
    );
    println!(
        "| shape | KiB | status | response, ms | /livez, ms | normal review, ms | peak, MiB | exit, ms | |\n|---|---|---|---|---|---|---|---|---|"
    );
    for shape in &SHAPES {
        measure(shape.name, &shape.of_size(SIZE), None);
    }
    measure("one long name in many mounts", &long_name(SIZE), None);
    for shape in &AT_BOUNDS {
        measure(shape.name, &(shape.review)(), Some(shape.policy));
    }
}

/// Starts a server with a policy; without one, with the sample policy.
fn start(directory: &Path, policy: Option<fn() -> String>) -> Server {
    let Some(policy) = policy else {
        return Server::drydock_without_drain(directory, &[]);
    };
    let file = directory.join("policy.json");
    std::fs::write(&file, policy()).unwrap();
    Server::drydock_without_drain(directory, &["--policy", file.to_str().unwrap()])
}

fn measure(name: &str, body: &[u8], policy: Option<fn() -> String>) {
    let row = row(body, policy);
    let is_kept = row.answer <= ANSWER
        && row.livez <= LIVEZ
        && row.good <= GOOD
        && row.peak_mib <= PEAK
        && row.end <= END;
    let statuses: Vec<String> = row.statuses.into_iter().collect();
    println!(
        "| {name} | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
        row.kib,
        statuses.join(", "),
        row.answer,
        row.livez,
        row.good,
        row.peak_mib,
        row.end,
        verdict(f64::from(u8::from(!is_kept)), Some(0.0)),
    );
}

fn row(body: &[u8], policy: Option<fn() -> String>) -> Row {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(directory.path(), policy);
    let hostile = client::request(body);
    let good = client::request(&bodies::fixture("runner/19.3.0-secret-certs"));
    ask(&server, &good).unwrap();
    let (mut statuses, mut answer) = (BTreeSet::new(), Duration::ZERO);
    let is_over = AtomicBool::new(false);
    let (livez, slowest_good) = thread::scope(|scope| {
        let (server, good, is_over) = (&server, &good, &is_over);
        let ops = server.ops();
        let livez = scope.spawn(move || slowest(is_over, || livez(ops)));
        let slowest_good = scope.spawn(move || slowest(is_over, || ask(server, good).map(|_| ())));
        for _ in 0..ROUNDS {
            let asking: Vec<_> = (0..SIDE_BY_SIDE)
                .map(|_| scope.spawn(|| timed(|| ask(server, &hostile))))
                .collect();
            for asked in asking {
                let (took, status) = asked.join().unwrap();
                answer = answer.max(took);
                statuses.insert(status.unwrap_or_else(|error| error.kind().to_string()));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        (livez.join().unwrap(), slowest_good.join().unwrap())
    });
    let peak_mib = server.peak_kib() / 1024.0;
    let (address, tls) = (server.address, server.tls.clone());
    let end = thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            // The server can stop before it has read the request.
            scope.spawn(|| send(address, tls.clone(), &hostile).map(|_| ()));
        }
        thread::sleep(PACE * 10);
        server.terminate(PATIENCE)
    });
    Row {
        kib: body.len() >> 10,
        statuses,
        answer: milliseconds(answer),
        livez: milliseconds(livez),
        good: milliseconds(slowest_good),
        peak_mib,
        end: milliseconds(end),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn timed<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let result = what();
    (began.elapsed(), result)
}

/// Repeats a request until `is_over`, and returns the longest time. A failure counts as the
/// timeout.
fn slowest(is_over: &AtomicBool, mut what: impl FnMut() -> io::Result<()>) -> Duration {
    let mut slowest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let (took, result) = timed(&mut what);
        slowest = slowest.max(result.map_or(PATIENCE, |()| took));
        thread::sleep(PACE);
    }
    slowest
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn livez(ops: SocketAddr) -> io::Result<()> {
    let mut stream = connect(ops)?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: drydock\r\nConnection: close\r\n\r\n")?;
    match status(&mut stream)?.as_str() {
        "200" => Ok(()),
        other => Err(io::Error::other(other.to_owned())),
    }
}

/// Sends a request on a new connection, reads the whole response, and returns its status.
fn ask(server: &Server, request: &[u8]) -> io::Result<String> {
    send(server.address, server.tls.clone(), request)
}

fn send(
    address: SocketAddr,
    tls: std::sync::Arc<rustls::ClientConfig>,
    request: &[u8],
) -> io::Result<String> {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(tls, name).unwrap();
    let mut stream = StreamOwned::new(session, connect(address)?);
    // If the server rejects the request before it has read all of it, the response can still be
    // read.
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    status(&mut stream).map_err(|error| sent.err().unwrap_or(error))
}

fn status(stream: &mut impl Read) -> io::Result<String> {
    let (mut answer, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..read]);
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut missing = (end + 4 + length).saturating_sub(answer.len());
        while missing > 0 {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            missing = missing.saturating_sub(read);
        }
        return Ok(head.split(' ').nth(1).unwrap_or("?").to_owned());
    }
}
