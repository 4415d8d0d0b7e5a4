//! Long acts: the lease is renewed while they last, and they end early when the server is no longer wanted so.

use std::time::Duration;

use hub_core::life::{Phase, Seen};
use hub_store::{Server, StoreError};
use tokio::time::{Instant, sleep};

use super::act::Run;
use super::{AWAY, Inner, LEASE, LEASE_DELTA};

/// How a long act ended.
pub(crate) enum Attended<T> {
    /// It ran to its end.
    Done(T),
    /// It was dropped: another state is wanted, or its deadline has passed. The row tells.
    Overtaken,
    /// It was dropped: the lease is lost, or the hub is stopping.
    Lost,
}

/// Why an act is not to go on.
enum Ended {
    Overtaken,
    Lost,
}

impl Inner {
    /// Runs an act that may take long and that may be dropped at any await.
    pub(crate) async fn attend<T>(&self, server: &Server, act: impl Future<Output = T>) -> Attended<T> {
        // Side by side: both write to the database, and one that is not asked to go on while the other waits would keep
        // SQLite's one writer to itself.
        tokio::select! {
            value = act => Attended::Done(value),
            ended = self.watch(server) => match ended {
                Ended::Overtaken => Attended::Overtaken,
                Ended::Lost => Attended::Lost,
            },
        }
    }

    /// Renews the lease of a server until another state is wanted, or somebody else may have it.
    async fn watch(&self, server: &Server) -> Ended {
        // The deadline may be put off meanwhile.
        let mut until_check = self.until_check(server);
        // When the lease was had last, by a clock that nobody sets; and whether it could not be renewed since.
        let (mut had, mut away) = (Instant::now(), false);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ended::Lost,
                () = self.signals.changed(server.id) => {}
                () = sleep(until_check) => {}
            }
            let asked = Instant::now();
            match self.store.renew(server.id, &self.holder, server.generation, self.now(), LEASE_DELTA).await {
                Ok(Some(fresh)) if fresh.desired != server.desired => return Ended::Overtaken,
                Ok(Some(fresh)) => {
                    had = asked;
                    let was_away = std::mem::take(&mut away);
                    // What passed while the database was away is no fault of the server.
                    if self.is_overdue(&fresh) && !(was_away && self.allow_more_time(&fresh).await.is_ok()) {
                        return Ended::Overtaken;
                    }
                    until_check = self.until_check(&fresh);
                }
                Ok(None) => return Ended::Lost,
                // Another hub has the server by now, or is about to.
                Err(_) if self.store.is_shared() && had.elapsed() > LEASE => return Ended::Lost,
                Err(error) => {
                    away = true;
                    tracing::warn!(server = %server.id, "cannot renew the lease: {error}");
                }
            }
        }
    }

    /// A deadline that passed while no hub could be at work begins anew: that alone must not fail a server.
    pub(crate) async fn allow_more_time(&self, server: &Server) -> Result<(), StoreError> {
        let limit = match server.phase {
            Phase::Starting => self.settings.start_timeout,
            Phase::Waiting | Phase::Routing => self.settings.http_timeout,
            // A stop that was late is forced.
            Phase::Stopped | Phase::Ready | Phase::Stopping => return Ok(()),
        };
        let now = self.now();
        self.store.begin_deadline_anew(server.id, server.generation, now + limit, now).await.map(drop)
    }

    /// Whether what passed is no fault of a server on its way up: its spawner cannot be asked, or could not until now.
    pub(crate) fn is_pardoned(&self, server: &Server, seen: Seen, run: &mut Run) -> bool {
        let since = match seen {
            Seen::Unknown => Some(*run.unheard.get_or_insert_with(|| self.now())),
            Seen::Absent | Seen::Coming | Seen::Up | Seen::Exited => run.unheard.take(),
        };
        let is_on_its_way = matches!(server.phase, Phase::Starting | Phase::Waiting | Phase::Routing);
        is_on_its_way && since.is_some_and(|since| self.now() - since < AWAY)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use hub_core::clock::{Clock, SystemClock};
    use hub_store::{OpenOptions, Store};
    use spawners::fake::{Fake, World};

    use super::*;
    use crate::config::{Config, Environment};
    use crate::http::url::Paths;
    use crate::keeper::Keeper;

    #[tokio::test]
    async fn an_act_goes_on_writing_while_its_lease_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("hub.sqlite").display());
        let now = SystemClock.now();
        // Whoever waits for the other would wait for longer than this test.
        let options = OpenOptions { busy_timeout: Duration::from_secs(300), ..OpenOptions::new(now) };
        let store = Store::open(&url, options).await.unwrap();
        let ann = store.create_user("ann", false, "0", now).await.unwrap();
        let made = store.create_server(ann.id, "", None, None, now).await.unwrap().unwrap();
        let server = store.claim(made.id, "hub", now, TimeDelta::hours(1)).await.unwrap().unwrap();
        let config = Config::load(None, &Environment::new()).unwrap();
        let keeper = Keeper::new(
            store.clone(),
            Arc::new(SystemClock),
            Arc::new(Fake::new(&World::new())),
            crate::start::settings(&config, Arc::default()),
            crate::start::recipe(&config, &Paths::new("/"), "epoch"),
            "hub".to_owned(),
            crate::keeper::signals::Signals::default(),
            tokio_util::task::TaskTracker::new(),
            tokio_util::sync::CancellationToken::new(),
        );
        let held = keeper.0.signals.hold(server.id);
        assert!(held.is_some());
        let act = async {
            for number in 0..100 {
                store.set_meta("anything", &number.to_string()).await.unwrap();
            }
        };
        let signals = async {
            loop {
                keeper.0.signals.server_changed(server.id);
                tokio::task::yield_now().await;
            }
        };
        let attended = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::select! {
                attended = keeper.0.attend(&server, act) => matches!(attended, Attended::Done(())),
                () = signals => false,
            }
        });
        assert!(attended.await.expect("neither waits for the other"));
        store.close().await;
    }
}
