//! An address that answers with what a test says, and remembers what it was asked.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub struct Server {
    pub url: String,
    asked: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Answers every request with these bytes, and closes; with none it never answers.
    pub async fn answering(reply: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (tell, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut peer, _)) = listener.accept().await {
                let mut request = String::new();
                while !request.ends_with('}') {
                    let mut bytes = [0; 4096];
                    let count = peer.read(&mut bytes).await.unwrap_or(0);
                    if count == 0 {
                        break;
                    }
                    request += &String::from_utf8_lossy(&bytes[..count]);
                    if !request.starts_with("POST") {
                        break;
                    }
                }
                tell.send(request).ok();
                match &reply {
                    Some(reply) => drop(peer.write_all(reply).await),
                    None => silent.push(peer),
                }
            }
        });
        Self { url, asked }
    }

    pub async fn asked(&mut self) -> String {
        self.asked.recv().await.unwrap()
    }
}
