//! The link to the hub: follows the route stream, and posts to its control interface.

use std::{
    os::unix::fs::MetadataExt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    acknowledge::{Event, store_and_acknowledge},
    dial,
    options::{HubLink, Limits},
    state::{Applied, Shared},
    target::{Address, Target},
    tls::Trust,
    wire::{self, Line},
};

/// Bytes of an answer.
const ANSWER: usize = 4096;
/// How often a vanished unix socket is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Age at which a link counts as one that works.
const STEADY: Duration = Duration::from_secs(1);
/// Bytes of a line from which reading it is left to a thread that may take its time.
const BIG: usize = 256 * 1024;

/// Speaks to the hub's control interface; one connection a request.
#[derive(Clone)]
pub(crate) struct Control {
    target: Option<Arc<Target>>,
    token: Arc<str>,
    limits: Limits,
    trust: Trust,
}

impl Control {
    pub(crate) fn new(link: &HubLink, token: &str, limits: &Limits, trust: &Trust) -> anyhow::Result<Self> {
        let target = match link {
            HubLink::None => None,
            HubLink::Unix(path) => {
                let address = Address::Unix(path.clone());
                Some(Target {
                    address,
                    tls: false,
                    authority: "localhost".to_owned(),
                    base: String::new(),
                    query: None,
                })
            }
            HubLink::Http(url) => Some(Target::parse(url).context("the hub's address")?),
        };
        Ok(Self { target: target.map(Arc::new), token: token.into(), limits: limits.clone(), trust: trust.clone() })
    }

    /// Posts JSON; without a hub that is no error.
    pub(crate) async fn post(&self, path: &str, message: &impl Serialize) -> anyhow::Result<()> {
        if self.target.is_none() {
            return Ok(());
        }
        let body = serde_json::to_vec(message)?;
        let posting = self.ask(Method::POST, path, body.into());
        let response = tokio::time::timeout(self.limits.link_post, posting).await.context("no answer in time")??;
        ensure!(response.status().is_success(), "the hub answers {} to {path}", response.status());
        Ok(())
    }

