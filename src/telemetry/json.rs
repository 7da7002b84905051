//! A log line as a JSON object: when, how grave, and the event's fields beside them.
//!
//! tracing-subscriber's own JSON puts each field into a map of values first, and with one line a review that is a sixth of a server's
//! work. The keys and their order are the same.

use std::fmt;
use std::io;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as JSON objects, one a line.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", event.metadata().level())?;
        let mut fields = Fields {
            writer,
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        fields.writer.write_str("}\n")
    }
}

/// The fields of an event, written as they come.
struct Fields<'w> {
    writer: Writer<'w>,
    /// The first thing that went wrong; nothing is written after it.
    result: fmt::Result,
}

impl Fields<'_> {
    /// Writes a field whose value is JSON already.
    fn field(&mut self, field: &Field, value: impl fmt::Display) {
        // Names of fields are names in Rust: nothing in them has to be escaped.
        self.result = self
            .result
            .and_then(|()| write!(self.writer, ",\"{}\":{value}", field.name()));
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, Quoted(&format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, Quoted(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, value);
    }
}

/// A text as a JSON string.
struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde_json::to_writer(Pieces(f), self.0).map_err(|_| fmt::Error)
    }
}

/// Takes the pieces of a JSON text, each of which is text.
struct Pieces<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl io::Write for Pieces<'_, '_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(piece).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::JsonLines;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    /// Where lines go.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic before").write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_what_the_library_writes_whatever_is_in_the_fields() {
        let say = || {
            tracing::info!(
                text = "a \"quoted\"\\ line\nü\u{1}",
                empty = "",
                number = u64::MAX,
                negative = -1,
                yes = true,
                shown = %"displayed \"too\"",
                debugged = ?Some("x"),
                "said {}",
                "so"
            );
            tracing::warn!("without fields");
        };
        let written = |log: &Log| {
            let bytes = log.0.lock().expect("no panic before").clone();
            // The times differ.
            let text = String::from_utf8(bytes).expect("text");
            let timeless = |line: &str| {
                let (time, rest) = line.split_once(",\"level\"").expect("a level");
                assert!(time.starts_with("{\"timestamp\":\"2") && time.ends_with("Z\""));
                rest.to_owned()
            };
            text.lines().map(timeless).collect::<Vec<_>>()
        };
        let (ours, theirs) = (Log::default(), Log::default());
        let (to_ours, to_theirs) = (ours.clone(), theirs.clone());
        let subscriber = tracing_subscriber::fmt().with_target(false);
        let of_ours = subscriber
            .event_format(JsonLines)
            .with_writer(move || to_ours.clone())
            .finish();
        tracing::subscriber::with_default(of_ours, say);
        let of_theirs = tracing_subscriber::fmt()
            .with_target(false)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(move || to_theirs.clone())
            .finish();
        tracing::subscriber::with_default(of_theirs, say);
        assert_eq!(written(&ours), written(&theirs));
        assert_eq!(written(&ours).len(), 2);
    }
}
