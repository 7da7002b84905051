//! The names that Kubernetes allows, each as a check that returns what is wrong.
//!
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/> and the labels page beside it.

/// The outcome of a check: what a value must be, where it is not.
pub type Check = Result<(), &'static str>;

const MUST_BE_SUBDOMAIN: &str = "not an RFC 1123 subdomain: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit, at most 253 characters";

/// An RFC 1123 subdomain: what a hostname of `hostAliases` and most object names must be.
pub fn subdomain(name: &str) -> Check {
    // A part may be longer than DNS's 63 characters: the API server counts the whole only.
    let good = !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label);
    if good { Ok(()) } else { Err(MUST_BE_SUBDOMAIN) }
}

/// An RFC 1123 label: what a volume or namespace name must be.
pub fn label(name: &str) -> Check {
    if name.len() <= 63 && is_label(name) {
        Ok(())
    } else {
        Err(
            "not an RFC 1123 label: lower-case letters, digits and '-', beginning and ending with a letter or digit, at most 63 characters",
        )
    }
}

fn is_label(name: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

/// A key of a label, annotation, taint or node selector: `[prefix/]name`.
pub fn label_key(key: &str) -> Check {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let good = !name.is_empty()
        && is_qualified(name)
        && prefix.is_none_or(|prefix| subdomain(prefix).is_ok());
    if good {
        Ok(())
    } else {
        Err(
            "not a label key: an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_' and '.'",
        )
    }
}

/// A value of a label; may be empty.
pub fn label_value(value: &str) -> Check {
    if value.is_empty() || is_qualified(value) {
        Ok(())
    } else {
        Err(
            "not a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
        )
    }
}

fn is_qualified(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// A key of a ConfigMap or Secret.
pub fn config_key(key: &str) -> Check {
    let good = !key.is_empty()
        && key.len() <= 253
        && !matches!(key, "." | "..")
        && !key.starts_with("..")
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if good {
        Ok(())
    } else {
        Err("not a ConfigMap key: at most 253 letters, digits, '-', '_' and '.'")
    }
}

/// A registry as the docker client writes it: `host` or `host:port`, an IPv6 address in brackets.
pub fn registry_host(host: &str) -> Check {
    const WRONG: &str = "not a registry host: a hostname or an address, and :PORT if it has one, as in registry.mylab.com:5000";
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let name_is_good = match name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => subdomain(name).is_ok(),
    };
    let port_is_good = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if name_is_good && port_is_good {
        Ok(())
    } else {
        Err(WRONG)
    }
}
