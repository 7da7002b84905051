//! Decodes a file and recognizes its format: TOML, YAML, or one that is refused.

use super::finding::Finding;
use super::messages;
use super::node::{Lines, Origin, Span};

/// The maximum size of a file. A Kubernetes object has at most about one MiB.
const LARGEST: usize = 8 << 20;

/// The encoding of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    Utf8,
    /// UTF-8 with a byte order mark.
    Utf8Bom,
    Utf16,
}

/// Decodes a file.
pub(super) fn decode(file: usize, bytes: &[u8]) -> Result<(String, Encoding), Finding> {
    let whole = Span::file(file);
    if bytes.len() > LARGEST {
        return Err(messages::too_large(LARGEST >> 20).at(whole));
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
    Err(message.at(Origin::file(file).place(span)))
}

/// The format of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Toml,
    Yaml,
}

/// Formats that are refused: the ends of file names, and the beginnings of lines.
const OTHERS: [(&str, &str, &str); 3] = [
    (
        "Terraform (HCL)",
        ".tf .hcl .tfvars",
        "resource_\" variable_\" module_\" provider_\" data_\" output_\" locals_{ terraform_{",
    ),
    ("Markdown", ".md .markdown", "```"),
    ("a shell script", ".sh .bash", "#!/"),
];
/// Commands at the beginning of a script.
const COMMANDS: &str = "helm kubectl gitlab-runner docker cat export set sudo curl apt-get";

/// Recognizes the format of a text; `name` is the file name.
pub(super) fn format(
    file: usize,
    name: &str,
    text: &str,
    is_stdin: bool,
) -> Result<Format, Finding> {
    let refused = |message: Finding| Err(message.at(Span::file(file)));
    if text.trim().is_empty() {
        return refused(match (text.is_empty(), is_stdin) {
            (true, true) => messages::nothing_on_stdin(),
            (false, true) => messages::only_blanks_on_stdin(),
            (true, false) => messages::empty(),
            (false, false) => messages::only_blanks(),
        });
    }
    let name = name.to_ascii_lowercase();
    let has_end = |ends: &str| ends.split(' ').any(|end| name.ends_with(end));
    let lines = || text.lines().map(str::trim);
    // Lines of a script within YAML are indented and do not count.
    let begins = |words: &str| {
        let mut words = words.split(' ').map(|word| word.replace('_', " "));
        words.any(|word| text.lines().any(|line| line.starts_with(&word)))
    };
    for (word, ends, beginnings) in OTHERS {
        if has_end(ends) || begins(beginnings) {
            return refused(match word {
                "Terraform (HCL)" => messages::terraform_code(),
                "Markdown" => messages::markdown(),
                _ => messages::other_file(word),
            });
        }
    }
    if let Some(index) = lines().position(is_directive) {
        let span = Origin::file(file).place(Span::at(index + 1, 1));
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
    if is_assignment || is_header || has_end(".toml") {
        Ok(Format::Toml)
    } else if COMMANDS.split(' ').any(|known| known == command) {
        refused(messages::other_file("a shell script"))
    } else if first.starts_with('<') {
        refused(messages::other_file("HTML or XML"))
    } else if first.starts_with(['{', '[', '-', '&', '!', '"'])
        || first.contains(':')
        || has_end(".yaml .yml .json")
    {
        Ok(Format::Yaml)
    } else {
        refused(messages::other_file("neither TOML nor YAML"))
    }
}

/// Whether a line has a directive of a Terraform template. `%{http_code}` is the format of a
/// command.
fn is_directive(line: &str) -> bool {
    line.split("%{").skip(1).any(|rest| {
        let rest = rest.trim_start_matches(['~', ' ']);
        let word = rest.split([' ', '~', '}']).next().unwrap_or_default();
        word.len() < rest.len() && ["if", "for", "else", "endif", "endfor"].contains(&word)
    })
}
