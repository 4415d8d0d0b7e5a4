//! A steady load for measurements: so many requests a second over connections that are kept, for so long.
//!
//! `load URL RATE CONNECTIONS SECONDS [REQUESTS]` prints a line of JSON: how many requests were answered with 200 and
//! the median, the 99th percentile and the longest of the times they took, in microseconds. Any other answer ends it.
//! REQUESTS is a file with a request a line, `PATH`, or `PATH TOKEN`, asked in turn instead of the path of the URL.
//! A request's time begins when it was due, so that a server which stands still is charged for all it delayed.
//! Unlike a load that sends as fast as it is answered, it asks the same work of a fast and of a slow server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};

/// What is asked, and with which token.
struct Question {
    path: String,
    token: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, rate, connections, seconds, requests) = match arguments.as_slice() {
        [url, rate, connections, seconds] => (url, rate, connections, seconds, None),
        [url, rate, connections, seconds, requests] => (url, rate, connections, seconds, Some(requests)),
        _ => bail!("usage: load URL RATE CONNECTIONS SECONDS [REQUESTS]"),
    };
    let url: url::Url = url.parse()?;
    let (rate, connections, seconds): (f64, u32, f64) = (rate.parse()?, connections.parse()?, seconds.parse()?);
    ensure!(rate > 0.0 && connections > 0 && seconds > 0.0, "rate, connections and seconds are above zero");
    let questions: Arc<[Question]> = match requests {
        Some(file) => std::fs::read_to_string(file)?.lines().map(question).collect(),
        None => Arc::new([Question { path: url.path().to_owned(), token: None }]),
    };
    ensure!(!questions.is_empty(), "a request at least");
    let period = Duration::from_secs_f64(f64::from(connections) / rate);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let runs = (0..connections).map(|number| {
        let (url, questions, first) = (url.clone(), questions.clone(), Instant::now() + period * number / connections);
        tokio::spawn(async move {
            let of_this = questions.iter().cycle().skip(number as usize).step_by(connections as usize);
            steady(&url, of_this, first, period, end).await
        })
    });
    let mut took = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        took.extend(run.await??);
    }
    took.sort_unstable();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).map_or(0, Duration::as_micros);
    println!("{}", report(took.len(), at(0.5), at(0.99), at(1.0)));
    Ok(())
}

fn report(answered: usize, median: u128, p99: u128, longest: u128) -> String {
    format!(r#"{{"answered": {answered}, "median": {median}, "p99": {p99}, "longest": {longest}}}"#)
}

fn question(line: &str) -> Question {
    match line.split_once(' ') {
        Some((path, token)) => Question { path: path.to_owned(), token: Some(token.to_owned()) },
        None => Question { path: line.to_owned(), token: None },
    }
}

/// One connection's share of the load. Returns the time of each answer.
async fn steady(
    url: &url::Url,
    mut questions: impl Iterator<Item = &Question>,
    first: Instant,
    period: Duration,
    end: Instant,
) -> Result<Vec<Duration>> {
    let authority = format!("{}:{}", url.host_str().context("a host")?, url.port().context("a port")?);
    let stream = TcpStream::connect(&authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut ticks = tokio::time::interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut took = Vec::new();
    loop {
        let due = ticks.tick().await;
        if due >= end {
            return Ok(took);
        }
        let question = questions.next().context("a request")?;
        let mut request = Request::get(&question.path).header("host", &authority);
        if let Some(token) = &question.token {
            request = request.header("authorization", format!("token {token}"));
        }
        let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        ensure!(answer.status() == 200, "{}: status {}", question.path, answer.status());
        answer.into_body().collect().await?;
        took.push(due.elapsed());
    }
}
