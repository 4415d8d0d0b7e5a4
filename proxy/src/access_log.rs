//! The access log: one JSON object a line, for each answer that has ended. Off unless it is asked for.
//!
//! Queries are not written: they carry tokens. A disk that is too slow loses lines, which are counted, and holds up nobody.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::USER_AGENT};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
    sync::mpsc,
    task::JoinHandle,
};

use crate::{
    activity::lock,
    body::{Download, DownloadError},
    metrics::count,
    route::Class,
    state::Shared,
};

/// Lines that wait for the disk.
const WAITING: usize = 8192;
/// Bytes of a path or of the name of a client that are written: what waits has to have a bound.
const LONGEST: usize = 2048;
/// Lines written at once.
const AT_ONCE: usize = 256;
/// How often it is looked whether the file was moved away, as programs do that keep logs short.
const LOOK: Duration = Duration::from_secs(1);
/// Until the last lines are written.
const LAST: Duration = Duration::from_secs(2);

/// Where lines go.
pub(crate) struct AccessLog {
    lines: mpsc::Sender<Option<String>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl AccessLog {
    /// Opens the file. Must be called in a runtime. Errors: it cannot be written.
    pub(crate) fn open(path: PathBuf) -> std::io::Result<Self> {
        let file = options().open(&path)?;
        let (lines, received) = mpsc::channel(WAITING);
        let writer = tokio::spawn(write(path, File::from_std(file), received));
        Ok(Self { lines, writer: Mutex::new(Some(writer)) })
    }

    /// Writes what waits, and no more.
    pub(crate) async fn finish(&self) {
        let Some(writer) = lock(&self.writer).take() else { return };
        let ending = async {
            // It fails when the writer has ended already.
            let _ = self.lines.send(None).await;
            writer.await
        };
        if tokio::time::timeout(LAST, ending).await.is_err() {
            tracing::warn!("the last lines of the access log are lost");
        }
    }
}

fn options() -> std::fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(0o640);
    options
}

async fn write(path: PathBuf, mut file: File, mut received: mpsc::Receiver<Option<String>>) {
    let mut looked = Instant::now();
    let mut lines = Vec::new();
    while received.recv_many(&mut lines, AT_ONCE).await > 0 {
        let last = lines.iter().any(Option::is_none);
        let text: String = lines.drain(..).flatten().collect();
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if was_moved(&path, &file).await {
                match OpenOptions::from(options()).open(&path).await {
                    Ok(opened) => file = opened,
                    Err(problem) => tracing::warn!(%problem, "the access log cannot be opened anew"),
                }
            }
        }
        let written = async {
            file.write_all(text.as_bytes()).await?;
            file.flush().await
        };
        if let Err(problem) = written.await {
            tracing::warn!(%problem, "the access log cannot be written");
        }
        if last {
            return;
        }
    }
}

async fn was_moved(path: &Path, file: &File) -> bool {
    match (tokio::fs::metadata(path).await, file.metadata().await) {
        (Ok(there), Ok(ours)) => (there.dev(), there.ino()) != (ours.dev(), ours.ino()),
        (Err(_), _) => true,
        (_, Err(_)) => false,
    }
}

/// A line in the making.
pub(crate) struct Entry {
    shared: Arc<Shared>,
    begin: Instant,
    time: DateTime<Utc>,
    address: HeaderValue,
    method: Method,
    path: String,
    agent: Option<String>,
    status: StatusCode,
    route: Option<String>,
    class: Class,
    bytes: u64,
    whole: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    address: &'a str,
    method: &'a str,
    path: &'a str,
    status: u16,
    /// Of the body, as far as it was taken.
    bytes: u64,
    seconds: f64,
    /// The prefix of the route; none matched when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    /// Only when the answer was cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

impl Entry {
    /// Takes from a request what the line will say.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        address: &HeaderValue,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            begin: Instant::now(),
            time: Utc::now(),
            address: address.clone(),
            method: method.clone(),
            path: cut(path, LONGEST).to_owned(),
            agent: headers
                .get(USER_AGENT)
                .and_then(|agent| agent.to_str().ok())
                .map(|agent| cut(agent, LONGEST).to_owned()),
            status: StatusCode::OK,
            route: None,
            class: Class::Other,
            bytes: 0,
            whole: false,
        }
    }

    /// The answer has begun: the line is written with its end.
    pub(crate) fn around(
        mut self,
        status: StatusCode,
        route: Option<String>,
        class: Class,
        body: Download,
    ) -> Download {
        (self.status, self.route, self.class) = (status, route, class);
        self.whole = body.is_end_stream();
        Download::Logged(Box::new(Logged { body, entry: self }))
    }

    fn line(&self) -> serde_json::Result<String> {
        let line = Line {
            time: self.time.to_rfc3339_opts(SecondsFormat::Millis, true),
            address: self.address.to_str().unwrap_or_default(),
            method: self.method.as_str(),
            path: &self.path,
            status: self.status.as_u16(),
            bytes: self.bytes,
            seconds: self.begin.elapsed().as_secs_f64(),
            route: self.route.as_deref(),
            class: self.class.name(),
            agent: self.agent.as_deref(),
            cut: !self.whole,
        };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        Ok(text)
    }
}

/// The beginning of a text.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(log) = &self.shared.access_log else { return };
        let Ok(line) = self.line() else { return };
        if log.lines.try_send(Some(line)).is_err() {
            count(&self.shared.meter.log_lost);
        }
    }
}

/// A body whose end is written down.
pub(crate) struct Logged {
    pub(crate) body: Download,
    entry: Entry,
}

impl Body for Logged {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.entry.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                this.entry.whole = this.body.is_end_stream();
            }
            Poll::Ready(None) => this.entry.whole = true,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
