//! A certificate authority and a server certificate for development: ECDSA P-256, made in memory.
//!
//! Not for a cluster: nothing renews them.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use std::time::Duration;

/// How long both certificates are good.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Clocks differ a little.
const BEFORE_NOW: Duration = Duration::from_secs(60 * 60);

/// An authority's certificate, and a server's certificate and key signed by it: all PEM. The authority's key is forgotten.
#[derive(Debug)]
pub struct Issued {
    /// The authority's certificate.
    pub ca: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's private key.
    pub key: String,
}

/// Makes an authority and a server certificate for DNS names and addresses.
///
/// # Errors
/// Where a name is not one that a certificate can hold.
pub fn issue(names: &[String]) -> Result<Issued, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = parameters("drydock development CA", &[])?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let mut server = parameters("drydock", names)?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;
    Ok(Issued {
        ca: ca_certificate.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn parameters(common_name: &str, names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    let now = std::time::SystemTime::now();
    parameters.not_before = (now - BEFORE_NOW).into();
    parameters.not_after = (now + LIFETIME).into();
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(parameters)
}
