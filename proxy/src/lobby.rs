//! The small servers beside the public one: API, metrics, redirect, admin socket.
//!
//! Whoever reaches one of them holds a connection before a token or even a request is seen. So nobody waits for a place
//! there: when all are taken, the connection that has asked for nothing for longest is closed.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::{activity::lock, chp::Door, listener, options::Limits, proxy_protocol, state::Shared, stop::Stop};

/// For the head of a request, also the longest idle wait between requests.
const HEAD: Duration = Duration::from_secs(5);

/// The connections of one server, at most so many.
pub(crate) struct Lobby {
    size: usize,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    next: u64,
    /// By when they came or last asked for something.
    visits: BTreeMap<u64, Arc<Stop>>,
}

impl Inside {
    fn put(&mut self, stop: Arc<Stop>) -> u64 {
        self.next += 1;
        self.visits.insert(self.next, stop);
        self.next
    }
}

impl Lobby {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, inside: Mutex::default() })
    }

    /// Takes a place, if need be from whoever has been silent for longest.
    pub(crate) fn enter(self: &Arc<Self>) -> Visit {
        let stop = Arc::new(Stop::default());
        let mut inside = lock(&self.inside);
        if inside.visits.len() >= self.size
            && let Some((_, silent)) = inside.visits.pop_first()
        {
            silent.cancel();
        }
        let number = AtomicU64::new(inside.put(Arc::clone(&stop)));
        Visit { lobby: Arc::clone(self), number, stop }
    }
}

/// One connection; its place is free again when this is dropped.
pub(crate) struct Visit {
    lobby: Arc<Lobby>,
    number: AtomicU64,
    stop: Arc<Stop>,
}

impl Visit {
    /// The whole head of a request has come.
    pub(crate) fn asks(&self) {
        let mut inside = lock(&self.lobby.inside);
        if let Some(stop) = inside.visits.remove(&self.number.load(Ordering::Relaxed)) {
            self.number.store(inside.put(stop), Ordering::Relaxed);
        }
    }

    /// The output of the future, or None when the place is taken away first. Must be awaited by one task.
    pub(crate) async fn until<F: Future>(&self, future: F) -> Option<F::Output> {
        self.stop.until(future).await
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        lock(&self.lobby.inside).visits.remove(&self.number.load(Ordering::Relaxed));
    }
}

/// How their connections are served.
pub(crate) fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_time(limits));
    builder
}

fn head_time(limits: &Limits) -> Duration {
    limits.header_read.min(HEAD)
}

/// Answers one request on each connection, until the drain.
pub(crate) async fn serve<A>(shared: Arc<Shared>, door: Door, size: usize, answer: A)
where
    A: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + 'static,
{
    let lobby = Lobby::new(size);
    let accepting = async {
        loop {
            let Some((mut stream, peer)) = door.next().await else { continue };
            let (visit, answer) = (Arc::new(lobby.enter()), answer.clone());
            let asking = Arc::clone(&visit);
            let service = service_fn(move |request| {
                asking.asks();
                let answer = answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = builder(&shared.limits());
            builder.keep_alive(false);
            let context = Arc::clone(&shared);
            let connection = async move {
                if listener::has_front(&context, &stream, peer) {
                    // Nothing here depends on it, and who says nothing of the kind is heard as well.
                    let receiving = proxy_protocol::receive(&mut stream);
                    let _ = tokio::time::timeout(context.limits().proxy_header, receiving).await;
                }
                builder.serve_connection(TokioIo::new(stream), service).await
            };
            let drain = Arc::clone(&shared.drain);
            shared.tasks.spawn(async move {
                // Whoever asks sees a broken connection by itself.
                let _ = drain.until(visit.until(connection)).await;
            });
        }
    };
    shared.while_open(accepting).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_five_seconds_or_less() {
        let limits = |seconds| Limits { header_read: Duration::from_secs(seconds), ..Limits::default() };
        assert_eq!(head_time(&Limits::default()), HEAD);
        assert_eq!((head_time(&limits(60)), head_time(&limits(2))), (HEAD, Duration::from_secs(2)));
    }

    #[tokio::test]
    async fn who_has_been_silent_for_longest_leaves_first() {
        let lobby = Lobby::new(2);
        let (first, second) = (lobby.enter(), lobby.enter());
        first.asks();
        let third = lobby.enter();
        let open = async |visit: &Visit| visit.until(async {}).await.is_some();
        assert_eq!((open(&first).await, open(&second).await, open(&third).await), (true, false, true));
        // Who was shown out does not come back by asking.
        second.asks();
        assert_eq!(lock(&lobby.inside).visits.len(), 2);
        drop((first, second));
        let fourth = lobby.enter();
        assert_eq!((open(&third).await, open(&fourth).await), (true, true));
        drop((third, fourth));
        assert!(lock(&lobby.inside).visits.is_empty());
    }
}
