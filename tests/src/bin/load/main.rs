//! Loads for measurements, and a small server to send them to. Each prints one line of JSON.
//!
//! The steady ones ask so much a second, of a fast server and of a slow one alike; a request's time begins when it was
//! due, so that a server which stands still is charged for all it delayed.

mod backend;
mod sockets;
mod steady;
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
    /// Opens websockets and keeps them until standard input ends; a line is printed when all are open.
    Hold(sockets::Hold),
    /// So many messages a second over websockets, each sent back by the server.
    Echo(sockets::Echo),
    /// The server: small and large answers, uploads, websockets that send back what they get.
    Backend(backend::Backend),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Load::parse() {
        Load::Steady(steady) => steady.run().await,
        Load::Transfer(transfer) => transfer.run().await,
        Load::Hold(hold) => hold.run().await,
        Load::Echo(echo) => echo.run().await,
        Load::Backend(backend) => backend.run().await,
    }
}

/// How long things took: the line that is printed, in microseconds.
fn print_times(mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).map_or(0, Duration::as_micros);
    println!(r#"{{"answered": {}, "median": {}, "p99": {}, "longest": {}}}"#, took.len(), at(0.5), at(0.99), at(1.0));
}
