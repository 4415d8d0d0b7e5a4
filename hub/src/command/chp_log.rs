//! The form of configurable-http-proxy's log, on standard output: `2026-01-02T03:04:05.678Z [ConfigProxy] info: …`.

use std::fmt::Write as _;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Begins to log, at this level whatever `RUST_LOG` says: configurable-http-proxy knows no such variable.
pub fn init(level: &str) {
    // Of the libraries below nobody who reads this log wants to hear.
    let filter = EnvFilter::new(format!("warn,specola={level},specola_proxy={level}"));
    // A second call, as in tests, keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .with_ansi(false)
        .with_env_filter(filter)
        .event_format(Lines)
        .try_init();
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        let mut line = String::new();
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        write!(line, "{now} [ConfigProxy] {level}: ")?;
        // Paths come from clients: nobody can make a line of their own.
        line.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        writeln!(out, "{line}")
    }
}
