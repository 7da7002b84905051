//! The diff of the report: `patch` applies it, it keeps line ends, and it contains no line with a
//! value that may not be printed.

use crate::imported::{imported, one};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Applies a unified diff by its line numbers, and checks every context line.
pub fn applied(text: &str, diff: &str) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let mut moved: isize = 0;
    let mut at = 0_usize;
    for line in diff.split_inclusive('\n') {
        if line.starts_with("---") || line.starts_with("+++") || line.starts_with('\\') {
            continue;
        }
        if let Some(header) = line.strip_prefix("@@ -") {
            let (old, rest) = header.split_once(' ').unwrap();
            let (start, count) = old.split_once(',').unwrap_or((old, "1"));
            let start: isize = start.parse().unwrap();
            at = usize::try_from(start + moved - isize::from(count != "0")).unwrap();
            assert!(rest.starts_with('+'));
            continue;
        }
        let (sign, content) = line.split_at(1);
        match sign {
            " " => {
                assert_eq!(lines[at], content);
                at += 1;
            }
            "-" => {
                assert_eq!(lines.remove(at), content);
                moved -= 1;
            }
            "+" => {
                lines.insert(at, content.to_owned());
                at += 1;
                moved += 1;
            }
            sign => panic!("{sign}: {diff}"),
        }
    }
    lines.concat()
}

fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(format!(
        "{}/tests/fixtures/config/{path}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

#[test]
fn patch_applies_the_diff_and_keeps_line_ends() {
    for (case, file) in [
        ("01-helm-manager-aliases", "values.yaml"),
        ("02-gitlab-recipe-tls", "values.yaml"),
        ("05-secret-at-certs-client", "values.yaml"),
        ("10-containerd-sock-kubeconfig", "values.yaml"),
        ("13-configmap-tolerations-array", "configmap.yaml"),
        ("20-gitlab-umbrella-template", "values.yaml"),
        ("24-bom-crlf-capitals", "config.toml"),
    ] {
        let bytes = fixture(&format!("{case}/{file}"));
        let it = imported(&[(file, &bytes)]);
        let diff = it.report["diff"].as_str().unwrap();
        assert!(diff.contains("@@"), "{case}: {}", it.text);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let reduced = applied(&text, diff);
        assert!(reduced.len() < text.len(), "{case}");
        assert_eq!(
            reduced.matches("\r\n").count() > 0,
            text.contains("\r\n"),
            "{case}"
        );
        assert_eq!(
            reduced.starts_with('\u{feff}'),
            text.starts_with('\u{feff}'),
            "{case}"
        );
        // The redundant lines were removed, so a second import has no diff.
        let again = imported(&[(file, reduced.as_bytes())]);
        assert!(
            again.is_complete && again.report["diff"] == "",
            "{case}: {}",
            again.text
        );
        // If the program patch is installed, its result is the same.
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), &bytes).unwrap();
        let patch = Command::new("patch")
            .args(["--binary", "-p1"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        if let Ok(mut patch) = patch {
            patch
                .stdin
                .take()
                .unwrap()
                .write_all(diff.as_bytes())
                .unwrap();
            assert!(patch.wait().unwrap().success(), "{case}\n{diff}");
            assert_eq!(
                std::fs::read_to_string(folder.path().join(file)).unwrap(),
                reduced,
                "{case}"
            );
        }
    }
}

#[test]
fn lines_with_another_value_are_not_in_the_diff() {
    for more in [
        "      unknown = \"s3cret-EXAMPLE\"\n",
        "      # token s3cret-EXAMPLE1\n",
        "      # glrt-EXAMPLE\n",
    ] {
        let text = format!(
            "[[runners]]\n  name = \"r\"\n  [runners.kubernetes]\n    [[runners.kubernetes.host_aliases]]\n      ip = \"10.0.0.1\"\n{more}      hostnames = [\"a.example\"]\n"
        );
        let it = one("config.toml", &text);
        assert_eq!(it.report["diff"], "", "{}", it.text);
        it.assert_finding("takenOver", 4, &["by hand"]);
        it.assert_never(&["EXAMPLE"]);
    }
}

#[test]
fn context_has_no_line_with_another_value() {
    let text = "[[runners]]\n  token = \"EXAMPLE-secret\"\n  [runners.kubernetes]\n    [[runners.kubernetes.host_aliases]]\n      ip = \"10.0.0.1\"\n      hostnames = [\"a.example\"]\n    [runners.kubernetes.pod_annotations]\n      a = \"EXAMPLE-secret\"\n";
    let it = one("config.toml", text);
    let diff = it.report["diff"].as_str().unwrap();
    assert!(
        diff.contains("\n   [runners.kubernetes]\n-    [[runners.kubernetes.host_aliases]]\n"),
        "{diff}"
    );
    assert_eq!(applied(text, diff).lines().count(), 5);
    it.assert_never(&["EXAMPLE"]);
}
