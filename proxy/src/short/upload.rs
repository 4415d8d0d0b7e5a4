//! What is still to come of a body, and what may come of it meanwhile.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Connection, Heard, TURN, WHILE, again,
    conduit::Conduit,
    deliver::{offer, taken},
    request::Asked,
};
use crate::{pool::Line, route::Route, scratch};

/// A body on its way.
struct Passing<'a> {
    route: &'a Arc<Route>,
    conduit: Option<Conduit>,
    /// Bytes that are still to come from the client.
    left: u64,
    /// Bytes that came last, where not all of them are known to be sent.
    underway: usize,
    /// Since when the client is waited for.
    waiting: Instant,
    /// Until when a server that takes no more is listened to.
    refused: Option<Instant>,
}

impl Passing<'_> {
    /// Counts what came last, but for what is not sent of it.
    fn count(&mut self, unsent: usize) {
        if self.underway > 0 {
            self.route.count_up(self.underway.saturating_sub(unsent));
            (self.underway, self.waiting) = (0, Instant::now());
        }
    }
}

impl Connection<'_> {
    /// Passes on what is still to come of the body of a request whose head is sent. Gives what was heard instead of its end.
    pub(super) async fn upload(&mut self, line: &mut Line, asked: &Asked) -> Option<Heard> {
        let route = &asked.route;
        let first = self.read.drain(asked.length..self.whole).len();
        (self.whole, self.sent) = (asked.length, first as u64);
        route.touch();
        route.count_up(first);
        let left = asked.body - self.sent;
        if left == 0 {
            return None;
        }
        // Nothing is held of what is sent, however long the rest takes.
        self.read.shrink_to_fit();
        self.out = Vec::new();
        let conduit = Conduit::between(self.stream, &line.stream, left);
        let mut passing = Passing { route, conduit, left, underway: 0, waiting: Instant::now(), refused: None };
        self.take_ahead(&mut passing);
        let (mut look, idle) = (Instant::now() + WHILE, self.client.shared.limits().upload_idle);
        let heard = poll_fn(|context| {
            // It may answer before it has all of it, and say why it takes no more.
            if let Poll::Ready(heard) = poll_early(context, line) {
                return Poll::Ready(Some(heard));
            }
            if !route.gone.is_set()
                && let Poll::Ready(ended) = self.poll_body(context, line, &mut passing)
            {
                return Poll::Ready(ended);
            }
            match passing.refused {
                Some(until) if self.alarm.poll(context, until).is_ready() => return Poll::Ready(Some(Heard::Nothing)),
                None if passing.underway == 0 && self.alarm.poll(context, passing.waiting + idle).is_ready() => {
                    return Poll::Ready(Some(Heard::Stopped));
                }
                _ => {}
            }
            match self.is_gone(context, route, &mut look) {
                true => Poll::Ready(Some(Heard::Nothing)),
                false => Poll::Pending,
            }
        })
        .await;
        if self.put_back(passing) { heard } else { Some(Heard::Abandoned) }
    }

    /// Sends first what was read while the server was waited for.
    fn take_ahead(&mut self, passing: &mut Passing<'_>) {
        let ahead = usize::try_from(passing.left).unwrap_or(usize::MAX).min(self.read.len() - self.whole);
        self.out.extend(self.read.drain(self.whole..self.whole + ahead));
        self.came(passing, ahead);
    }

    fn came(&mut self, passing: &mut Passing<'_>, count: usize) {
        passing.left -= count as u64;
        passing.underway = count;
        self.sent += count as u64;
    }

    /// Takes back what is not sent: it is the beginning of what is left. False when it is lost.
    fn put_back(&mut self, mut passing: Passing<'_>) -> bool {
        let unsent = match &mut passing.conduit {
            _ if !self.out.is_empty() => Some(self.out.drain(..).collect()),
            Some(conduit) => conduit.take(),
            None => Some(Vec::new()),
        };
        if let Some(conduit) = passing.conduit.take() {
            conduit.leave();
        }
        let Some(unsent) = unsent else { return false };
        passing.count(unsent.len());
        self.sent -= unsent.len() as u64;
        self.read.splice(self.whole..self.whole, unsent);
        true
    }

    /// Passes on what comes. Ready when nothing is left, or with why nothing more comes.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        line: &mut Line,
        passing: &mut Passing<'_>,
    ) -> Poll<Option<Heard>> {
        let mut turn = 0;
        loop {
            if passing.refused.is_some() || ready!(self.poll_taken(context, line, passing)).is_err() {
                // It may have said why, and that be on its way.
                passing.refused.get_or_insert_with(|| Instant::now() + WHILE);
                return Poll::Pending;
            }
            passing.count(0);
            if passing.left == 0 {
                return Poll::Ready(None);
            }
            let read = match &mut passing.conduit {
                Some(conduit) => conduit.poll_fill(context, self.stream, passing.left),
                None => {
                    let most = usize::try_from(passing.left).unwrap_or(usize::MAX);
                    scratch::poll_read(context, self.stream, most, |context, bytes| {
                        if taken(offer(context, &mut line.stream, &mut self.out, bytes)).is_err() {
                            passing.refused = Some(Instant::now() + WHILE);
                        }
                        bytes.len()
                    })
                }
            };
            let count = match ready!(read) {
                Ok(0) => return Poll::Ready(Some(Heard::Stopped)),
                Ok(count) => count,
                Err(_) => return Poll::Ready(Some(Heard::Abandoned)),
            };
            self.came(passing, count);
            passing.route.touch();
            if passing.conduit.is_some() {
                passing.route.count_piped(count);
            }
            turn += count;
            if turn >= TURN {
                return again(context);
            }
        }
    }

    /// Sends what has come.
    fn poll_taken(
        &mut self,
        context: &mut Context<'_>,
        line: &mut Line,
        passing: &mut Passing<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            ready!(offer(context, &mut line.stream, &mut self.out, &[]))?;
        }
        match &mut passing.conduit {
            Some(conduit) => conduit.poll_drain(context, &line.stream),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// What a server says, or that it closes the connection.
fn poll_early(context: &mut Context<'_>, line: &mut Line) -> Poll<Heard> {
    let heard = scratch::poll_read(context, &mut line.stream, scratch::SIZE, |_, bytes| match bytes {
        [] => Heard::Nothing,
        bytes => Heard::Other(Bytes::copy_from_slice(bytes)),
    });
    heard.map(|heard| heard.unwrap_or(Heard::Nothing))
}
