//! The rest of an answer, and who does not wait for it.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, time::Instant};

use super::{Connection, TURN, WHILE, again, answer::Answer, conduit::Conduit};
use crate::{pool::Line, route::Route, scratch, stream::Stream};

impl Connection<'_> {
    /// Passes the rest of an answer on. Errors: one of both is gone, or the route.
    pub(super) async fn deliver(
        &mut self,
        line: &mut Option<Line>,
        route: &Arc<Route>,
        answer: &mut Answer,
        begin: Instant,
    ) -> io::Result<()> {
        let mut look = begin + WHILE;
        let mut conduit = line.as_ref().and_then(|line| Conduit::between(&line.stream, self.stream, answer.left));
        let delivered = poll_fn(|context| {
            if !route.gone.is_set()
                && let Poll::Ready(passed) = self.poll_pass(context, line, route, answer, &mut conduit)
            {
                return Poll::Ready(passed);
            }
            if self.is_gone(context, route, &mut look) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            match self.is_abandoned(context) {
                true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                false => Poll::Pending,
            }
        })
        .await;
        if let Some(conduit) = conduit {
            conduit.leave();
        }
        delivered
    }

    fn poll_pass(
        &mut self,
        context: &mut Context<'_>,
        line: &mut Option<Line>,
        route: &Arc<Route>,
        answer: &mut Answer,
        conduit: &mut Option<Conduit>,
    ) -> Poll<io::Result<()>> {
        let mut turn = 0;
        loop {
            // Nothing more comes over it, however long the client takes.
            if answer.left == 0 {
                line.take().filter(|_| answer.keeps).into_iter().for_each(|line| route.keep_line(line));
            }
            // Before what stands ready is sent: both go out together then, and the client is woken once.
            let filled = match (&mut *conduit, &*line) {
                (Some(conduit), Some(line)) if conduit.is_empty() => {
                    Some(conduit.poll_fill(context, &line.stream, answer.left))
                }
                _ => None,
            };
            if let Some(Poll::Ready(Ok(count))) = filled {
                answer.passed(route, count);
                route.count_piped(count);
                turn += count;
            }
            while !self.out.is_empty() {
                match conduit.as_ref().filter(|conduit| !conduit.is_empty()) {
                    Some(_) => {
                        let count = ready!(Conduit::poll_before(context, self.stream, &self.out))?;
                        self.out.drain(..count);
                    }
                    None => ready!(offer(context, self.stream, &mut self.out, &[]))?,
                }
            }
            if let Some(conduit) = conduit {
                ready!(conduit.poll_drain(context, self.stream))?;
            }
            match filled {
                Some(Poll::Pending) => return Poll::Pending,
                Some(Poll::Ready(Ok(0))) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Some(Poll::Ready(Err(problem))) => return Poll::Ready(Err(problem)),
                Some(Poll::Ready(Ok(_))) if turn >= TURN => return again(context),
                _ => {}
            }
            let Some(line) = line.as_mut() else {
                return Pin::new(&mut *self.stream).poll_flush(context);
            };
            if conduit.is_some() {
                continue;
            }
            let most = usize::try_from(answer.left).unwrap_or(usize::MAX);
            let passed = scratch::poll_read(context, &mut line.stream, most, |context, bytes| {
                if bytes.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                answer.passed(route, bytes.len());
                taken(offer(context, self.stream, &mut self.out, bytes))
            });
            match passed {
                Poll::Ready(passed) => passed??,
                // What TLS has sealed but not sent would wait for the next byte.
                Poll::Pending => {
                    ready!(Pin::new(&mut *self.stream).poll_flush(context))?;
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Writes what stands ready and then the rest; what is not taken at once stands ready after that. Pending when nothing was.
pub(super) fn offer(
    context: &mut Context<'_>,
    to: &mut Stream,
    out: &mut Vec<u8>,
    rest: &[u8],
) -> Poll<io::Result<()>> {
    let written = match rest {
        [] => Pin::new(to).poll_write(context, out),
        rest => Pin::new(to).poll_write_vectored(context, &[IoSlice::new(out), IoSlice::new(rest)]),
    };
    let count = match written {
        Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        Poll::Ready(Ok(count)) => count,
        Poll::Ready(Err(problem)) => return Poll::Ready(Err(problem)),
        Poll::Pending => {
            out.extend_from_slice(rest);
            return Poll::Pending;
        }
    };
    let of_rest = count.saturating_sub(out.len());
    out.drain(..count - of_rest);
    out.extend_from_slice(rest.get(of_rest..).unwrap_or_default());
    Poll::Ready(Ok(()))
}

/// Whether an offer failed.
pub(super) fn taken(offered: Poll<io::Result<()>>) -> io::Result<()> {
    match offered {
        Poll::Ready(Err(problem)) => Err(problem),
        _ => Ok(()),
    }
}
