//! Mount paths as the kubelet resolves them.
//!
//! The API server compares `mountPath` as text: `/certs/client/`, `//certs//client`, `/a/../certs/client` and `certs/client` are four
//! paths to it and one to the container, where the later mount wins.

use std::borrow::Cow;

/// Returns the path that a mount lands at: absolute, without `.`, `..`, empty parts and a trailing slash.
/// Lexical, as Go's `path.Clean("/" + path)`: symbolic links of the image are not known at admission.
#[must_use]
pub fn clean(path: &str) -> Cow<'_, str> {
    if is_plain(path) {
        return Cow::Borrowed(path);
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Cow::Owned(format!("/{}", parts.join("/")))
}

/// Whether a path is clean at first sight: nearly all are, and they are asked for often.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let following = bytes.get(1..).unwrap_or_default();
    let is_odd = |(byte, next): (&u8, &u8)| (*byte == b'/') & ((*next == b'/') | (*next == b'.'));
    // Without an early end, so that the compiler may look at many bytes at once.
    let some_odd = bytes
        .iter()
        .zip(following)
        .map(is_odd)
        .fold(false, |some, odd| some | odd);
    path.starts_with('/') && !path.ends_with('/') && !some_odd
}

/// Whether one clean path lies strictly below another.
#[must_use]
pub fn is_below(path: &str, ancestor: &str) -> bool {
    if ancestor == "/" {
        return path != "/";
    }
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Whether two clean paths are the same or one lies below the other.
#[must_use]
pub fn overlap(a: &str, b: &str) -> bool {
    a == b || is_below(a, b) || is_below(b, a)
}

/// Returns the parent of a clean path; that of `/` is `/`.
#[must_use]
pub fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Returns a clean path, its parent, and so on up to `/`.
pub fn self_and_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| (*path != "/").then(|| parent(path)))
}

/// Appends a relative path to a clean one.
#[must_use]
pub fn join(path: &str, rest: &str) -> String {
    if path == "/" {
        format!("/{rest}")
    } else {
        format!("{path}/{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/certs/client", "/certs/client")]
    #[case("/certs/client/", "/certs/client")]
    #[case("//certs//client", "/certs/client")]
    #[case("/a/../certs/client", "/certs/client")]
    #[case("certs/client", "/certs/client")]
    #[case("./certs/./client/.", "/certs/client")]
    #[case("/../../certs/client", "/certs/client")]
    #[case("/certs/client/..", "/certs")]
    #[case("", "/")]
    #[case("/", "/")]
    #[case("..", "/")]
    #[case("/root/.docker/..data", "/root/.docker/..data")]
    fn d4_paths_are_compared_cleaned(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(clean(path), expected);
    }

    #[test]
    fn a_sibling_with_the_same_prefix_is_not_below() {
        assert!(is_below("/certs/client/ca.pem", "/certs/client"));
        assert!(!is_below("/certs/clients", "/certs/client"));
        assert!(!is_below("/certs/client", "/certs/client"));
        assert!(is_below("/certs", "/"));
        assert!(!is_below("/", "/"));
    }
}
