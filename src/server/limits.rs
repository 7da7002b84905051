//! Limits for clients, as flags of `drydock serve`.

use clap::Args;
use std::time::Duration;

/// Limits for clients.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    // The API server accepts objects of 3 MiB. A review can be larger, because it also contains
    // managedFields.
    /// Maximum size of a request body
    #[arg(long = "max-body-bytes", value_name = "BYTES", default_value_t = 8 << 20, value_parser = at_least_one)]
    pub body: usize,

    /// Time limit for receiving a request body
    #[arg(long = "body-seconds", value_name = "SECONDS", default_value = "10", value_parser = positive_seconds)]
    pub body_time: Duration,

    /// Time limit for receiving the headers of a request, from their first byte
    #[arg(long = "header-seconds", value_name = "SECONDS", default_value = "5", value_parser = positive_seconds)]
    pub header_time: Duration,

    /// Time limit for a TLS handshake
    #[arg(long = "handshake-seconds", value_name = "SECONDS", default_value = "5", value_parser = positive_seconds)]
    pub handshake_time: Duration,

    // The API server closes an idle connection after 90 s. If this limit were shorter, drydock
    // could close a connection on which the API server is sending a request.
    /// Time after which an idle connection is closed. It must exceed the API server's 90 s
    #[arg(long = "idle-seconds", value_name = "SECONDS", default_value = "150", value_parser = positive_seconds)]
    pub idle_time: Duration,

    // With this default, drydock uses about 100 MiB while every connection is sending a body. The
    // memory limit of the Deployment is 128 MiB.
    /// Maximum size of all request bodies and unsent responses together. If it is exceeded, the
    /// connection that holds the most memory is evicted
    #[arg(long = "max-body-memory-bytes", value_name = "BYTES", default_value_t = 32 << 20, value_parser = at_least_one)]
    pub body_memory: usize,

    /// Maximum number of connections. If it is exceeded, the connection closest to its time limit
    /// is evicted
    #[arg(long = "max-connections", value_name = "NUMBER", default_value_t = 1024, value_parser = at_least_one)]
    pub connections: usize,
}

impl Default for Limits {
    /// Returns the default values of the flags.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            limits: Limits,
        }
        let flags = <Flags as clap::Parser>::parse_from([""]);
        flags.limits
    }
}

/// Maximum value of a time flag, in seconds. A greater value is probably in the wrong unit.
const MAX_SECONDS: f64 = 24.0 * 60.0 * 60.0;

/// Parses the value of a time flag.
///
/// # Errors
/// If the value is not a number of seconds up to the maximum. The error is a message for the user.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("use a number of seconds between 0 and 86400, such as 5 or 0.5".to_owned()),
    }
}

/// Parses the value of a time flag that must not be zero.
///
/// # Errors
/// If the value is not a number of seconds, or below a millisecond. The error is a message for the
/// user.
pub fn positive_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        time if time < Duration::from_millis(1) => Err("use at least 0.001 seconds".to_owned()),
        time => Ok(time),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("use a whole number of at least 1".to_owned()),
    }
}
