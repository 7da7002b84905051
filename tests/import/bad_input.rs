//! Files that cannot be read: the error has a position and a next step, and no policy is written.

use crate::imported::{imported, one};
use rstest::rstest;

#[rstest]
#[case::duplicate_key("config.toml", "[[runners]]\nname = \"a\"\nname = \"b\"\n", 3, &["name", "line 2"])]
#[case::duplicate_table("config.toml", "[[runners]]\n[runners.kubernetes]\nimage = \"a\"\n[runners.kubernetes]\n", 4, &["kubernetes", "line 2"])]
#[case::duplicate_yaml("values.yaml", "runners:\n  name: a\n  config: ''\n  name: b\n", 4, &["name", "line 2"])]
#[case::tab_in_yaml("values.yaml", "gitlabUrl: https://a\nrunners:\n\tname: a\n", 3, &["tab"])]
#[case::no_end("config.toml", "[[runners]]\nname = \"a\n", 2, &["TOML"])]
#[case::terraform("config.toml", "[[runners]]\n[[runners.kubernetes.host_aliases]]\nip = ${ip}\n", 3, &["Terraform template", "helm"])]
#[case::directive("config.toml", "[[runners]]\n%{ for name in names ~}\nname = \"${name}\"\n%{ endfor ~}\n", 2, &["Terraform template"])]
#[case::hcl("main.tf", "resource \"helm_release\" \"runner\" {\n}\n", 0, &["Terraform (HCL)", "helm -n"])]
#[case::hcl_by_content("-", "# mine\nvariable \"token\" {}\n", 0, &["Terraform (HCL)"])]
#[case::shell("setup", "#!/bin/sh\ngitlab-runner register\n", 0, &["shell script", "kubectl"])]
#[case::commands("-", "helm upgrade --install a b\n", 0, &["shell script"])]
#[case::markdown("README.md", "# Runner\n```toml\n[[runners]]\n```\n", 0, &["Markdown"])]
#[case::pipeline(".gitlab-ci.yml", "stages: [build]\njob:\n  script: [make]\n", 0, &["pipeline"])]
#[case::secret("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {config.toml: '[[runners]]'}\n", 0, &["Secret", "never read"])]
#[case::no_runner("config.toml", "concurrent = 4\n", 0, &["no runner"])]
#[case::two_in_a_template("values.yaml", "runners:\n  config: |\n    [[runners]]\n    [[runners]]\n", 4, &["exactly one"])]
#[case::config_is_a_table("values.yaml", "runners:\n  config:\n    a: b\n", 3, &["not a string"])]
#[case::unclosed_template("values.yaml", "runners:\n  config: |\n    [[runners]]\n      image = {{ .Values.image\n", 4, &["{{ has no }}"])]
#[case::unreadable_template("values.yaml", "runners:\n  config: |\n    [[runners]]\n      image = {{ .a }} {{ .b }}\n", 4, &["helm -n NAMESPACE get manifest"])]
fn a_file_that_cannot_be_read_is_refused_with_the_position_of_the_error(
    #[case] name: &str,
    #[case] text: &str,
    #[case] line: u64,
    #[case] words: &[&str],
) {
    one(name, text).assert_refused(line, words);
}

#[rstest]
#[case::latin1(b"[[runners]]\nname = \"M\xfcnchen\"\n", 2, &["UTF-8", "iconv"])]
#[case::binary(b"\x1f\x8b\x08\x00abc", 1, &["binary"])]
#[case::broken_utf16(b"\xff\xfea", 0, &["UTF-16"])]
fn bytes_that_are_not_text_are_refused(
    #[case] bytes: &[u8],
    #[case] line: u64,
    #[case] words: &[&str],
) {
    imported(&[("config.toml", bytes)]).assert_refused(line, words);
}

#[test]
fn a_file_of_ten_megabytes_is_refused_at_once() {
    let text = "# comment\n".repeat(1 << 20);
    one("config.toml", &text).assert_refused(0, &["8 MiB", "kubectl"]);
}

#[test]
fn utf16_with_a_byte_order_mark_is_read() {
    let text = "\u{feff}[[runners]]\nname = \"a\"\n[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.1\"\nhostnames = [\"a.example\"]\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [little, big] {
        let it = imported(&[("config.toml", &bytes)]);
        it.assert_policies(&[(
            "imported",
            "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
        )]);
        it.assert_finding("takenOver", 3, &["by hand"]);
        assert!(it.text.contains("UTF-16"), "{}", it.text);
    }
}

/// If one file is bad, the errors of all files are reported, and no policy is written.
#[test]
fn one_bad_file_suppresses_all_policies() {
    let good = b"[[runners]]\nname = \"a\"\n[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.1\"\nhostnames = [\"a.example\"]\n";
    let it = imported(&[
        ("good.toml", good),
        ("empty.toml", b""),
        ("bad.toml", b"[[runners]]\nname = 1\n"),
    ]);
    it.assert_refused(0, &["is empty"]);
    it.assert_refused(2, &["name is an integer"]);
}

/// Nine levels of `a: &a [*b, *b…]` expand to a gigabyte.
#[test]
fn aliases_that_expand_too_much_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    one("values.yaml", &text).assert_refused(6, &["aliases"]);
}

#[test]
fn values_nested_too_deep_are_refused() {
    one("values.yaml", &format!("a: {}", "[".repeat(5000))).assert_refused(1, &["recursion limit"]);
    let toml = format!("[[runners]]\na = {}", "[".repeat(5000));
    assert!(!one("config.toml", &toml).is_complete);
}
