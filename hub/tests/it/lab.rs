//! A lab that is nothing but a listener: it answers, keeps silent, or talks nonsense, as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the lab does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Answers,
    /// It takes the question and says nothing until it behaves otherwise.
    Silent,
    /// It says something that is not HTTP.
    Garbage,
    /// It says that it cannot.
    Error,
    /// As a proxy that leads to the server itself.
    LeadsToServer,
    /// As one that leads to a hub.
    LeadsToHub,
}

pub struct Lab {
    pub url: String,
    manner: watch::Sender<Manner>,
    asked: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Lab {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/user/anna/", listener.local_addr().unwrap());
        let (manner, follow) = watch::channel(Manner::Answers);
        let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, count_answers) = (asked.clone(), answered.clone());
        let task = tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(peer, follow.clone(), count_answers.clone()));
            }
        });
        Self { url, manner, asked, answered, task }
    }

    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How often it said something.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// The target of a route to it.
    pub fn origin(&self) -> String {
        self.url.trim_end_matches("/user/anna/").to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut peer: TcpStream, mut manner: watch::Receiver<Manner>, answered: Arc<AtomicUsize>) {
    let mut request = [0; 2048];
    let _ = peer.read(&mut request).await;
    let speaks = manner.wait_for(|manner| *manner != Manner::Silent);
    let manner = tokio::select! {
        Ok(manner) = speaks => *manner,
        // The asker gave up, or the test is over.
        _ = peer.read(&mut request) => return,
    };
    let answer: &[u8] = match manner {
        Manner::Answers => b"HTTP/1.1 200 OK\r\nX-JupyterHub-Version: 6.1.1\r\nContent-Length: 2\r\n\r\n{}",
        Manner::Error => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        Manner::LeadsToServer => b"HTTP/1.1 200 OK\r\nX-Specola-Led-To: user\r\nContent-Length: 2\r\n\r\n{}",
        Manner::LeadsToHub => b"HTTP/1.1 200 OK\r\nX-Specola-Led-To: hub\r\nContent-Length: 2\r\n\r\n{}",
        Manner::Garbage => b"SSH-2.0-OpenSSH_9.2\r\n",
        Manner::Silent => return,
    };
    let _ = peer.write_all(answer).await;
    answered.fetch_add(1, Ordering::SeqCst);
}
