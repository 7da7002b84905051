//! `drydock certs`: certificate, key and CA match, and existing files are not overwritten.

use super::sandbox::{Output, Sandbox};
use rstest::rstest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

#[test]
fn certs_writes_three_files_and_only_the_owner_can_read_the_key() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run("certs --out made/here").succeeded();
    assert_eq!(
        ran.stdout,
        "made/here/ca.crt\nmade/here/tls.crt\nmade/here/tls.key\n"
    );
    let mode = |name: &str| {
        std::fs::metadata(sandbox.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("made/here/tls.key"), 0o600);
    let begins = |name: &str, with: &str| {
        std::fs::read_to_string(sandbox.path(name))
            .unwrap()
            .starts_with(with)
    };
    assert!(begins("made/here/ca.crt", "-----BEGIN CERTIFICATE-----\n"));
    assert!(begins("made/here/tls.crt", "-----BEGIN CERTIFICATE-----\n"));
    assert_eq!(
        std::fs::read_dir(sandbox.path("made/here"))
            .unwrap()
            .count(),
        3
    );
}

#[rstest]
#[case("ca.crt")]
#[case("tls.crt")]
#[case("tls.key")]
fn an_existing_file_is_overwritten_only_with_force(#[case] name: &str) {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("certs")).unwrap();
    sandbox.write(&format!("certs/{name}"), "precious");
    let ran = sandbox.run("certs");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert_eq!(
        ran.stderr,
        format!(
            "error: certs/{name} already exists; choose another directory with --out, or overwrite the file with --force\n"
        )
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.path(&format!("certs/{name}"))).unwrap(),
        "precious"
    );
    assert_eq!(std::fs::read_dir(sandbox.path("certs")).unwrap().count(), 1);
    sandbox.run("certs --force").succeeded();
    assert_ne!(
        std::fs::read_to_string(sandbox.path(&format!("certs/{name}"))).unwrap(),
        "precious"
    );
}

#[test]
fn an_overwritten_key_is_readable_only_by_its_owner() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("certs")).unwrap();
    sandbox.write("certs/tls.key", "");
    std::fs::set_permissions(
        sandbox.path("certs/tls.key"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    sandbox.run("certs --force").succeeded();
    let mode = std::fs::metadata(sandbox.path("certs/tls.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_error_names_a_directory_that_cannot_be_created() {
    let ran = Sandbox::new().run("certs --out pod.yaml/certs");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(
        ran.stderr
            .starts_with("error: pod.yaml/certs cannot be created: "),
        "{ran}"
    );
}

#[rstest]
#[case("https://drydock")]
#[case("drydock:8443")]
#[case("a_b")]
#[case("*")]
fn a_name_that_is_neither_dns_name_nor_ip_address_is_refused(#[case] name: &str) {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&format!("certs --name localhost --name {name}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(
        ran.stderr.contains(&format!(
            "\"{name}\" is neither a DNS name nor an IP address"
        )),
        "{ran}"
    );
    assert!(!sandbox.path("certs").exists());
}

#[rstest]
#[case::this_machine("", "localhost", true)]
#[case::this_machine_by_address("", "127.0.0.1", true)]
#[case::this_machine_by_address_6("", "::1", true)]
#[case::the_service("", "drydock.drydock.svc", true)]
#[case::nobody("", "gitlab.mylab.com", false)]
#[case::given("--name hook.mylab.com --name 10.0.0.9", "hook.mylab.com", true)]
#[case::given_address("--name hook.mylab.com --name 10.0.0.9", "10.0.0.9", true)]
#[case::any_below("--name *.mylab.com", "hook.mylab.com", true)]
#[case::no_default_beside_a_given_one("--name hook.mylab.com", "localhost", false)]
fn serve_uses_the_certificate_for_the_given_names(
    #[case] flags: &str,
    #[case] name: &str,
    #[case] trusted: bool,
) {
    let sandbox = Sandbox::new();
    sandbox.run(&format!("certs {flags}")).succeeded();
    let server = Server::start(&sandbox);
    let shaken = handshake(&sandbox, server.address, name);
    assert_eq!(shaken.is_ok(), trusted, "{shaken:?}");
}

#[test]
fn a_key_of_another_certificate_is_refused_at_start() {
    let sandbox = Sandbox::new();
    sandbox.run("certs --out one").succeeded();
    sandbox.run("certs --out two").succeeded();
    let ran: Output = sandbox.run("serve --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 --tls-cert-file one/tls.crt --tls-key-file two/tls.key");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
    assert!(
        ran.stderr.contains("tls.key") || ran.stderr.contains("tls.crt"),
        "{ran}"
    );
}

/// Makes a TLS handshake that trusts only the CA in `certs/`.
fn handshake(sandbox: &Sandbox, address: SocketAddr, name: &str) -> std::io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(sandbox.path("certs/ca.crt")).unwrap())
        .unwrap();
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(())
}

/// Runs `drydock serve` with the files of `certs/`, on free ports, until it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(sandbox: &Sandbox) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("drydock"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--ops-listen",
                "127.0.0.1:0",
            ])
            .args([
                "--tls-cert-file",
                "certs/tls.crt",
                "--tls-key-file",
                "certs/tls.key",
            ])
            .current_dir(sandbox.folder())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .map(|line| line.unwrap())
            .find_map(|line| {
                let (_, rest) = line.split_once(" at https://")?;
                rest.split_once('/')?.0.parse().ok()
            })
            .expect("serve did not print its address");
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
