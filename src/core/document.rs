//! Parses YAML with several documents, or JSON with several values, into numbered objects.
//!
//! Each document is an object or an error, so an invalid document does not hide the others. As in
//! kubectl, a line that begins with `---` starts a document.

use serde_json::Value;

/// A YAML document or JSON value in a text.
#[derive(Debug)]
pub struct Document {
    /// The position in the text, counted from 1 without empty documents.
    pub number: usize,
    /// The object, or the error in the document.
    pub content: Result<Value, DocumentError>,
}

/// An error in a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The document is not valid YAML. The message contains the position in the whole text.
    #[error("not valid YAML: {0}")]
    Yaml(String),
    /// The document is not valid JSON. The message contains the position in the whole text.
    #[error("not valid JSON: {0}")]
    Json(String),
    /// The document is not an object. Contains the name of its type.
    #[error("must be an object with apiVersion and kind, not {0}")]
    NotAnObject(&'static str),
}

/// Splits a text into documents and parses them. Omits empty documents.
pub fn split(text: &str) -> Vec<Document> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let chunks = yaml_chunks(text);
    // In JSON, no line begins with ---, because a string cannot contain a line break.
    if text.trim_start().starts_with('{') && chunks.len() < 2 {
        json_values(text).unwrap_or_else(|| yaml_documents(&chunks))
    } else {
        yaml_documents(&chunks)
    }
}

/// Parses concatenated JSON values. Returns `None` if the text is YAML that begins with a flow
/// mapping. After an invalid value, continues at the next line that begins with `{`.
fn json_values(text: &str) -> Option<Vec<Document>> {
    let mut documents = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..) {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let Some(value) = values.next() else { break };
        let end = match &value {
            Ok(_) => values.byte_offset(),
            Err(_) if documents.is_empty() && is_yaml(text) => return None,
            Err(_) => {
                let value = rest.len() - rest.trim_start().len();
                rest.get(value..)
                    .and_then(|broken| broken.find("\n{"))
                    .map_or(rest.len(), |next| value + next + 1)
            }
        };
        documents.push(Document {
            number: documents.len() + 1,
            content: value
                .map_err(|error| json_error(&error, text.get(..start).unwrap_or_default()))
                .and_then(object),
        });
        start += end;
    }
    Some(documents)
}

fn is_yaml(text: &str) -> bool {
    let documents = yaml_documents(&yaml_chunks(text));
    documents.iter().all(|document| document.content.is_ok())
}

fn yaml_documents(chunks: &[(usize, &str)]) -> Vec<Document> {
    let mut documents = Vec::new();
    for (lines_before, chunk) in chunks {
        let content =
            match serde_saphyr::from_str_with_options::<Option<Value>>(chunk, yaml_options()) {
                Ok(None | Some(Value::Null)) => continue,
                Ok(Some(value)) => object(value),
                Err(error) => Err(yaml_error(&error, *lines_before)),
            };
        documents.push(Document {
            number: documents.len() + 1,
            content,
        });
    }
    documents
}

/// Splits a YAML stream into chunks, each with the number of lines before it. Omits chunks that
/// contain only comments.
fn yaml_chunks(text: &str) -> Vec<(usize, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let rest = line.strip_prefix("---");
        let is_start = rest.is_some_and(|it| it.is_empty() || it.starts_with(char::is_whitespace));
        if is_start && offset > start {
            chunks.push((start_line, text.get(start..offset).unwrap_or_default()));
            (start, start_line) = (offset, number);
        }
        offset += line.len();
    }
    chunks.push((start_line, text.get(start..).unwrap_or_default()));
    chunks.retain(|(_, chunk)| {
        chunk.lines().any(|line| {
            !matches!(line.trim(), "" | "---" | "...") && !line.trim_start().starts_with('#')
        })
    });
    chunks
}

/// Returns parser options with higher limits than the defaults, which a long List of pods exceeds.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 50_000_000,
            max_nodes: 50_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
    }
}

/// Converts an error of the YAML parser to one line with the position in the whole text.
fn yaml_error(error: &serde_saphyr::Error, lines_before: usize) -> DocumentError {
    DocumentError::Yaml(error.render_with_options(serde_saphyr::render_options! {
        formatter: &serde_saphyr::UserMessageFormatter,
        snippets: serde_saphyr::SnippetMode::Off,
        line_offset: lines_before as u64,
    }))
}

/// Converts an error of the JSON parser to a message with the position in the whole text. `before`
/// is the text before the value.
fn json_error(error: &serde_json::Error, before: &str) -> DocumentError {
    let message = error.to_string();
    let (line, column) = (error.line(), error.column());
    let what = message
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&message);
    let lines_before = before.matches('\n').count();
    let columns_before = match line {
        1 => before.len() - before.rfind('\n').map_or(0, |newline| newline + 1),
        _ => 0,
    };
    DocumentError::Json(format!(
        "{what} at line {}, column {}",
        line + lines_before,
        column + columns_before
    ))
}

fn object(value: Value) -> Result<Value, DocumentError> {
    match value {
        Value::Object(_) => Ok(value),
        other => Err(DocumentError::NotAnObject(type_name(&other))),
    }
}

/// Returns the name of the JSON type of a value, for error messages.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
