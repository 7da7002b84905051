//! Certificate files that change while the server runs: rotation loses no admission (rule F5).

use crate::client::Client;
use crate::kubelet_mount::Mount;
use crate::metrics::handshake_failure;
use crate::process::{EndOnDrop, Server, eventually};
use crate::reviews::{RUNNER, assert_answers_runner};
use crate::start::refused;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const GOOD: &str = "drydock_reloads_total{what=\"certificate\",result=\"good\"}";
const BAD: &str = "drydock_reloads_total{what=\"certificate\",result=\"bad\"}";
const EXPIRY: &str = "drydock_certificate_expiry_timestamp_seconds";

/// A CA that signs server certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

/// A server certificate and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    der: Vec<u8>,
    /// Seconds since 1970.
    expires: f64,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new([]).unwrap();
        ca.distinguished_name
            .push(DnType::CommonName, "an authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let directory = TempDir::new().unwrap();
        let pem = ca.self_signed(&key).unwrap().pem();
        fs::write(directory.path().join("ca.crt"), pem).unwrap();
        Self {
            issuer: Issuer::new(ca, key),
            directory,
        }
    }

    /// Returns the path of the CA certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// Signs a certificate that is valid until 1 January of a year.
    pub(crate) fn sign(&self, year: i32) -> Pair {
        self.sign_until(date_time_ymd(year, 1, 1).into())
    }

    fn sign_until(&self, end: SystemTime) -> Pair {
        self.sign_between(SystemTime::UNIX_EPOCH, end)
    }

    fn sign_between(&self, begin: SystemTime, end: SystemTime) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(["localhost".to_owned()]).unwrap();
        server.not_before = begin.into();
        server.not_after = end.into();
        let seconds = server.not_after.unix_timestamp().to_string();
        let signed = server.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: signed.pem(),
            key: key.serialize_pem(),
            der: CertificateDer::from_pem_slice(signed.pem().as_bytes())
                .unwrap()
                .to_vec(),
            expires: seconds.parse().unwrap(),
        }
    }

    /// Starts a server with mounted files and a short reload interval.
    fn serve(&self, mount: &Mount) -> Server {
        self.serve_with(mount, &["--reload-seconds", "0.02"])
    }

    /// Starts a server with mounted files.
    pub(crate) fn serve_with(&self, mount: &Mount, flags: &[&str]) -> Server {
        let (certificate, key) = (mount.text("tls.crt"), mount.text("tls.key"));
        Server::start_with_certificate(&certificate, &key, &self.file(), flags)
    }
}

impl Pair {
    /// Returns the files of a `kubernetes.io/tls` Secret.
    pub(crate) fn files(&self) -> [(&'static str, &str); 2] {
        [("tls.crt", &self.certificate), ("tls.key", &self.key)]
    }
}

/// Returns the certificate that the server sends in a new handshake.
fn shown(server: &Server) -> Vec<u8> {
    server.connect().certificate()
}

#[track_caller]
fn assert_expiry(server: &Server, pair: &Pair) {
    assert_eq!(server.metrics().value(EXPIRY), pair.expires);
}

#[test]
fn f5_certificates_swapped_twice_under_load_lose_no_review_and_new_handshakes_see_the_new_one() {
    let authority = Authority::new();
    let pairs = [2030, 2031, 2032].map(|year| authority.sign(year));
    let mut mount = Mount::new(&pairs[0].files());
    let server = authority.serve(&mount);
    assert_eq!(shown(&server), pairs[0].der);
    let (done, on_kept, on_new) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        let kept = scope.spawn(|| {
            let mut connection = server.connect();
            while !done.load(Ordering::Relaxed) {
                assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
                on_kept.fetch_add(1, Ordering::Relaxed);
            }
            // A rotation must not close the connection.
            connection.certificate()
        });
        let new = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
                on_new.fetch_add(1, Ordering::Relaxed);
            }
        });
        let end = EndOnDrop(&done);
        let answered_more = || {
            let before = [&on_kept, &on_new].map(|count| count.load(Ordering::Relaxed));
            eventually("reviews are answered", || {
                let now = [&on_kept, &on_new].map(|count| count.load(Ordering::Relaxed));
                let more = now[0] >= before[0] + 10 && now[1] >= before[1] + 10;
                more || kept.is_finished() || new.is_finished()
            });
        };
        answered_more();
        for (pair, swaps) in pairs[1..].iter().zip([1.0, 2.0]) {
            mount.swap(&pair.files());
            eventually("the new pair is in use", || {
                server.metrics().value(GOOD) >= swaps
            });
            assert_eq!(shown(&server), pair.der);
            assert_expiry(&server, pair);
            answered_more();
        }
        drop(end);
        assert_eq!(kept.join().unwrap(), pairs[0].der);
    });
}

#[test]
fn f5_a_mismatched_pair_leaves_the_last_good_one_in_use() {
    let authority = Authority::new();
    let pairs = [2030, 2031, 2032].map(|year| authority.sign(year));
    let mut mount = Mount::new(&pairs[0].files());
    let server = authority.serve(&mount);
    let mixed = [
        ("tls.crt", pairs[1].certificate.as_str()),
        ("tls.key", pairs[2].key.as_str()),
    ];
    mount.swap(&mixed);
    server.wait_for_metric(BAD, 1.0);
    assert_eq!(shown(&server), pairs[0].der);
    assert_expiry(&server, &pairs[0]);
    server.wait_for_words(&["--tls-cert-file", "tls.crt", "together"]);

    mount.swap(&pairs[1].files());
    server.wait_for_metric(GOOD, 1.0);
    assert_eq!(shown(&server), pairs[1].der);
    assert_expiry(&server, &pairs[1]);
}

