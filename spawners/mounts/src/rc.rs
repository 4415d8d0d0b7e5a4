//! Asks a helper how it is: `vfs/stats` of rclone's remote control, on a port of this machine and with a password.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// A helper that takes longer counts as one that hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// Its answer is at most so long, in bytes.
const LONGEST: usize = 64 * 1024;
/// The name that goes with the password.
pub const USER: &str = "specola";

/// What a helper tells of its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub uploads_in_progress: u64,
    pub uploads_queued: u64,
    #[serde(default)]
    pub out_of_space: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "diskCache")]
    disk_cache: Stats,
}

impl Stats {
    /// Files that are not in the store yet.
    pub fn waiting(&self) -> u64 {
        self.uploads_in_progress + self.uploads_queued
    }
}

/// Asks the helper at this port.
pub async fn stats(port: u16, password: &str) -> Result<Stats> {
    tokio::time::timeout(PATIENCE, ask(port, password)).await.context("the helper gives no answer")?
}

async fn ask(port: u16, password: &str) -> Result<Stats> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let secret = STANDARD.encode(format!("{USER}:{password}"));
    let request = hyper::Request::post("/vfs/stats")
        .header("host", "localhost")
        .header("authorization", format!("Basic {secret}"))
        .body(Full::new(Bytes::new()))?;
    let answer = sender.send_request(request).await;
    let answer = match answer {
        Ok(answer) if answer.status().is_success() => {
            Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| anyhow::anyhow!(error))
        }
        Ok(answer) => {
            connection.abort();
            bail!("the helper answers {}", answer.status())
        }
        Err(error) => Err(error.into()),
    };
    connection.abort();
    let answer: Answer = serde_json::from_slice(&answer?.to_bytes())?;
    Ok(answer.disk_cache)
}
