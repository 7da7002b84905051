//! Compares mount paths as the kubelet resolves them.
//!
//! The API server compares `mountPath` as a string, so it accepts `/certs/client/`,
//! `//certs//client`, `/a/../certs/client` and `certs/client` as four different paths. In the
//! container they are the same path, and the last mount hides the others.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Returns the absolute path without `.`, `..`, empty parts and a trailing slash, as
/// `path.Clean("/" + path)` in Go. Does not resolve symbolic links, because the file system of the
/// image is unknown at admission.
pub fn clean(path: &str) -> Cow<'_, str> {
    if is_certainly_clean(path) {
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

/// Quickly checks whether a path is clean, to avoid an allocation. Returns `false` for all paths
/// that are not clean, and for a few clean paths such as `/` and `/.a`.
fn is_certainly_clean(path: &str) -> bool {
    let bytes = path.as_bytes();
    let following = bytes.get(1..).unwrap_or_default();
    let is_unclean =
        |(byte, next): (&u8, &u8)| (*byte == b'/') & ((*next == b'/') | (*next == b'.'));
    // No early return, so that the compiler can use vector instructions.
    let has_unclean = bytes
        .iter()
        .zip(following)
        .map(is_unclean)
        .fold(false, |some, it| some | it);
    path.starts_with('/') && !path.ends_with('/') && !has_unclean
}

/// Returns whether a clean path is strictly below another.
pub fn is_below(path: &str, ancestor: &str) -> bool {
    if ancestor == "/" {
        return path != "/";
    }
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Returns whether two clean paths are equal or one is below the other.
pub fn overlap(a: &str, b: &str) -> bool {
    a == b || is_below(a, b) || is_below(b, a)
}

/// Returns the parent of a clean path. The parent of `/` is `/`.
pub fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Appends a relative path to a clean path.
pub fn join(path: &str, rest: &str) -> String {
    if path == "/" {
        format!("/{rest}")
    } else {
        format!("{path}/{rest}")
    }
}

/// A sorted list of clean paths, in which a path below another is found in logarithmic time.
#[derive(Debug)]
pub struct SortedPaths(Vec<String>);

impl SortedPaths {
    /// Cleans and sorts paths.
    pub fn of<'p>(paths: impl IntoIterator<Item = &'p str>) -> Self {
        let clean = |path| clean(path).into_owned();
        let mut sorted: Vec<String> = paths.into_iter().map(clean).collect();
        sorted.sort_by(|a, b| order(a, b));
        Self(sorted)
    }

    /// Returns whether one of the paths is strictly below a clean path.
    pub fn has_below(&self, path: &str) -> bool {
        let after = self.0.partition_point(|known| order(known, path).is_le());
        let next = self.0.get(after);
        next.is_some_and(|next| is_below(next, path))
    }
}

/// Orders paths so that the paths below a path follow it directly: `/a`, `/a/b`, `/a-b`.
fn order(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    // Only the root ends with a slash. Without its slash, the root sorts before all other paths.
    let [a, b] = [a, b].map(|path| path.trim_end_matches('/').bytes().map(key));
    a.cmp(b)
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
    fn d4_paths_are_cleaned(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(clean(path), expected);
    }

    #[test]
    fn d6_a_path_below_another_is_found_among_many() {
        let paths = SortedPaths::of(["a/b/", "/a-b", "a", "c//d/../e", "a"]);
        assert!(paths.has_below("/"));
        assert!(paths.has_below("/a"));
        assert!(paths.has_below("/c"));
        for path in ["/a/b", "/a-b", "/b", "/c/d", "/c/e", "/d"] {
            assert!(!paths.has_below(path), "{path}");
        }
        assert!(!SortedPaths::of([]).has_below("/"));
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