#[test]
fn f5_an_expired_pair_is_refused_at_start_and_leaves_the_last_good_one_in_use() {
    let authority = Authority::new();
    let (good, expired) = (authority.sign(2030), authority.sign(2020));
    let mut mount = Mount::new(&expired.files());
    let (certificate, key) = (mount.text("tls.crt"), mount.text("tls.key"));
    let flags = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    refused(
        &flags,
        &["--tls-cert-file", "tls.crt", "expired at 2020-01-01"],
    );

    mount.swap(&good.files());
    let server = authority.serve(&mount);
    mount.swap(&expired.files());
    server.wait_for_metric(BAD, 1.0);
    server.wait_for_words(&["expired at 2020-01-01", "in use expires at 2030-01-01"]);
    assert_eq!(shown(&server), good.der);
    assert_expiry(&server, &good);
    assert_eq!(server.get("/readyz").0, 200);
}

#[test]
fn f5_a_certificate_that_is_not_for_a_name_is_refused() {
    let authority = Authority::new();
    let mount = Mount::new(&authority.sign(2030).files());
    let (certificate, key) = (mount.text("tls.crt"), mount.text("tls.key"));
    let service = "drydock.drydock.svc";
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let flags = [&files[..], &["--tls-name", service]].concat();
    refused(&flags, &["tls.crt", service, "subjectAltName"]);
    let server = authority.serve_with(&mount, &["--tls-name", "localhost"]);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
}

#[test]
fn f5_a_server_whose_certificate_expires_is_not_ready_and_says_so() {
    let authority = Authority::new();
    let soon = SystemTime::now() + Duration::from_secs(4);
    let mount = Mount::new(&authority.sign_until(soon).files());
    let server = authority.serve(&mount);
    assert_eq!(server.get("/readyz").0, 200);
    eventually("/readyz is 503", || server.get("/readyz").0 == 503);
    let reason = server.get("/readyz").1;
    assert!(
        reason.starts_with("the certificate expired at 20"),
        "{reason}"
    );
    assert_eq!(server.get("/livez").0, 200);
}

/// If the clock of this node is behind, a certificate that was just issued is not valid yet.
#[test]
fn f5_a_server_whose_certificate_is_not_valid_yet_is_ready_once_it_is() {
    let authority = Authority::new();
    let begin = SystemTime::now() + Duration::from_secs(4);
    let end = begin + Duration::from_secs(3600);
    let mount = Mount::new(&authority.sign_between(begin, end).files());
    let server = authority.serve(&mount);
    let (status, reason) = server.get("/readyz");
    assert_eq!(status, 503);
    assert!(
        reason.starts_with("the certificate is not valid before 20"),
        "{reason}"
    );
    eventually("/readyz is 200", || server.get("/readyz").0 == 200);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
}

#[test]
fn f5_missing_empty_or_invalid_files_leave_the_last_good_pair_in_use() {
    let authority = Authority::new();
    let pair = authority.sign(2030);
    let mut mount = Mount::new(&pair.files());
    let server = authority.serve(&mount);
    let mut bad = 0.0;
    for (certificate, key) in [
        ("", ""),
        (pair.certificate.as_str(), ""),
        ("", pair.key.as_str()),
        (pair.key.as_str(), pair.certificate.as_str()),
        ("-----BEGIN CERTIFICATE-----\n", pair.key.as_str()),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            pair.key.as_str(),
        ),
    ] {
        mount.swap(&[("tls.crt", certificate), ("tls.key", key)]);
        bad += 1.0;
        server.wait_for_metric(BAD, bad);
        assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    }
    fs::remove_file(mount.path("..data")).unwrap();
    server.wait_for_metric(BAD, bad + 1.0);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    assert_expiry(&server, &pair);
    let log = server.stop();
    assert!(
        !log.contains("PRIVATE KEY-----"),
        "a private key was logged (T4): {log}"
    );
    let secret = pair.key.lines().nth(1).unwrap();
    assert!(
        !log.contains(secret),
        "a private key was logged (T4): {log}"
    );
}

#[test]
fn f5_a_certificate_of_another_authority_works_if_the_client_trusts_it() {
    let (old, new) = (Authority::new(), Authority::new());
    let (first, second) = (old.sign(2030), new.sign(2031));
    let mut mount = Mount::new(&first.files());
    let mut server = old.serve(&mount);
    mount.swap(&second.files());
    server.wait_for_metric(GOOD, 1.0);
    // The handshake of a client that trusts only the old CA fails.
    assert!(server.client().connect(server.webhook).is_err());
    server.wait_for_metric(&handshake_failure("not-trusted"), 1.0);
    server.trust(&fs::read_to_string(new.file()).unwrap());
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    let both = [old.file(), new.file()].map(|file| fs::read_to_string(file).unwrap());
    let client = Client::trusting(&both.concat());
    assert!(client.connect(server.webhook).is_ok());
}

#[test]
fn the_certificate_made_in_memory_expires_in_a_year_as_the_metric_says() {
    let server = Server::start(&[]);
    let now = SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let days = (server.metrics().value(EXPIRY) - now.as_secs_f64()) / 86400.0;
    assert!((360.0..=366.0).contains(&days), "{days}");
}
