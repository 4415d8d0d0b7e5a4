use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, interval, sleep_until, timeout_at};

/// Follows streams of an event a second each. Prints a line when all have begun, and then how late events came.
#[derive(clap::Args)]
pub struct Events {
    url: url::Url,
    streams: u32,
    seconds: f64,
}

const EVERY: Duration = Duration::from_secs(1);

/// An event that came.
struct Heard {
    /// Of its stream.
    first: bool,
    delay: Duration,
}

impl Events {
    pub async fn run(self) -> Result<()> {
        ensure!(self.streams > 0 && self.seconds > 0.0, "all figures are above zero");
        let (heard, mut events) = unbounded_channel();
        let began = Instant::now();
        for number in 0..self.streams {
            // So that as many events are due in each moment.
            let at = began + EVERY * number / self.streams;
            let (url, heard) = (self.url.clone(), heard.clone());
            tokio::spawn(async move {
                sleep_until(at).await;
                if let Err(error) = follow(&url, &heard).await {
                    heard.send(Err(error)).ok();
                }
            });
        }
        let mut open = 0;
        while open < self.streams {
            open += u32::from(events.recv().await.context("an event")??.first);
        }
        super::print_open(open);
        let end = Instant::now() + Duration::from_secs_f64(self.seconds);
        let mut delays = Vec::new();
        while let Ok(event) = timeout_at(end, events.recv()).await {
            delays.push(event.context("an event")??.delay);
        }
        println!("{}", super::times(delays));
        Ok(())
    }
}

/// Tells each event as it comes. Errors: the stream ended.
async fn follow(url: &url::Url, heard: &UnboundedSender<Result<Heard>>) -> Result<()> {
    let authority = super::transfer::authority(url)?;
    let mut sender = super::steady::connect(&authority).await?;
    let request = Request::get(url.path()).header(HOST, &authority).body(Full::default())?;
    let answer = sender.send_request(request).await?;
    ensure!(answer.status() == 200, "status {}", answer.status());
    let (mut body, mut came, mut first) = (answer.into_body(), Vec::new(), true);
    loop {
        came.extend(piece(&mut body).await?);
        while let Some(end) = came.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8(came.drain(..=end).collect())?;
            if let Some(sent) = line.strip_prefix("data: ") {
                let delay = now().saturating_sub(Duration::from_micros(sent.trim().parse()?));
                heard.send(Ok(Heard { first, delay }))?;
                first = false;
            }
        }
    }
}

async fn piece(body: &mut Incoming) -> Result<Bytes> {
    match body.frame().await {
        Some(frame) => Ok(frame?.into_data().unwrap_or_default()),
        None => bail!("a stream ended"),
    }
}

/// What the server sends: when it was sent, in microseconds, now and then every second.
pub fn body() -> impl Body<Data = Bytes, Error = std::convert::Infallible> {
    StreamBody::new(stream::unfold(interval(EVERY), async |mut ticks| {
        ticks.tick().await;
        Some((Ok(Frame::data(Bytes::from(format!("data: {}\n\n", now().as_micros())))), ticks))
    }))
}

/// By the clock that load and server share.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
