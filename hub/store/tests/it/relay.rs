//! A way to PostgreSQL that can fall silent: nothing is forwarded any more, and nobody is told. What is connected later may
//! lead to another server, as a name or an address does after a failover.

use std::future::pending;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// PostgreSQL's socket in a folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// Ends with the test.
pub struct Relay {
    directory: TempDir,
    way: watch::Sender<Option<PathBuf>>,
    listener: JoinHandle<()>,
}

impl Relay {
    /// Leads to the cluster whose socket is in a folder.
    pub fn to(cluster: &Path) -> Self {
        let directory = TempDir::new().unwrap();
        let (way, follow) = watch::channel(Some(cluster.to_owned()));
        let socket = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = socket.accept().await {
                tokio::spawn(carry(client, follow.clone()));
            }
        });
        Self { directory, way, listener }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Forwards nothing any more, of old connections and of new ones.
    pub fn silence(&self) {
        self.way.send_replace(None);
    }

    /// Leads new connections to a cluster; those of before stay silent.
    pub fn lead_to(&self, cluster: &Path) {
        self.way.send_replace(Some(cluster.to_owned()));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn carry(mut client: UnixStream, mut way: watch::Receiver<Option<PathBuf>>) {
    let cluster = way.borrow_and_update().clone();
    if let Some(cluster) = cluster {
        let mut server = UnixStream::connect(cluster.join(SOCKET)).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            _ = way.changed() => {}
        }
        // Both stay open, and nobody reads them.
        silent(server).await;
    }
    silent(client).await;
}

async fn silent(_connection: UnixStream) {
    pending().await
}
