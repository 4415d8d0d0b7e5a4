//! Little upstreams on raw sockets, so that they can misbehave and nothing they get is hidden.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::TcpListener, task::JoinHandle};

use crate::client::{Raw, until, values};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
    pub trailers: Vec<String>,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap()
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        values(&self.head, name)
    }
}

pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Each connection goes to the handler, with its number from 0 on.
    pub async fn raw<F: Future<Output = ()> + Send + 'static>(
        handler: impl Fn(usize, Raw, Arc<Mutex<Vec<Seen>>>) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::raw_at("127.0.0.1:0".parse().unwrap(), handler).await
    }

    pub async fn raw_at<F: Future<Output = ()> + Send + 'static>(
        address: SocketAddr,
        handler: impl Fn(usize, Raw, Arc<Mutex<Vec<Seen>>>) -> F + Send + Sync + 'static,
    ) -> Self {
        // An upstream that was dropped may take a moment to let go of its address.
        let mut listener = None;
        until("a free address", async || {
            listener = TcpListener::bind(address).await.ok();
            listener.is_some()
        })
        .await;
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (log, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            // Dropped with this task, so that aborting it ends the connections like a killed process.
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                open.spawn(handler(number, Raw { stream, buffer: Vec::new() }, Arc::clone(&log)));
            }
        });
        Self { address, seen, connections, task }
    }

    /// Answers every request with the same bytes.
    pub async fn fixed(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::raw(move |number, mut peer, seen| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some(request) = read(&mut peer, number).await {
                    seen.lock().unwrap().push(request);
                    peer.send(&answer).await;
                }
            }
        })
        .await
    }

    /// Answers with a name, to tell upstreams apart.
    pub async fn named(name: &str) -> Self {
        Self::fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request arrived")
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The next request; None when the peer has closed before one.
pub async fn read(peer: &mut Raw, connection: usize) -> Option<Seen> {
    while peer.buffer.is_empty() {
        // Idle connections may wait as long as they like.
        let mut piece = [0; 1024];
        let count = tokio::io::AsyncReadExt::read(&mut peer.stream, &mut piece).await.unwrap_or(0);
        if count == 0 {
            return None;
        }
        peer.buffer.extend_from_slice(&piece[..count]);
    }
    let head = peer.head().await;
    let mut trailers = Vec::new();
    let body = if !values(&head, "transfer-encoding").is_empty() {
        let (body, after) = peer.chunked().await;
        trailers = after;
        body
    } else {
        match values(&head, "content-length").first() {
            Some(length) => peer.exact(length.parse().unwrap()).await,
            None => Vec::new(),
        }
    };
    Some(Seen { connection, head, body, trailers })
}
