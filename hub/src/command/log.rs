//! The form of the log for machines: one JSON object a line, with names that stay.
//!
//! Each line has `time` (UTC, RFC 3339), `level`, `part` and `message`; the rest are the fields of what it tells. What is
//! chosen by others is cut here once more, so that no line is longer than a collector takes.

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Longer texts are cut, in characters.
const LONGEST: usize = 4096;
/// Names that every line has; a field of the same name gets a stroke behind it.
const OWN: [&str; 3] = ["time", "level", "part"];

/// Writes events as JSON.
pub struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        writeln!(writer, "{}", line(now, event))
    }
}

fn line(now: String, event: &Event<'_>) -> Value {
    let mut fields = Fields(Map::new());
    fields.0.insert("time".into(), now.into());
    fields.0.insert("level".into(), event.metadata().level().as_str().to_lowercase().into());
    fields.0.insert("part".into(), event.metadata().target().into());
    // Some of the libraries tell in fields alone.
    fields.0.insert("message".into(), "".into());
    event.record(&mut fields);
    Value::Object(fields.0)
}

struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let name = if OWN.contains(&name) { format!("{name}_") } else { name.to_owned() };
        self.0.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text: String =
            value.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).take(LONGEST).collect();
        self.add(field, text.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_an_object_whatever_is_in_it() {
        let written = Written::default();
        let (of_lines, hostile) = (written.clone(), "a\u{1b}[2J\"\n\u{0}".repeat(5000));
        let subscriber = tracing_subscriber::fmt().event_format(Lines).with_writer(move || of_lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "specola::test", user = hostile, level = "mine", count = 3, ratio = 0.5, "{hostile}");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [line] = &lines[..] else { panic!("{} lines", lines.len()) };
        assert_eq!(
            (&line["level"], &line["level_"], &line["part"]),
            (&"info".into(), &"mine".into(), &"specola::test".into())
        );
        assert_eq!((&line["count"], &line["ratio"]), (&3.into(), &0.5.into()));
        for name in ["user", "message"] {
            let text = line[name].as_str().unwrap();
            assert!(text.chars().count() == LONGEST && !text.contains('\u{1b}'), "{name}");
        }
    }
}
