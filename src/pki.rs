//! Certificates: the self-managed CA and its leaf certificates, the TLS configuration of the
//! server, and the CA of client certificates.

pub mod authority;
pub mod client_ca;
pub mod leaf;
pub mod tls;

use jiff::Timestamp;
use x509_cert::time::Time;

fn timestamp(time: Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
