use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use http::Request;
use http::header::HOST;
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::sockets::{self, Socket};

/// Opens websockets, has the server end them all, and opens them again at once. Prints a line when all are open, and then
/// when each was back, and how many attempts failed.
#[derive(clap::Args)]
pub struct Storm {
    url: url::Url,
    count: usize,
}

/// Before a client tries again.
const AGAIN: Duration = Duration::from_millis(100);
/// For a client to be back.
const PATIENCE: Duration = Duration::from_secs(60);

struct Back {
    took: Duration,
    failed: u64,
    /// Kept until all are back.
    _socket: Socket,
}

impl Storm {
    pub async fn run(self) -> Result<()> {
        let open = sockets::open_all(&self.url, self.count).await?;
        super::print_open(open.len());
        let (began, mut clients) = (Instant::now(), JoinSet::new());
        for socket in open {
            clients.spawn(again(socket, self.url.clone(), began));
        }
        end_all(&self.url).await?;
        let mut all = Vec::new();
        while let Some(back) = clients.join_next().await {
            all.push(back??);
        }
        let mut found = super::times(all.iter().map(|back| back.took).collect());
        found["failed"] = all.iter().map(|back| back.failed).sum::<u64>().into();
        println!("{found}");
        Ok(())
    }
}

/// One client: its websocket ends, and it opens another.
async fn again(mut socket: Socket, url: url::Url, began: Instant) -> Result<Back> {
    while let Some(Ok(_)) = socket.next().await {}
    drop(socket);
    let mut failed = 0;
    loop {
        match sockets::open(&url).await {
            Ok(socket) => return Ok(Back { took: began.elapsed(), failed, _socket: socket }),
            Err(error) if began.elapsed() > PATIENCE => return Err(error.context("a client did not come back")),
            Err(_) => failed += 1,
        }
        sleep(AGAIN).await;
    }
}

/// Has the server end all websockets.
async fn end_all(url: &url::Url) -> Result<()> {
    let (authority, url) = (super::transfer::authority(url)?, url.join("end")?);
    let mut sender = super::steady::connect(&authority).await?;
    let request = Request::get(url.path()).header(HOST, &authority).body(Full::default())?;
    let answer = sender.send_request(request).await.context("to end all websockets")?;
    ensure!(answer.status() == 200, "to end all websockets: status {}", answer.status());
    Ok(())
}
