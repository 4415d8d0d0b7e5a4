//! When the watch of pods was answered last: one that has nothing to tell is begun anew every minute, and that is all that can
//! be seen of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower_service::Service;

/// When something was heard. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Heard(Arc<Mutex<Instant>>);

impl Default for Heard {
    fn default() -> Self {
        // Before that nobody has listened.
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Heard {
    pub fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago that was.
    pub fn ago(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// A client that notes when a watch of pods is answered.
pub(crate) struct Ear {
    pub client: Client,
    pub heard: Heard,
}

impl Service<Request<Body>> for Ear {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = kube::Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<kube::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let uri = request.uri();
        let watches = uri.path().ends_with("/pods") && uri.query().is_some_and(|query| query.contains("watch=true"));
        let heard = watches.then(|| self.heard.clone());
        let client = self.client.clone();
        Box::pin(async move {
            let answer = client.send(request).await?;
            heard.iter().filter(|_| answer.status().is_success()).for_each(Heard::now);
            Ok(answer)
        })
    }
}
