//! A steady load for measurements: so many requests a second over connections that are kept, for so long.
//!
//! `load URL RATE CONNECTIONS SECONDS` prints how many requests were answered with 200; any other answer ends it.
//! Unlike a load that sends as fast as it is answered, it asks the same work of a fast and of a slow server.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, rate, connections, seconds] = arguments.as_slice() else {
        bail!("usage: load URL RATE CONNECTIONS SECONDS");
    };
    let url: url::Url = url.parse()?;
    let (rate, connections, seconds): (f64, u32, f64) = (rate.parse()?, connections.parse()?, seconds.parse()?);
    ensure!(rate > 0.0 && connections > 0 && seconds > 0.0, "rate, connections and seconds are above zero");
    let period = Duration::from_secs_f64(f64::from(connections) / rate);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let runs = (0..connections).map(|number| {
        let (url, first) = (url.clone(), Instant::now() + period * number / connections);
        tokio::spawn(steady(url, first, period, end))
    });
    let mut answered = 0;
    for run in runs.collect::<Vec<_>>() {
        answered += run.await??;
    }
    println!("{answered}");
    Ok(())
}

/// One connection's share of the load. Returns the number of answers.
async fn steady(url: url::Url, first: Instant, period: Duration, end: Instant) -> Result<u64> {
    let authority = format!("{}:{}", url.host_str().context("a host")?, url.port().context("a port")?);
    let stream = TcpStream::connect(&authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut ticks = tokio::time::interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut answered = 0;
    while ticks.tick().await < end {
        let request = Request::get(url.path()).header("host", &authority).body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status() == 200, "status {}", answer.status());
        answer.into_body().collect().await?;
        answered += 1;
    }
    Ok(answered)
}
