use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::ticks::Ticks;

/// Opens so many websockets, a few at a time.
#[derive(clap::Args)]
pub struct Hold {
    url: url::Url,
    count: u32,
    /// Seconds between two pings of a websocket.
    #[arg(long, default_value_t = 30.0)]
    ping: f64,
}

/// Prints a line when all are open, and then how many messages came back and in which time.
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
    /// Sends each as soon as the one before is back, whatever the rate.
    #[arg(long)]
    closed: bool,
}

pub type Socket = WebSocketStream<TcpStream>;

/// Small buffers, so that the load itself can hold thousands.
pub fn small() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0)
}

pub async fn open(url: &url::Url) -> Result<Socket> {
    let stream = TcpStream::connect(super::transfer::authority(url)?).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url.as_str(), stream, Some(small())).await?;
    back(&mut socket, Message::text("first")).await?;
    Ok(socket)
}

pub async fn open_all(url: &url::Url, count: usize) -> Result<Vec<Socket>> {
    let opened: Vec<_> = stream::iter(0..count).map(|_| open(url)).buffer_unordered(32).collect().await;
    opened.into_iter().collect()
}

/// Sends a message and waits for it.
pub async fn back(socket: &mut Socket, message: Message) -> Result<()> {
    socket.send(message.clone()).await?;
    let answer = socket.next().await.context("the websocket ended")??;
    ensure!(answer == message, "another message came back: {answer:?}");
    Ok(())
}

impl Hold {
    pub async fn run(self) -> Result<()> {
        let sockets = open_all(&self.url, self.count as usize).await?;
        super::print_open(sockets.len());
        if line().await? {
            let (now, period) = (tokio::time::Instant::now(), Duration::from_secs_f64(self.ping));
            let mut alive = JoinSet::new();
            for (number, socket) in (0..self.count).zip(sockets) {
                alive.spawn(ping(socket, now + period * number / self.count, period));
            }
            tokio::select! {
                Some(ended) = alive.join_next() => ended??,
                end = line() => drop(end?),
            }
        } else {
            drop(sockets);
        }
        Ok(())
    }
}

/// Waits for a line of standard input, and says whether one came before its end.
async fn line() -> Result<bool> {
    Ok(tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await?? > 0)
}

/// Sends pings for ever. Errors: no answer to one.
async fn ping(mut socket: Socket, first: tokio::time::Instant, period: Duration) -> Result<()> {
    let mut ticks = tokio::time::interval_at(first, period);
    loop {
        ticks.tick().await;
        socket.send(Message::Ping(Bytes::new())).await?;
        let answer = socket.next().await.context("the websocket ended")??;
        ensure!(answer.is_pong(), "no answer to a ping: {answer:?}");
    }
}

impl Echo {
    pub async fn run(self) -> Result<()> {
        ensure!(self.rate > 0.0 && self.sockets > 0 && self.seconds > 0.0, "all figures are above zero");
        let period = Duration::from_secs_f64(f64::from(self.sockets) / self.rate);
        let sockets = open_all(&self.url, self.sockets as usize).await?;
        super::print_open(sockets.len());
        let began = Instant::now();
        let end = began + Duration::from_secs_f64(self.seconds);
        let message = Message::binary(vec![b'x'; self.size]);
        let mut runs = Vec::new();
        for (number, socket) in (0..self.sockets).zip(sockets) {
            let ticks =
                (!self.closed).then(|| Ticks::new(began + period * number / self.sockets, period)).transpose()?;
            runs.push(tokio::spawn(echo(socket, message.clone(), ticks, end)));
        }
        super::print_all(runs).await
    }
}

async fn echo(mut socket: Socket, message: Message, mut ticks: Option<Ticks>, end: Instant) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    loop {
        let due = match &mut ticks {
            Some(ticks) => ticks.tick().await?,
            None => Instant::now(),
        };
        if due >= end {
            return Ok(took);
        }
        back(&mut socket, message.clone()).await?;
        took.push(due.elapsed());
    }
}
