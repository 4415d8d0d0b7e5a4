//! A watch: what one has missed, then what changes, until it is cut, or its time is over.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::mpsc;

use crate::question::Question;
use crate::serve::{Answer, Server, json_of};
use crate::store::{Change, Followed, line};

/// So many lines wait for one who reads.
const LINES: usize = 1024;

impl Server {
    pub(crate) fn watch(self: &Arc<Self>, question: Question) -> Answer {
        let followed = self.store.follow(question.number("resourceVersion").unwrap_or(0));
        let (sender, receiver) = mpsc::channel::<Bytes>(LINES);
        let mut cut = self.cut.subscribe();
        let server = Arc::clone(self);
        self.spawn(async move {
            let seconds = question.number("timeoutSeconds").unwrap_or(u64::from(u32::MAX));
            tokio::select! {
                () = server.follow(&question, followed, &sender) => {}
                _ = cut.changed() => {}
                () = sender.closed() => {}
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {
                    // As a real one does before it ends a watch: what came after this was told.
                    if question.bookmarks() && !*server.silent.borrow() {
                        let _ = sender.send(server.bookmark()).await;
                    }
                }
            }
        });
        let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|bytes| (Ok::<_, Infallible>(Frame::data(bytes)), receiver))
        });
        json_of(Response::new(BodyExt::boxed(StreamBody::new(frames))))
    }

    fn bookmark(&self) -> Bytes {
        let metadata = json!({ "resourceVersion": self.store.version().to_string() });
        line("BOOKMARK", &json!({ "kind": "Object", "apiVersion": "v1", "metadata": metadata }))
    }

    async fn follow(&self, question: &Question, followed: Option<Followed>, sender: &mpsc::Sender<Bytes>) {
        let Some(Followed { missed, mut next }) = followed else {
            let expired = json!({
                "kind": "Status", "code": 410, "reason": "Expired", "status": "Failure", "message": "too old",
            });
            let _ = sender.send(line("ERROR", &expired)).await;
            return;
        };
        for change in missed {
            if self.tell(question, &change, sender).await.is_err() {
                return;
            }
        }
        while let Ok(change) = next.recv().await {
            if self.tell(question, &change, sender).await.is_err() {
                return;
            }
        }
    }

    /// The error is that nobody listens any more.
    async fn tell(&self, question: &Question, change: &Change, sender: &mpsc::Sender<Bytes>) -> Result<(), ()> {
        if !question.takes(change.kind(), change.object()) {
            return Ok(());
        }
        self.silent.subscribe().wait_for(|silent| !silent).await.map_err(drop)?;
        sender.send(change.line()).await.map_err(drop)
    }
}
