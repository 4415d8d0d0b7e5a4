//! Loads for measurements, and a small server to send them to. Each prints a line of JSON, and those that open much
//! before they begin one before that.
//!
//! The steady ones ask so much a second, of a fast server and of a slow one alike; a request's time begins when it was
//! due, so that a server which stands still is charged for all it delayed.

mod backend;
mod events;
mod lab;
mod relay;
mod sockets;
mod steady;
mod storm;
mod ticks;
mod transfer;

use std::time::Duration;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
enum Load {
    /// So many requests a second.
    Steady(steady::Steady),
    /// One transfer after the other on each connection, as fast as they go.
    Transfer(transfer::Transfer),
    /// Opens websockets and keeps them until standard input ends; a line is printed when all are open, and a line that is
    /// read starts pings.
    Hold(sockets::Hold),
    /// So many messages a second over websockets, each sent back by the server.
    Echo(sockets::Echo),
    /// Streams of events, and how late they come.
    Events(events::Events),
    /// Websockets that the server ends all at once, and that come back.
    Storm(storm::Storm),
    /// What people at JupyterLab do.
    Lab(lab::Lab),
    /// A proxy that reads nothing of what it passes on.
    Relay(relay::Relay),
    /// The server: small and large answers, uploads, streams of events, websockets that send back what they get.
    Backend(backend::Backend),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Load::parse() {
        Load::Steady(steady) => steady.run().await,
        Load::Transfer(transfer) => transfer.run().await,
        Load::Hold(hold) => hold.run().await,
        Load::Echo(echo) => echo.run().await,
        Load::Events(events) => events.run().await,
        Load::Storm(storm) => storm.run().await,
        Load::Lab(lab) => lab.run().await,
        Load::Relay(relay) => relay.run(),
        Load::Backend(backend) => backend.run().await,
    }
}

/// How long things took, in microseconds.
fn times(mut took: Vec<Duration>) -> serde_json::Value {
    took.sort_unstable();
    let at = |share: f64| {
        let found = took.get((took.len() as f64 * share) as usize).or(took.last());
        found.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    };
    serde_json::json!({"answered": took.len(), "median": at(0.5), "p99": at(0.99), "p999": at(0.999), "longest": at(1.0)})
}

/// Prints how long things took in all of these, once they have ended.
async fn print_all(runs: Vec<tokio::task::JoinHandle<Result<Vec<Duration>>>>) -> Result<()> {
    let mut took = Vec::new();
    for run in runs {
        took.extend(run.await??);
    }
    println!("{}", times(took));
    Ok(())
}

/// What is measured begins now: so many connections are there.
fn print_open(count: impl std::fmt::Display) {
    println!(r#"{{"open": {count}}}"#);
}
