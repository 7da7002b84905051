//! `drydock certs`: three files that fit one another, and nothing lost that was there.

use super::desk::{Desk, Ran};
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
fn certs_writes_three_files_and_the_key_for_its_owner_only() {
    let desk = Desk::new();
    let ran = desk.run("certs --out made/here").went_well();
    assert_eq!(
        ran.out,
        "made/here/ca.crt\nmade/here/tls.crt\nmade/here/tls.key\n"
    );
    let mode = |name: &str| {
        std::fs::metadata(desk.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("made/here/tls.key"), 0o600);
    let begins = |name: &str, with: &str| {
        std::fs::read_to_string(desk.path(name))
            .unwrap()
            .starts_with(with)
    };
    assert!(begins("made/here/ca.crt", "-----BEGIN CERTIFICATE-----\n"));
    assert!(begins("made/here/tls.crt", "-----BEGIN CERTIFICATE-----\n"));
    assert_eq!(
        std::fs::read_dir(desk.path("made/here")).unwrap().count(),
        3
    );
}

#[rstest]
#[case("ca.crt")]
#[case("tls.crt")]
#[case("tls.key")]
fn a_file_that_is_there_stays_unless_forced(#[case] name: &str) {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("certs")).unwrap();
    desk.write(&format!("certs/{name}"), "precious");
    let ran = desk.run("certs");
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert_eq!(
        ran.talk,
        format!(
            "error: certs/{name} exists; take another directory with --out, or overwrite it with --force\n"
        )
    );
    assert_eq!(
        std::fs::read_to_string(desk.path(&format!("certs/{name}"))).unwrap(),
        "precious"
    );
    assert_eq!(std::fs::read_dir(desk.path("certs")).unwrap().count(), 1);
    desk.run("certs --force").went_well();
    assert_ne!(
        std::fs::read_to_string(desk.path(&format!("certs/{name}"))).unwrap(),
        "precious"
    );
}

#[test]
fn a_forced_key_is_for_its_owner_only_whatever_was_there() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("certs")).unwrap();
    desk.write("certs/tls.key", "");
    std::fs::set_permissions(
        desk.path("certs/tls.key"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    desk.run("certs --force").went_well();
    let mode = std::fs::metadata(desk.path("certs/tls.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let ran = Desk::new().run("certs --out pod.yaml/certs");
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(
        ran.talk
            .starts_with("error: pod.yaml/certs cannot be created: "),
        "{ran}"
    );
}

#[rstest]
#[case("https://drydock")]
#[case("drydock:8443")]
#[case("a_b")]
#[case("*")]
fn a_name_that_no_client_can_call_is_refused(#[case] name: &str) {
    let desk = Desk::new();
    let ran = desk.run(&format!("certs --name localhost --name {name}"));
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(
        ran.talk.contains(&format!(
            "\"{name}\" is neither a DNS name nor an IP address"
        )),
        "{ran}"
    );
    assert!(!desk.path("certs").exists());
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
fn serve_shows_the_certificate_for_the_names_given(
    #[case] flags: &str,
    #[case] name: &str,
    #[case] trusted: bool,
) {
    let desk = Desk::new();
    desk.run(&format!("certs {flags}")).went_well();
    let server = Server::start(&desk);
    let shaken = handshake(&desk, server.address, name);
    assert_eq!(shaken.is_ok(), trusted, "{shaken:?}");
}

#[test]
fn a_key_of_another_pair_is_refused_at_start() {
    let desk = Desk::new();
    desk.run("certs --out one").went_well();
    desk.run("certs --out two").went_well();
    let ran: Ran = desk.run("serve --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 --tls-cert-file one/tls.crt --tls-key-file two/tls.key");
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran}");
    assert!(
        ran.talk.contains("tls.key") || ran.talk.contains("tls.crt"),
        "{ran}"
    );
}

/// Trusts the authority in `certs/` and no other.
fn handshake(desk: &Desk, address: SocketAddr, name: &str) -> std::io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(desk.path("certs/ca.crt")).unwrap())
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

/// `drydock serve` with the files of `certs/`, on free ports. It ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(desk: &Desk) -> Self {
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
            .current_dir(desk.folder())
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
            .expect("serve says where it listens");
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
