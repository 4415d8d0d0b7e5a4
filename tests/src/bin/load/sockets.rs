use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt, stream};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Opens so many websockets, a few at a time.
#[derive(clap::Args)]
pub struct Hold {
    url: url::Url,
    count: usize,
}

/// Prints how many messages came back and in which time.
#[derive(clap::Args)]
pub struct Echo {
    url: url::Url,
    /// Messages a second, over all websockets.
    rate: f64,
    sockets: u32,
    seconds: f64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    size: usize,
}

type Socket = WebSocketStream<TcpStream>;

/// Small buffers, so that the load itself can hold thousands.
pub fn small() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0)
}

async fn open(url: &url::Url) -> Result<Socket> {
    let stream = TcpStream::connect(super::transfer::authority(url)?).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url.as_str(), stream, Some(small())).await?;
    back(&mut socket, Message::text("first")).await?;
    Ok(socket)
}

/// Sends a message and waits for it.
async fn back(socket: &mut Socket, message: Message) -> Result<()> {
    socket.send(message.clone()).await?;
    let answer = socket.next().await.context("the websocket ended")??;
    ensure!(answer == message, "another message came back: {answer:?}");
    Ok(())
}

impl Hold {
    pub async fn run(self) -> Result<()> {
        let opened = stream::iter(0..self.count).map(|_| open(&self.url)).buffer_unordered(32);
        let sockets: Vec<_> = opened.collect().await;
        let sockets = sockets.into_iter().collect::<Result<Vec<_>>>()?;
        println!(r#"{{"open": {}}}"#, sockets.len());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(())
    }
}

impl Echo {
    pub async fn run(self) -> Result<()> {
        ensure!(self.rate > 0.0 && self.sockets > 0 && self.seconds > 0.0, "all figures are above zero");
        let period = Duration::from_secs_f64(f64::from(self.sockets) / self.rate);
        let mut sockets = Vec::new();
        for _ in 0..self.sockets {
            sockets.push(open(&self.url).await?);
        }
        let end = Instant::now() + Duration::from_secs_f64(self.seconds);
        let message = Message::binary(vec![b'x'; self.size]);
        let runs: Vec<_> = (0..self.sockets)
            .zip(sockets)
            .map(|(number, socket)| {
                let first = Instant::now() + period * number / self.sockets;
                tokio::spawn(echo(socket, message.clone(), first, period, end))
            })
            .collect();
        let mut took = Vec::new();
        for run in runs {
            took.extend(run.await??);
        }
        super::print_times(took);
        Ok(())
    }
}

async fn echo(
    mut socket: Socket,
    message: Message,
    first: Instant,
    period: Duration,
    end: Instant,
) -> Result<Vec<Duration>> {
    let mut ticks = tokio::time::interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut took = Vec::new();
    loop {
        let due = ticks.tick().await;
        if due >= end {
            return Ok(took);
        }
        back(&mut socket, message.clone()).await?;
        took.push(due.elapsed());
    }
}
