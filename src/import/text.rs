//! Decodes a file and detects its format. Only TOML and YAML are accepted.

use super::config_value::{Lines, Origin, Span};
use super::finding::Finding;
use super::messages;

/// The maximum size of a file, in bytes. A Kubernetes object has at most about 1 MiB.
const MAX_FILE_SIZE: usize = 8 << 20;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    Utf8,
    /// UTF-8 with a byte order mark.
    Utf8Bom,
    Utf16,
}

pub(super) fn decode(file: usize, bytes: &[u8]) -> Result<(String, Encoding), Finding> {
    let whole = Span::file(file);
    if bytes.len() > MAX_FILE_SIZE {
        return Err(messages::too_large(MAX_FILE_SIZE >> 20).at(whole));
    }
    let wide = match bytes {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = wide {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        return match String::from_utf16(&units) {
            Ok(text) if odd.is_empty() => Ok((text, Encoding::Utf16)),
            _ => Err(messages::no_utf16().at(whole)),
        };
    }
    let (bytes, encoding) = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => (rest, Encoding::Utf8Bom),
        _ => (bytes, Encoding::Utf8),
    };
    let zero = bytes.iter().position(|byte| *byte == 0);
    let error = match (zero, std::str::from_utf8(bytes)) {
        (None, Ok(text)) => return Ok((text.to_owned(), encoding)),
        (Some(at), _) => (at, messages::binary()),
        (None, Err(error)) => (error.valid_up_to(), messages::no_utf8()),
    };
    let (at, message) = error;
    let good = String::from_utf8_lossy(bytes.get(..at).unwrap_or_default()) + " ";
    let span = Lines::of(&good).span(good.len() - 1..good.len());
    Err(message.at(Origin::file(file).span_in_file(span)))
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Toml,
    Yaml,
}

/// Formats that are refused: the name in messages, suffixes of file names, and prefixes of lines
/// (with `_` for a space).
const REFUSED_FORMATS: [(&str, &str, &str); 3] = [
    (
        "Terraform (HCL)",
        ".tf .hcl .tfvars",
        "resource_\" variable_\" module_\" provider_\" data_\" output_\" locals_{ terraform_{",
    ),
    ("Markdown", ".md .markdown", "```"),
    ("a shell script", ".sh .bash", "#!/"),
];
/// Commands that start a script without `#!`.
const COMMANDS: &str = "helm kubectl gitlab-runner docker cat export set sudo curl apt-get";

/// Detects the format of a text. `name` is the file name.
pub(super) fn format(
    file: usize,
    name: &str,
    text: &str,
    is_stdin: bool,
) -> Result<Format, Finding> {
    let refused = |message: Finding| Err(message.at(Span::file(file)));
    if text.trim().is_empty() {
        let what = match text.is_empty() {
            true => "is empty",
            false => "contains only whitespace",
        };
        return refused(match is_stdin {
            true => messages::empty_stdin(what),
            false => messages::empty_file(what),
        });
    }
    let name = name.to_ascii_lowercase();
    let has_suffix = |suffixes: &str| suffixes.split(' ').any(|suffix| name.ends_with(suffix));
    let lines = || text.lines().map(str::trim);
    // Lines are not trimmed, because indented lines may be a script in a YAML file.
    let has_line = |prefixes: &str| {
        let mut prefixes = prefixes.split(' ').map(|prefix| prefix.replace('_', " "));
        prefixes.any(|prefix| text.lines().any(|line| line.starts_with(&prefix)))
    };
    for (format, suffixes, prefixes) in REFUSED_FORMATS {
        if has_suffix(suffixes) || has_line(prefixes) {
            return refused(match format {
                "Terraform (HCL)" => messages::terraform_code(),
                "Markdown" => messages::markdown(),
                _ => messages::other_file(format),
            });
        }
    }
    if let Some(index) = lines().position(has_directive) {
        let span = Origin::file(file).span_in_file(Span::at(index + 1, 1));
        return Err(messages::terraform_directive().at(span));
    }
    let is_content = |line: &&str| {
        let is_outside = line.is_empty() || line.starts_with(['#', '%']) || line.starts_with("{{");
        !is_outside && !matches!(*line, "---" | "...")
    };
    let Some(first) = lines().find(is_content) else {
        return refused(if text.contains("{{") {
            messages::only_a_template()
        } else {
            messages::only_comments()
        });
    };
    let key = first.split('=').next().unwrap_or_default().trim_end();
    let is_quoted = key.starts_with(['"', '\'']);
    let is_key = |char: char| char.is_ascii_alphanumeric() || "_-.\"'/ ".contains(char);
    let is_assignment = first.contains('=') && key.chars().all(is_key);
    let is_assignment = is_assignment && !key.is_empty() && (is_quoted || !key.contains(' '));
    let inner = first.trim_start_matches('[').trim_start();
    let is_header = first.starts_with('[') && first.contains(']') && !inner.starts_with(['{', '"']);
    let command = first.split_whitespace().next().unwrap_or_default();
    if is_assignment || is_header || has_suffix(".toml") {
        Ok(Format::Toml)
    } else if COMMANDS.split(' ').any(|known| known == command) {
        refused(messages::other_file("a shell script"))
    } else if first.starts_with('<') {
        refused(messages::other_file("HTML or XML"))
    } else if first.starts_with(['{', '[', '-', '&', '!', '"'])
        || first.contains(':')
        || has_suffix(".yaml .yml .json")
    {
        Ok(Format::Yaml)
    } else {
        refused(messages::other_file("neither TOML nor YAML"))
    }
}

/// Returns whether a line contains a directive of a Terraform template, such as `%{ if`. Other
/// text in `%{}`, such as `%{http_code}` of curl, is not a directive.
fn has_directive(line: &str) -> bool {
    line.split("%{").skip(1).any(|rest| {
        let rest = rest.trim_start_matches(['~', ' ']);
        let word = rest.split([' ', '~', '}']).next().unwrap_or_default();
        word.len() < rest.len() && ["if", "for", "else", "endif", "endfor"].contains(&word)
    })
}
