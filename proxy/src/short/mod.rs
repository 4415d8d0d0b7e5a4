//! The short way: plain requests with plain answers, whose heads are read and written in place. Nearly all requests are of
//! this kind, and hyper's way with them costs more than twice as much.
//!
//! Whatever is not plain is hyper's: a connection goes to it, for good, with the first request that is not, and with all
//! that was read of it. An answer that is not plain goes to hyper with its request, which hyper then has sent, as far as it
//! knows. So there is one place where anything doubtful is judged; see record 16.

mod alarm;
mod answer;
mod begun;
mod conduit;
mod deliver;
mod head;
mod request;
mod spare;
mod upload;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{io::AsyncWrite, time::Instant};

pub(crate) use self::begun::{Begun, Opened, Rest, Way};
use self::{
    alarm::Alarm,
    answer::Answer,
    conduit::Conduit,
    deliver::{offer, taken},
    request::Asked,
};
use crate::{
    budget::{self, Turn},
    error_page::Fault,
    metrics::count,
    pool::Line,
    reach::{self, Patience},
    relay::{Client, NO_ANSWER, STOPPED},
    route::Route,
    scratch,
    stream::Stream,
};

/// Bytes of an answer that are read first: all of most, and not much of a long one, whose rest goes through a pipe.
const FIRST: usize = 16 * 1024;

/// How long an answer may let itself be waited for here, and how often a long one is looked after.
const WHILE: Duration = Duration::from_secs(1);

/// Serves the plain requests of a connection. None when it has ended, else what is hyper's to serve.
pub(crate) async fn serve(client: &Client, stream: &mut Stream) -> Option<Rest> {
    let shared = &client.shared;
    let rewrites = shared.chp.as_ref().is_some_and(|chp| chp.rewrite.changes());
    if rewrites || shared.access_log.is_some() || !client.origin.told {
        return Some(Rest::default());
    }
    let first = shared.limits().header_read;
    let between = shared.limits().keep_alive.map_or(first, |time| time.min(first));
    let alarm = Alarm::new(first);
    let way = Connection { client, stream, alarm, read: Vec::new(), whole: 0, sent: 0, out: Vec::new() };
    let mut served = pin!(way.serve(first, between));
    match shared.drain.until(served.as_mut()).await {
        Some(rest) => rest,
        // It sees the drain itself, where it waits for nothing but the next request.
        None => served.await,
    }
}

/// Bytes that a body moves before others have their turn.
const TURN: usize = 2 * 1024 * 1024;

/// Pending, to be asked again once the others were.
fn again<T>(context: &mut Context<'_>) -> Poll<T> {
    context.waker().wake_by_ref();
    Poll::Pending
}

/// What benchmarks call; see [`request::plain`].
#[cfg(feature = "fuzzing")]
pub(crate) fn write(client: &Client, read: &[u8], to: &mut Vec<u8>) -> bool {
    request::plain(client, read, to).is_some()
}

/// What came of a request.
enum Next {
    /// It was answered, and the connection goes on.
    Again,
    /// The connection is over.
    Over,
    /// It is hyper's.
    Other(Option<Begun>),
}

/// What was heard of a server.
enum Heard {
    /// An answer; what the client has not taken yet of what has come stands ready for it.
    Answer(Answer),
    /// Something else, or nothing for a while.
    Other(Bytes),
    /// Its connection is gone.
    Nothing,
    /// It was before anything was sent.
    Unsent,
    /// The client's is.
    Abandoned,
    /// Nothing more comes of the body.
    Stopped,
}

struct Connection<'a> {
    client: &'a Client,
    stream: &'a mut Stream,
    alarm: Alarm,
    /// Of the client, from the head of its request on.
    read: Vec<u8>,
    /// Bytes of that request that are kept: what is known to be sent of its body is not.
    whole: usize,
    /// Bytes of its body that are sent, or on their way.
    sent: u64,
    /// On its way to one of the two.
    out: Vec<u8>,
}

