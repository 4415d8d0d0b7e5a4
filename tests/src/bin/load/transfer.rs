use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http::header::{CONTENT_LENGTH, HOST};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Prints how many bytes went through, in how many seconds.
#[derive(clap::Args)]
pub struct Transfer {
    url: url::Url,
    /// Transfers on each connection.
    count: u64,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Ends after so many seconds, in the middle of what is under way.
    #[arg(long)]
    seconds: Option<f64>,
    /// Uploads so many bytes each time instead of reading an answer.
    #[arg(long)]
    upload: Option<u64>,
    /// Does not say before how much that is.
    #[arg(long)]
    chunked: bool,
}

/// Bytes are sent in pieces of this size.
pub const PIECE: usize = 64 * 1024;

impl Transfer {
    pub async fn run(self) -> Result<()> {
        let (began, bytes) = (Instant::now(), Cell::new(0));
        let all = futures_util::future::try_join_all((0..self.connections).map(|_| self.one(&bytes)));
        match self.seconds.map(Duration::from_secs_f64) {
            Some(seconds) => drop(timeout(seconds, all).await.ok().transpose()?),
            None => drop(all.await?),
        }
        println!(r#"{{"bytes": {}, "seconds": {}}}"#, bytes.get(), began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn one(&self, bytes: &Cell<u64>) -> Result<()> {
        let authority = authority(&self.url)?;
        let stream = TcpStream::connect(&authority).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        for _ in 0..self.count {
            let length = self.upload.unwrap_or(0);
            let request = match self.upload {
                Some(_) if self.chunked => Request::put(self.url.path()),
                Some(length) => Request::put(self.url.path()).header(CONTENT_LENGTH, length),
                None => Request::get(self.url.path()),
            };
            let mut answer = sender.send_request(request.header(HOST, &authority).body(pieces(length))?).await?;
            ensure!(answer.status() == 200, "status {}", answer.status());
            bytes.update(|so_far| so_far + length);
            while let Some(frame) = answer.frame().await {
                let length = frame?.data_ref().map_or(0, Bytes::len) as u64;
                bytes.update(|so_far| so_far + length);
            }
        }
        Ok(())
    }
}

/// A body of so many bytes.
pub fn pieces(length: u64) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
    let whole = Bytes::from_static(&[b'x'; PIECE]);
    StreamBody::new(stream::iter((0..length.div_ceil(PIECE as u64)).map(move |number| {
        let left = length - number * PIECE as u64;
        Ok(Frame::data(whole.slice(..PIECE.min(left as usize))))
    })))
}

pub fn authority(url: &url::Url) -> Result<String> {
    Ok(format!("{}:{}", url.host_str().context("a host")?, url.port().context("a port")?))
}
