//! Authentication of clients in the TLS handshake (`--client-ca-file`, `--client-name`).

use crate::client::Client;
use crate::kubelet_mount::Mount;
use crate::process::Server;
use crate::reviews::{RUNNER, assert_answers_runner};
use crate::start::refused;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use std::fs;
use std::io;
use tempfile::TempDir;

const GOOD: &str = "drydock_reloads_total{what=\"client-authority\",result=\"good\"}";
const BAD: &str = "drydock_reloads_total{what=\"client-authority\",result=\"bad\"}";
const FAILURES: &str = "drydock_tls_handshake_failures_total{reason=\"client-certificate\"}";

/// A CA that signs client certificates of API servers.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new([]).unwrap();
        ca.distinguished_name
            .push(DnType::CommonName, "API servers");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(ca, key),
            pem,
        }
    }

    /// Signs a client certificate with a common name and DNS names. Returns it and its key, as PEM.
    fn sign(&self, common_name: &str, names: &[&str]) -> (String, String) {
        self.sign_for(common_name, names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign_for(
        &self,
        common_name: &str,
        names: &[&str],
        purpose: ExtendedKeyUsagePurpose,
    ) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut client = CertificateParams::new(names).unwrap();
        client.distinguished_name = DistinguishedName::new();
        client
            .distinguished_name
            .push(DnType::CommonName, common_name);
        client.extended_key_usages = vec![purpose];
        let signed = client.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}

/// A server with a client CA.
struct ServerWithClientCa {
    server: Server,
    /// The CA of the server's certificate, as PEM.
    ca: String,
    mount: Mount,
    /// The directory to which the server writes its CA.
    _directory: TempDir,
}

impl ServerWithClientCa {
    fn start(authority: &Authority, flags: &[&str]) -> Self {
        let mount = Mount::new(&[("clients.crt", &authority.pem)]);
        let directory = TempDir::new().unwrap();
        let ca = directory.path().join("ca.crt");
        let (clients, ca_file) = (mount.text("clients.crt"), ca.to_str().unwrap().to_owned());
        let own = [
            "--client-ca-file",
            &clients,
            "--write-ca",
            &ca_file,
            "--reload-seconds",
            "0.02",
        ];
        let mut command = crate::process::drydock(&["serve"]);
        command.args(crate::process::FREE_PORTS).args(own);
        command.args(flags);
        let server = Server::spawn(command, TempDir::new().unwrap(), &ca);
        Self {
            server,
            ca: fs::read_to_string(ca).unwrap(),
            mount,
            _directory: directory,
        }
    }

    /// Sends a review as a client. With TLS 1.3, a rejected client gets the error only after the
    /// handshake.
    fn review(&self, client: &Client) -> io::Result<()> {
        let answer = client
            .connect(self.server.webhook)?
            .review("/mutate", RUNNER)?;
        assert_answers_runner(&answer);
        Ok(())
    }

    fn showing(&self, (certificate, key): &(String, String)) -> Client {
        Client::showing(&self.ca, certificate, key)
    }

    #[track_caller]
    fn answers(&self, shown: &(String, String)) {
        self.review(&self.showing(shown)).unwrap();
    }

    /// Asserts that a client gets no response, and that the failure is counted.
    #[track_caller]
    fn refuses(&self, client: &Client) {
        let before = self.server.metrics().value(FAILURES);
        self.review(client).unwrap_err();
        self.server.wait_for_metric(FAILURES, before + 1.0);
    }
}

#[test]
fn only_clients_with_a_certificate_of_the_client_ca_get_responses() {
    let (authority, other) = (Authority::new(), Authority::new());
    let gated = ServerWithClientCa::start(&authority, &[]);
    let good = authority.sign("whoever", &[]);
    gated.answers(&good);
    gated.refuses(&Client::trusting(&gated.ca));
    gated.refuses(&gated.showing(&other.sign("whoever", &[])));
    // A server certificate is not valid for a client.
    let of_server = authority.sign_for("whoever", &[], ExtendedKeyUsagePurpose::ServerAuth);
    gated.refuses(&gated.showing(&of_server));
    gated.answers(&good);
    // The ops port does not require a client certificate.
    assert_eq!(gated.server.get("/readyz").0, 200);
}

#[test]
fn tls_1_2_clients_need_a_certificate_too() {
    let authority = Authority::new();
    let gated = ServerWithClientCa::start(&authority, &["--client-name", "kube-apiserver"]);
    let client = |shown: &(String, String)| Client::showing_in_tls12(&gated.ca, &shown.0, &shown.1);
    let good = client(&authority.sign("kube-apiserver", &[]));
    gated.review(&good).unwrap();
    gated.refuses(&client(&authority.sign("other", &[])));
    gated.refuses(&client(&Authority::new().sign("kube-apiserver", &[])));
}

#[test]
fn a_client_certificate_must_have_one_of_the_given_names() {
    let authority = Authority::new();
    let names = [
        "--client-name",
        "kube-apiserver",
        "--client-name",
        "api.example.com",
    ];
    let gated = ServerWithClientCa::start(&authority, &names);
    for (common_name, dns_names) in [
        ("kube-apiserver", &[][..]),
        ("Kube-APIserver", &[]),
        ("api.example.com", &[]),
        ("whoever", &["api.example.com"]),
        ("whoever", &["x.example.com", "API.example.com"]),
    ] {
        gated.answers(&authority.sign(common_name, dns_names));
    }
    for (common_name, dns_names) in [
        ("kube-apiserver-2", &[][..]),
        ("my kube-apiserver", &[]),
        ("", &[]),
        ("whoever", &["x.api.example.com", "example.com"]),
    ] {
        gated.refuses(&gated.showing(&authority.sign(common_name, dns_names)));
    }
    // A certificate of another CA with a permitted name is rejected.
    gated.refuses(&gated.showing(&Authority::new().sign("kube-apiserver", &[])));
}

#[test]
fn a_changed_client_ca_applies_to_new_connections_and_an_invalid_one_is_ignored() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut gated = ServerWithClientCa::start(&old, &[]);
    let (of_old, of_new) = (old.sign("a", &[]), new.sign("a", &[]));
    let mut open = gated
        .showing(&of_old)
        .connect(gated.server.webhook)
        .unwrap();
    gated.answers(&of_old);
    gated.refuses(&gated.showing(&of_new));

    let both = [old.pem.as_str(), &new.pem].concat();
    gated.mount.swap(&[("clients.crt", &both)]);
    gated.server.wait_for_metric(GOOD, 1.0);
    gated.answers(&of_old);
    gated.answers(&of_new);

    gated.mount.swap(&[("clients.crt", &new.pem)]);
    gated.server.wait_for_metric(GOOD, 2.0);
    gated.refuses(&gated.showing(&of_old));
    gated.answers(&of_new);
    assert_answers_runner(&open.review("/mutate", RUNNER).unwrap());

    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (bad, count) in [("", 1.0), (junk, 2.0)] {
        gated.mount.swap(&[("clients.crt", bad)]);
        gated.server.wait_for_metric(BAD, count);
        gated.answers(&of_new);
        gated.refuses(&Client::trusting(&gated.ca));
    }
    gated.server.wait_for_words(&["--client-ca-file"]);
}

#[test]
fn an_unreadable_client_ca_is_refused_by_file_name() {
    let mount = Mount::new(&[("empty", ""), ("junk", "junk")]);
    let (empty, junk) = (mount.text("empty"), mount.text("junk"));
    for (file, words) in [
        ("/nowhere/ca.crt", &["/nowhere/ca.crt", "cannot be read"]),
        (empty.as_str(), &["empty", "BEGIN CERTIFICATE"]),
        (junk.as_str(), &["junk", "BEGIN CERTIFICATE"]),
    ] {
        refused(&["--client-ca-file", file], &["--client-ca-file"]);
        refused(&["--client-ca-file", file], words);
    }
    refused(&["--client-name", "a"], &["--client-ca-file"]);
    refused(
        &["--client-ca-file", "a", "--client-name", ""],
        &["--client-name"],
    );
}
