//! Starts and stops of servers for other programs: JupyterHub's event `server-action`, in the envelope of jupyter-events,
//! one JSON object a line. Not the progress that people watch, nor the audit.
//!
//! A thread of its own writes, so that a slow disk delays no server. Before each line it looks whether its file is still
//! the one of that name: whoever rotates it just moves it away.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result};
use hub_core::clock::{self, Time};
use hub_store::Server;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::config::EventsConfig;

const SCHEMA: &str = "https://schema.jupyter.org/jupyterhub/events/server-action";
/// So many lines wait for a disk; more are lost, and told in the log.
const WAITING: usize = 10_000;
/// At the end of the hub, lines have so long to be written.
const LAST: Duration = Duration::from_secs(2);

static SINK: OnceLock<SyncSender<Message>> = OnceLock::new();

enum Message {
    Line(String),
    /// Answered once everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// Begins to write, if a file is configured. A file that cannot be written is an error now rather than silence later.
pub fn begin(config: &EventsConfig) -> Result<()> {
    let Some(path) = config.file.clone() else { return Ok(()) };
    let sink = Sink::open(path)?;
    let (sender, lines) = sync_channel(WAITING);
    std::thread::Builder::new().name("events".into()).spawn(move || write(sink, &lines)).context("events")?;
    // A second hub in one process, as tests have, keeps the first's.
    let _ = SINK.set(sender);
    Ok(())
}

/// Waits until what was told is written.
pub async fn end() {
    let Some(sink) = SINK.get() else { return };
    let (done, written) = oneshot::channel();
    if sink.try_send(Message::Flush(done)).is_ok() {
        let _ = tokio::time::timeout(LAST, written).await;
    }
}

/// Tells that a server was started or stopped.
pub fn server_action(action: &'static str, server: &Server, at: Time) {
    let Some(sink) = SINK.get() else { return };
    let line = event(action, &server.user_name, &server.name, at).to_string();
    match sink.try_send(Message::Line(line)) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => {
            tracing::error!(user = server.user_name, action, "an event is lost: the disk is slow")
        }
        Err(TrySendError::Disconnected(_)) => tracing::error!(user = server.user_name, action, "an event is lost"),
    }
}

/// The event as jupyter-events writes it.
fn event(action: &str, user: &str, server: &str, at: Time) -> Value {
    json!({
        "__timestamp__": clock::isoformat(at),
        "__schema__": SCHEMA,
        "__schema_version__": "1",
        "__metadata_version__": 1,
        "action": action,
        "username": user,
        "servername": server,
    })
}

fn write(mut sink: Sink, lines: &Receiver<Message>) {
    while let Ok(message) = lines.recv() {
        match message {
            Message::Line(line) => {
                if let Err(error) = sink.write(&line) {
                    tracing::error!("an event is lost: {error}: {line}");
                }
            }
            // Nobody may be waiting any more.
            Message::Flush(done) => drop(done.send(())),
        }
    }
}

enum Sink {
    Standard,
    File(PathBuf, File),
}

impl Sink {
    fn open(path: PathBuf) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Standard);
        }
        let file = open(&path).with_context(|| format!("events.file: cannot write {}", path.display()))?;
        Ok(Self::File(path, file))
    }

    fn write(&mut self, line: &str) -> std::io::Result<()> {
        // One write: lines of two programs in one file do not mix.
        let line = format!("{line}\n");
        match self {
            Self::Standard => std::io::stdout().lock().write_all(line.as_bytes()),
            Self::File(path, file) => {
                if !is_the_same(path, file) {
                    *file = open(path)?;
                }
                file.write_all(line.as_bytes())
            }
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Whether the open file is still the one of that name.
fn is_the_same(path: &Path, file: &File) -> bool {
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("events.jsonl"), folder.path().join("events.jsonl.1"));
        let mut sink = Sink::open(path.clone()).unwrap();
        sink.write("one").unwrap();
        std::fs::rename(&path, &old).unwrap();
        sink.write("two").unwrap();
        assert_eq!(
            (std::fs::read_to_string(&old).unwrap(), std::fs::read_to_string(&path).unwrap()),
            ("one\n".into(), "two\n".into())
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_at_start() {
        let error = Sink::open("/nonexistent/events".into()).err().unwrap();
        assert!(format!("{error:#}").contains("events.file"), "{error:#}");
    }
}