    /// Posts JSON and reads the answer; None when the hub does not know the path.
    pub(crate) async fn put_question<T: DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> anyhow::Result<Option<T>> {
        let asking = async {
            let response = self.ask(Method::POST, path, serde_json::to_vec(question)?.into()).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            ensure!(response.status().is_success(), "the hub answers {} to {path}", response.status());
            let body = Limited::new(response.into_body(), ANSWER).collect().await;
            let body = body.map_err(|problem| anyhow!(problem)).context("the answer does not end")?;
            Ok(Some(serde_json::from_slice(&body.to_bytes())?))
        };
        tokio::time::timeout(self.limits.link_post, asking).await.context("no answer in time")?
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let target = self.target.as_deref().context("there is no hub")?;
        let stream = dial::connect(target, &self.limits, &self.trust).await.context("the hub is not reached")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends by itself once the sender and the answer's body are dropped.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &target.authority)
            .header(header::AUTHORIZATION, format!("token {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .header(wire::ACKNOWLEDGES_HEADER, "heartbeats")
            .body(Full::new(body))?;
        Ok(sender.send_request(request).await?)
    }
}

/// Follows the route stream until the stop: applies its lines, and gives them to be stored and answered.
pub(crate) async fn follow(shared: Arc<Shared>, control: Control, events: mpsc::Sender<Event>) {
    let Some(target) = control.target.clone() else { return };
    let mut failures = 0_u32;
    let mut fresh = false;
    while !shared.drain.is_set() {
        let before = identity_of(&target).await;
        let start = Instant::now();
        let mut lines = 0_u64;
        let followed = shared.drain.until(connect_and_read(&shared, &control, &events, fresh, &mut lines)).await;
        shared.counts.linked.store(false, Ordering::Relaxed);
        let Some(ended) = followed else { return };
        // A link that carried lines was good: its loss is the first failure.
        failures = if lines > 0 { 1 } else { failures.saturating_add(1) };
        match ended {
            Ok(Ended::Astray) => {
                tracing::info!("the route stream does not continue what is known, asking for all routes");
                // Once is normal; a hub that strays again is treated as one that fails.
                if !std::mem::replace(&mut fresh, true) {
                    continue;
                }
            }
            Ok(Ended::Closed) => {
                fresh &= lines == 0;
                tracing::info!("the hub ended the route stream");
            }
            Err(problem) if failures <= 2 => tracing::info!(problem = format!("{problem:#}"), "no route stream"),
            Err(problem) => tracing::debug!(problem = format!("{problem:#}"), "no route stream"),
        }
        // A link that lived is tried again at once: the hub may be back already.
        if lines > 0 && start.elapsed() > STEADY {
            continue;
        }
        if shared.drain.until(pause(&target, before, failures)).await.is_none() {
            return;
        }
    }
}

enum Ended {
    /// The peer closed.
    Closed,
    /// The lines do not continue our table.
    Astray,
}

async fn connect_and_read(
    shared: &Arc<Shared>,
    control: &Control,
    events: &mpsc::Sender<Event>,
    fresh: bool,
    lines: &mut u64,
) -> anyhow::Result<Ended> {
    let path = stream_path(shared, fresh);
    let asking = control.ask(Method::GET, &path, Bytes::new());
    let limits = shared.limits.load_full();
    let response = tokio::time::timeout(limits.link_silence, asking).await.context("no answer in time")??;
    match response.status() {
        StatusCode::OK => {}
        // The hub does not know our epoch and says so by status.
        StatusCode::CONFLICT | StatusCode::GONE if !fresh => return Ok(Ended::Astray),
        status => bail!("the hub answers {status} to the route stream"),
    }
    let mut reader = Reader { body: response.into_body(), buffer: BytesMut::new(), searched: 0 };
    let mut behind = false;
    while let Some(text) = reader.line(&limits).await? {
        let (line, applied) = take(shared, text).await?;
        // One heartbeat may overtake its change, two do not.
        if applied == Applied::Astray || (applied == Applied::Behind && behind) {
            return Ok(Ended::Astray);
        }
        behind = applied == Applied::Behind;
        if *lines == 0 {
            tracing::info!(revision = shared.routes.load().revision, "the route stream is up");
        }
        *lines += 1;
        shared.counts.linked.store(true, Ordering::Relaxed);
        let event = match applied {
            Applied::Changed => Event::Changed(line),
            Applied::Behind => continue,
            _ if *lines == 1 => Event::Connected,
            _ => Event::Current,
        };
        events.send(event).await.ok().context("nobody stores routes")?;
    }
    Ok(Ended::Closed)
}

/// Reads and applies one line. A snapshot of many routes would hold up the requests of its thread.
async fn take(shared: &Arc<Shared>, text: BytesMut) -> anyhow::Result<(Line, Applied)> {
    let big = text.len() >= BIG;
    let shared = Arc::clone(shared);
    let work = move || {
        let line: Line = serde_json::from_slice(&text).context("a line of the route stream is not understood")?;
        let applied = shared.apply(&line);
        Ok((line, applied))
    };
    if big { tokio::task::spawn_blocking(work).await? } else { work() }
}

fn stream_path(shared: &Shared, fresh: bool) -> String {
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut path = format!("{}?proxy={}", wire::STREAM_PATH, escape(&shared.identity));
    if let Some(site) = &shared.site {
        path.push_str(&format!("&site={}", escape(site)));
    }
    let routes = shared.routes.load();
    if !fresh && !routes.epoch.is_empty() {
        path.push_str(&format!("&epoch={}&since={}", escape(&routes.epoch), routes.revision));
    }
    path
}

/// Cuts a body into lines.
struct Reader {
    body: Incoming,
    buffer: BytesMut,
    /// Bytes of the buffer known to hold no line end.
    searched: usize,
}

impl Reader {
    /// The next line without its end; None at the end of the stream.
    async fn line(&mut self, limits: &Limits) -> anyhow::Result<Option<BytesMut>> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = unsearched.iter().position(|&byte| byte == b'\n') {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                line.truncate(line.len() - 1);
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            ensure!(self.searched < limits.link_line_bytes, "a line of the route stream is too long");
            let frame = tokio::time::timeout(limits.link_silence, self.body.frame()).await;
            match frame.context("the route stream went silent")? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// Waits before the next attempt: up to 1 s at first, up to 5 s later, and no longer than until the
/// hub's socket is another one than before the last attempt.
async fn pause(target: &Target, before: Option<FileIdentity>, failures: u32) {
    let most = if failures <= 10 { Duration::from_secs(1) } else { Duration::from_secs(5) };
    let until = Instant::now() + most.mul_f64(0.1 + 0.9 * jitter());
    if !matches!(target.address, Address::Unix(_)) {
        return tokio::time::sleep_until(until).await;
    }
    while Instant::now() < until {
        let now = identity_of(target).await;
        if now.is_some() && now != before {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Inode and time of change.
type FileIdentity = (u64, i64, i64);

async fn identity_of(target: &Target) -> Option<FileIdentity> {
    let Address::Unix(path) = &target.address else { return None };
    let found = tokio::fs::metadata(path).await.ok()?;
    Some((found.ino(), found.ctime(), found.ctime_nsec()))
}

/// Between 0 and 1. Proxies that lost one hub must not come back in step; nothing here is secret.
pub(crate) fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(()) >> 44;
    random as f64 / f64::from(1_u32 << 20)
}

/// Starts the tasks that hold the link. They end with the stop.
pub(crate) fn start(shared: &Arc<Shared>, control: Control, store: Option<crate::snapshot::Store>) {
    let (events, received) = mpsc::channel(1024);
    shared.tasks.spawn(store_and_acknowledge(Arc::clone(shared), control.clone(), store, received));
    shared.tasks.spawn(follow(Arc::clone(shared), control, events));
}
