//! Long acts: the lease is renewed while they last, and they end early when the server is no longer wanted so.

use std::time::Duration;

use hub_store::Server;
use tokio::time::sleep;

use super::{Inner, LEASE};

/// How a long act ended.
pub(crate) enum Attended<T> {
    /// It ran to its end.
    Done(T),
    /// It was dropped: another state is wanted, or its deadline has passed. The row tells.
    Overtaken,
    /// It was dropped: the lease is lost, or the hub is stopping.
    Lost,
}

impl Inner {
    /// Runs an act that may take long and that may be dropped at any await.
    pub(crate) async fn attend<T>(&self, server: &Server, act: impl Future<Output = T>) -> Attended<T> {
        tokio::pin!(act);
        loop {
            tokio::select! {
                value = &mut act => return Attended::Done(value),
                () = self.stop.cancelled() => return Attended::Lost,
                () = self.signals.changed(server.id) => {}
                () = sleep(self.until_check(server)) => {}
            }
            match self.store.renew(server.id, &self.holder, server.generation, self.lease_end()).await {
                Ok(Some(fresh)) if fresh.desired != server.desired => return Attended::Overtaken,
                Ok(Some(_)) if self.is_overdue(server) => return Attended::Overtaken,
                Ok(Some(_)) => {}
                Ok(None) => return Attended::Lost,
                // Another hub may take the server over once the lease has run out; the generation guards the row.
                Err(error) => tracing::warn!(server = %server.id, "cannot renew the lease: {error}"),
            }
        }
    }

    pub(crate) fn is_overdue(&self, server: &Server) -> bool {
        server.deadline_at.is_some_and(|deadline| deadline <= self.now())
    }

    fn until_check(&self, server: &Server) -> Duration {
        let renewal = LEASE / 3;
        let deadline = server.deadline_at.and_then(|deadline| (deadline - self.now()).to_std().ok());
        deadline.filter(|left| !left.is_zero()).map_or(renewal, |left| left.min(renewal))
    }
}
