use super::*;
use rcgen::{BasicConstraints, IsCa};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn authority() -> Authority {
    Authority::make("a CA", now(), DAY * 30).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Verifies a leaf as a client that trusts one authority does.
fn verify(ca: &CaCertificate, leaf: &Leaf, name: &str, at: Timestamp) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(der(ca.pem())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().try_into().unwrap()));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier
        .verify_server_cert(leaf.certificate(), &[], &name, &[], at)
        .map(drop)
}

#[test]
fn a_leaf_is_verified_for_each_of_its_names_and_no_other() {
    let authority = authority();
    let given = names(&["drydock.drydock.svc", "192.0.2.1", "2001:db8::1"]);
    let leaf = authority.sign(&given, now(), DAY).unwrap();
    for name in &given {
        verify(authority.certificate(), &leaf, name, now()).unwrap();
    }
    let other = verify(authority.certificate(), &leaf, "drydock.other.svc", now());
    assert!(
        matches!(
            other,
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForNameContext { .. }
            ))
        ),
        "{other:?}"
    );
}

#[test]
fn a_leaf_of_another_authority_of_the_same_name_is_refused() {
    let (one, other) = (authority(), authority());
    assert_ne!(one.certificate().name(), other.certificate().name());
    let leaf = other.sign(&names(&["a"]), now(), DAY).unwrap();
    verify(one.certificate(), &leaf, "a", now()).unwrap_err();
}

#[test]
fn a_leaf_is_valid_from_an_hour_before_it_is_signed_until_it_expires() {
    let authority = authority();
    let leaf = authority.sign(&names(&["a"]), now(), DAY).unwrap();
    assert_eq!(leaf.expires, now() + DAY);
    let second = Duration::from_secs(1);
    let at = |time| verify(authority.certificate(), &leaf, "a", time);
    at(now() - BACKDATING).unwrap();
    at(now() - BACKDATING - second).unwrap_err();
    at(leaf.expires - second).unwrap();
    at(leaf.expires + second).unwrap_err();
}

#[test]
fn a_leaf_expires_no_later_than_its_authority() {
    let authority = authority();
    let late = authority.certificate().expires() - DAY;
    let leaf = authority.sign(&names(&["a"]), late, DAY * 2).unwrap();
    assert_eq!(leaf.expires, authority.certificate().expires());
    let as_long = authority.sign(&names(&["a"]), late, DAY).unwrap();
    assert_eq!(as_long.expires, authority.certificate().expires());
}

#[test]
fn an_authority_is_valid_from_an_hour_before_its_creation_until_it_expires() {
    let authority = authority();
    let certificate = authority.certificate();
    let second = Duration::from_secs(1);
    assert!(certificate.is_valid_at(now() - BACKDATING));
    assert!(!certificate.is_valid_at(now() - BACKDATING - second));
    let end = now() + DAY * 30;
    assert_eq!(certificate.expires(), end);
    assert!(certificate.is_valid_at(end - second));
    assert!(!certificate.is_valid_at(end));
    assert_eq!(certificate.remaining(end - second), second);
    assert_eq!(certificate.remaining(end + second), Duration::ZERO);
}

#[test]
fn an_authority_is_read_back_and_signs_as_before() {
    let made = authority();
    let read = Authority::from_pem(made.certificate().pem(), &made.key_pem()).unwrap();
    assert_eq!(read, made);
    assert_eq!(read.key_pem(), made.key_pem());
    let leaf = read.sign(&names(&["a"]), now(), DAY).unwrap();
    verify(made.certificate(), &leaf, "a", now()).unwrap();
}

/// Creates an authority as other tools do. Returns its certificate and its key.
fn foreign(subject: &[(DnType, DnValue)], is_ca: IsCa) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = is_ca;
    ca.distinguished_name = DistinguishedName::new();
    for (kind, value) in subject {
        ca.distinguished_name.push(kind.clone(), value.clone());
    }
    (ca.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

const A_CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

#[test]
fn a_leaf_of_an_authority_of_another_tool_is_verified() {
    let printable = PrintableString::try_from("DE").unwrap();
    let (certificate, key) = foreign(
        &[
            (DnType::CountryName, DnValue::PrintableString(printable)),
            (DnType::OrganizationName, "Größer & Söhne".into()),
            (DnType::CommonName, "platform CA".into()),
        ],
        A_CA,
    );
    let authority = Authority::from_pem(&certificate, &key).unwrap();
    let leaf = authority.sign(&names(&["a"]), now(), DAY).unwrap();
    verify(authority.certificate(), &leaf, "a", now()).unwrap();
}

#[test]
fn a_subject_with_an_unsupported_encoding_is_refused() {
    let teletex = rcgen::string::TeletexString::try_from("old").unwrap();
    let subject = [(DnType::CommonName, DnValue::TeletexString(teletex))];
    let (certificate, key) = foreign(&subject, A_CA);
    let refused = Authority::from_pem(&certificate, &key).unwrap_err();
    assert!(
        matches!(refused, AuthorityError::UnsupportedSubject),
        "{refused}"
    );
}

#[test]
fn a_certificate_that_is_not_of_a_ca_is_refused() {
    let subject = [(DnType::CommonName, "a server".into())];
    for no_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let (certificate, key) = foreign(&subject, no_ca);
        let refused = Authority::from_pem(&certificate, &key).unwrap_err();
        assert!(matches!(refused, AuthorityError::NotAuthority), "{refused}");
    }
}

#[test]
fn a_key_of_another_pair_is_refused() {
    let (one, other) = (authority(), authority());
    let refused = Authority::from_pem(one.certificate().pem(), &other.key_pem()).unwrap_err();
    assert!(matches!(refused, AuthorityError::KeyMismatch), "{refused}");
}

#[test]
fn text_that_is_not_pem_is_refused() {
    let made = authority();
    let (certificate, key) = (made.certificate().pem(), made.key_pem());
    for (certificate, key) in [
        ("", key.as_str()),
        (certificate, ""),
        (key.as_str(), certificate),
        ("-----BEGIN CERTIFICATE-----\n", key.as_str()),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            key.as_str(),
        ),
    ] {
        Authority::from_pem(certificate, key).unwrap_err();
    }
}

#[test]
fn certificates_are_read_and_other_or_unreadable_sections_skipped() {
    let (one, other) = (authority(), authority());
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let text = format!(
        "# a comment\n{}{broken}{}{}",
        one.certificate().pem(),
        one.key_pem(),
        other.certificate().pem().replace('\n', "\r\n"),
    );
    let (read, unreadable) = CaCertificate::all_from_pem(&text);
    assert_eq!(
        read,
        [one.certificate().clone(), other.certificate().clone()]
    );
    assert_eq!(unreadable, 1);
    assert_eq!(CaCertificate::all_from_pem("").0, []);
}

#[test]
fn t4_no_key_is_shown_for_debugging() {
    let authority = authority();
    let leaf = authority.sign(&names(&["a"]), now(), DAY).unwrap();
    let shown = format!("{authority:?} {leaf:?}");
    for key in [authority.key_pem(), leaf.key_pem()] {
        let line = key.lines().nth(1).unwrap().to_owned();
        assert!(
            !shown.contains(&line) && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }
}