impl Connection<'_> {
    async fn serve(mut self, first: Duration, between: Duration) -> Option<Rest> {
        let mut patience = first;
        loop {
            if self.read.is_empty() && !self.is_asked(patience).await {
                return None;
            }
            match self.exchange().await {
                Next::Again => patience = between,
                Next::Over => return None,
                Next::Other(begun) => return Some(Rest { read: self.read.into(), begun: begun.map(Box::new) }),
            }
        }
    }

    /// Waits for a request, and reads it. False when none comes.
    async fn is_asked(&mut self, patience: Duration) -> bool {
        let (drain, deadline) = (&self.client.shared.drain, Instant::now() + patience);
        // Nothing is held while nobody asks.
        spare::put(std::mem::take(&mut self.read), std::mem::take(&mut self.out));
        poll_fn(|context| {
            if drain.is_set() {
                return Poll::Ready(false);
            }
            let asked = scratch::poll_read(context, self.stream, scratch::SIZE, |_, bytes| {
                (self.read, self.out) = spare::take();
                self.read.extend_from_slice(bytes);
                !bytes.is_empty()
            });
            match asked {
                Poll::Ready(asked) => Poll::Ready(asked.unwrap_or_default()),
                Poll::Pending => self.alarm.poll(context, deadline).map(|()| false),
            }
        })
        .await
    }

    /// Passes on the request that was read.
    async fn exchange(&mut self) -> Next {
        let begin = Instant::now();
        let Some(mut asked) = self.plain() else { return Next::Other(None) };
        (self.whole, self.sent) = (asked.length + asked.first(&self.read).len(), 0);
        let shared = &self.client.shared;
        shared.counts.requests.fetch_add(1, Ordering::Relaxed);
        asked.finding.into_iter().for_each(|took| shared.meter.find.add(took));
        let turn = match self.admit(&asked) {
            Ok(turn) => turn,
            Err(fault) => {
                let (route, way) = (asked.route, Way::Failed(fault));
                return Next::Other(Some(Begun { begin, route, turn: None, way }));
            }
        };
        let (mut line, reused) = match asked.route.take_line() {
            Some(line) => (line, true),
            None => match Box::pin(self.connect(&mut asked.route)).await {
                None => return Next::Over,
                Some(Ok(stream)) => (Line::new(stream), false),
                Some(Err(fault)) => return self.leave(asked, begin, turn, Way::Failed(fault)),
            },
        };
        let mut failed = self.send(&mut line, &asked.route, begin).await;
        if failed.is_none() && asked.body > 0 {
            failed = self.upload(&mut line, &asked).await;
        }
        let mut line = Some(line);
        let heard = match failed {
            None => self.hear(&mut line, &asked, begin).await,
            Some(failed) => failed,
        };
        // Of a server that may have closed the connection meanwhile, or comes back: as of those that hyper sends.
        let may_repeat = reused || asked.route.is_hub();
        let mut answer = match heard {
            Heard::Answer(answer) => answer,
            Heard::Other(read) => {
                let sent = line.map(|line| Way::Sent { line, reused, bare: asked.body == 0, read });
                return self.leave(asked, begin, turn, sent.unwrap_or(Way::Failed(NO_ANSWER)));
            }
            Heard::Abandoned => return Next::Over,
            Heard::Stopped => return self.leave(asked, begin, turn, Way::Failed(STOPPED)),
            failed if may_repeat && (asked.is_repeatable || matches!(failed, Heard::Unsent)) => {
                count(&shared.meter.retries);
                return self.leave(asked, begin, turn, Way::Open);
            }
            _ => return self.leave(asked, begin, turn, Way::Failed(NO_ANSWER)),
        };
        if self.deliver(&mut line, &asked.route, &mut answer, begin).await.is_err() {
            return Next::Over;
        }
        if answer.closes {
            // Who has gone needs no farewell.
            let _ = poll_fn(|context| Pin::new(&mut *self.stream).poll_shutdown(context)).await;
            return Next::Over;
        }
        self.read.drain(..self.whole);
        Next::Again
    }

    /// The request, if it is plain.
    fn plain(&mut self) -> Option<Asked> {
        let shared = &self.client.shared;
        let limits = shared.limits();
        // Bounds on the time of an answer, and the farewell when another proxy has taken over, are hyper's.
        if limits.answer.is_some() || limits.download_idle.is_some() || shared.leaving.is_set() {
            return None;
        }
        // Whom a front speaks for stands in what hyper reads.
        if limits.address_rate > 0 && self.client.origin.trusted {
            return None;
        }
        self.out.clear();
        let asked = request::plain(self.client, &self.read, &mut self.out)?;
        self.out.extend_from_slice(asked.first(&self.read));
        (asked.length <= limits.header_bytes).then_some(asked)
    }

    /// Whether it may pass.
    fn admit(&self, asked: &Asked) -> Result<Option<Turn>, Fault> {
        if !asked.is_health {
            budget::may_ask(self.client, || None)?;
        }
        budget::turn(&self.client.shared, &asked.route)
    }

    /// A connection to the server. None when the client has left before.
    async fn connect(&mut self, route: &mut Arc<Route>) -> Option<Result<Stream, Fault>> {
        let (client, mut patience) = (self.client, Patience::default());
        let mut connecting = pin!(reach::connect(&client.shared, route, &mut patience));
        poll_fn(|context| match connecting.as_mut().poll(context) {
            Poll::Ready(connected) => Poll::Ready(Some(connected)),
            Poll::Pending if self.is_abandoned(context) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Sends the request. Says why it was not sent.
    async fn send(&mut self, line: &mut Line, route: &Route, begin: Instant) -> Option<Heard> {
        let (mut sent, mut look) = (0, begin + WHILE);
        poll_fn(|context| {
            while let Some(rest) = self.out.get(sent..).filter(|rest| !rest.is_empty()) {
                match Pin::new(&mut line.stream).poll_write(context, rest) {
                    Poll::Ready(Ok(count @ 1..)) => sent += count,
                    Poll::Ready(_) if sent == 0 => return Poll::Ready(Some(Heard::Unsent)),
                    Poll::Ready(_) => return Poll::Ready(Some(Heard::Nothing)),
                    Poll::Pending if self.is_abandoned(context) => return Poll::Ready(Some(Heard::Abandoned)),
                    Poll::Pending if self.is_gone(context, route, &mut look) => {
                        return Poll::Ready(Some(Heard::Nothing));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(None)
        })
        .await
    }

    /// Leaves what is begun to hyper, which reads of the request what is left of it.
    fn leave(&mut self, asked: Asked, begin: Instant, turn: Option<Turn>, way: Way) -> Next {
        asked.tell_less(asked.body - self.sent, &mut self.read);
        Next::Other(Some(Begun { begin, route: asked.route, turn, way }))
    }

    /// Waits for the answer, and offers its client what has come of it. Keeps the connection if that was all, before the
    /// client knows.
    async fn hear(&mut self, line: &mut Option<Line>, asked: &Asked, begin: Instant) -> Heard {
        let shared = &self.client.shared;
        // What took its time was the client, where a body had to come.
        let deadline = if asked.body > 0 { Instant::now() } else { begin } + WHILE;
        poll_fn(|context| {
            let heard = scratch::lend(|buffer| {
                let Some(open) = line else { return Poll::Ready(Heard::Nothing) };
                let mut end = match ready!(scratch::poll_fill(context, &mut open.stream, buffer, 0..FIRST)) {
                    Ok(count @ 1..) => count,
                    _ => return Poll::Ready(Heard::Nothing),
                };
                self.out.clear();
                let bytes = buffer.get(..end).unwrap_or_default();
                let Some(mut answer) = answer::plain(shared, asked, bytes, &mut self.out) else {
                    return Poll::Ready(Heard::Other(Bytes::copy_from_slice(bytes)));
                };
                count(&shared.meter.short);
                shared.meter.answered(asked.route.class(), false, answer.status, begin.elapsed());
                if end == FIRST
                    && let Some(rest) = answer.rest(end, buffer.len())
                {
                    let more = scratch::poll_fill(context, &mut open.stream, buffer, rest);
                    // What failed now fails again.
                    if let Poll::Ready(Ok(count)) = more {
                        end += count;
                    }
                }
                let first = answer.first(buffer.get(..end).unwrap_or_default());
                answer.passed(&asked.route, first.len());
                // Goes out with what comes next.
                if Conduit::is_worth(&open.stream, self.stream, answer.left) {
                    self.out.extend_from_slice(first);
                    return Poll::Ready(Heard::Answer(answer));
                }
                if answer.left == 0 {
                    line.take().filter(|_| answer.keeps).into_iter().for_each(|line| asked.route.keep_line(line));
                }
                Poll::Ready(match taken(offer(context, self.stream, &mut self.out, first)) {
                    Ok(()) => Heard::Answer(answer),
                    Err(_) => Heard::Abandoned,
                })
            });
            match heard {
                Poll::Ready(heard) => Poll::Ready(heard),
                Poll::Pending if self.is_abandoned(context) => Poll::Ready(Heard::Abandoned),
                Poll::Pending => self.alarm.poll(context, deadline).map(|()| Heard::Other(Bytes::new())),
            }
        })
        .await
    }

    /// Whether the route was deleted, and its grace is over. Looks again after a while.
    fn is_gone(&mut self, context: &mut Context<'_>, route: &Route, look: &mut Instant) -> bool {
        while !route.gone.is_set() {
            if self.alarm.poll(context, *look).is_pending() {
                return false;
            }
            *look = Instant::now() + WHILE;
        }
        true
    }

    /// Whether the client has left while it was waited for another. The first that it sends ahead is kept, and no more is
    /// read.
    fn is_abandoned(&mut self, context: &mut Context<'_>) -> bool {
        while self.read.len() <= self.whole {
            let read = &mut self.read;
            let left = scratch::poll_read(context, self.stream, scratch::SIZE, |_, bytes| {
                read.extend_from_slice(bytes);
                bytes.is_empty()
            });
            match left {
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }
}
