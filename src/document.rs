//! Text to objects: YAML (several documents) and JSON (one or several values), with document numbers and positions.
//!
//! A broken document does not hide the ones beside it: each comes out as a value or as an error of its own.
//! Documents are split where YAML says a document starts (a line that begins with `---`), as kubectl does.

use serde_json::Value;

/// One document of a text: its number, from 1, and what it holds.
#[derive(Debug)]
pub struct Document {
    /// Position among the documents of the text, from 1.
    pub number: usize,
    /// The object, or why it cannot be read.
    pub content: Result<Value, DocumentError>,
}

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not YAML, with the position in the whole text.
    #[error("not valid YAML: {0}")]
    Yaml(String),
    /// Not JSON, with the position in the whole text.
    #[error("not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not a mapping.
    #[error("it is {0}, not an object with apiVersion and kind")]
    NotAnObject(&'static str),
}

/// Splits a text into its documents. Empty documents are left out; a text without any gives none.
#[must_use]
pub fn split(text: &str) -> Vec<Document> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{')
        && let Some(documents) = json_values(text)
    {
        return documents;
    }
    yaml_documents(text)
}

/// Reads concatenated JSON values; `None` where the text is a YAML flow mapping rather than JSON.
fn json_values(text: &str) -> Option<Vec<Document>> {
    let mut documents = Vec::new();
    for (index, value) in serde_json::Deserializer::from_str(text)
        .into_iter()
        .enumerate()
    {
        let content = match value {
            Ok(value) => object(value),
            Err(_) if index == 0 && yaml_documents(text).iter().all(|d| d.content.is_ok()) => {
                return None;
            }
            Err(error) => Err(error.into()),
        };
        documents.push(Document {
            number: index + 1,
            content,
        });
    }
    Some(documents)
}

fn yaml_documents(text: &str) -> Vec<Document> {
    let mut documents = Vec::new();
    for (lines_before, chunk) in yaml_chunks(text) {
        // Blank lines in front keep the line numbers of messages those of the whole text.
        let placed = "\n".repeat(lines_before) + chunk;
        let content =
            match serde_saphyr::from_str_with_options::<Option<Value>>(&placed, yaml_options()) {
                Ok(None | Some(Value::Null)) => continue,
                Ok(Some(value)) => object(value),
                Err(error) => Err(DocumentError::Yaml(error.to_string().trim_end().to_owned())),
            };
        documents.push(Document {
            number: documents.len() + 1,
            content,
        });
    }
    documents
}

/// Returns the chunks of a YAML stream, each with the number of lines before it. Chunks of comments only are left out.
fn yaml_chunks(text: &str) -> Vec<(usize, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker && offset > start {
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

/// The library's limits against hostile YAML stay, but for those that a long List of real pods would hit.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 50_000_000,
            max_nodes: 50_000_000,
            max_total_scalar_bytes: 1 << 30,
        },

    }
}

fn object(value: Value) -> Result<Value, DocumentError> {
    match value {
        Value::Object(_) => Ok(value),
        other => Err(DocumentError::NotAnObject(type_name(&other))),
    }
}

/// Returns what a JSON value is called in an error.
#[must_use]
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
