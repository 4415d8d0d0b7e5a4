//! Connections to PostgreSQL: how long anything on them may take, and which of them are not used again.
//!
//! A server that is replaced often says nothing more: what was sent to it is lost, and no error comes. So everything here
//! has a deadline, a connection on which one passed is given up, and with it go all that are as old.

use crate::error::{self, Result, StoreError};
use crate::primary::{self, Seeker};
use crate::store::{Leases, OpenOptions};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A connection that does not answer for longer, with nothing else to do, is gone.
const PING: Duration = Duration::from_secs(2);
/// For something that legitimately takes long: tables made or filled, much deleted.
const LONG: Duration = Duration::from_secs(600);
/// Between two looks at a server that is a standby: the pool would look many times a second.
const STANDBY_PAUSE: Duration = Duration::from_secs(2);
/// For so long after trouble, a pool that has no connection to give is taken for one that cannot make any.
const IN_DOUBT: Duration = Duration::from_secs(30);
/// What still runs has so long to end when all is closed.
const CLOSING: Duration = Duration::from_secs(3);
/// A hub that vanished within a transaction keeps rows locked for no longer.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

/// What a database is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To serve: it has to be one that can be written, and that answers in time.
    Serve,
    /// To look at it, or to change all of it: a copy will do to look at, and much takes long.
    Work,
}

/// A server, as a cheap clone around its connections.
#[derive(Clone)]
pub(crate) struct Server {
    pool: sqlx::PgPool,
    trust: Arc<Trust>,
    /// How long a statement may take.
    patience: Duration,
    pub(crate) leases: Leases,
    /// Looks for another server, where there are several.
    _seeker: Option<Arc<Seeker>>,
}

/// What is known of the server behind all connections.
#[derive(Default)]
pub(crate) struct Trust {
    /// Connections from before are not used again.
    since: Mutex<Option<Instant>>,
    /// The timeline of the newest connection's server; another one after each promotion.
    timeline: Mutex<Option<String>>,
    /// The highest that was ever seen: who has a lower one was a primary once.
    highest: Mutex<String>,
    /// The one that routes are numbered for.
    numbered: Mutex<Option<String>>,
    lost: Notify,
}

impl Trust {
    /// Something on a connection told that the server is gone, or not the right one any more.
    fn lose(&self) {
        *lock(&self.since) = Some(Instant::now());
        self.lost.notify_one();
    }

    /// Waits until connections are of no more use.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }

    fn lost_within(&self, time: Duration) -> bool {
        lock(&self.since).is_some_and(|since| since.elapsed() < time)
    }

    /// Whether a connection of this age was made after the last trouble.
    fn has(&self, age: Duration) -> bool {
        lock(&self.since).is_none_or(|since| since.elapsed() > age)
    }

    /// The timeline of the server as connections have found it, where it is not the one that routes are numbered for.
    pub(crate) fn moved(&self) -> bool {
        let found = lock(&self.timeline);
        found.is_some() && *found != *lock(&self.numbered)
    }

    /// Routes are numbered for this timeline now.
    pub(crate) fn settle(&self, timeline: Option<String>) {
        // What cannot be asked for any more is not looked for again and again.
        if timeline.is_none() {
            *lock(&self.timeline) = None;
        }
        *lock(&self.numbered) = timeline;
    }

    /// Whether a server with this timeline was a primary before another one that was seen, and writes to a history of its own.
    /// Nothing is known of one that does not tell.
    pub(crate) fn is_past(&self, timeline: &str) -> bool {
        let mut highest = lock(&self.highest);
        if timeline > highest.as_str() {
            timeline.clone_into(&mut highest);
        }
        !timeline.is_empty() && timeline < highest.as_str()
    }

    /// Looks which server a new connection has led to.
    async fn meet(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        if is_standby(connection).await? {
            self.lose();
            tokio::time::sleep(STANDBY_PAUSE).await;
            return Err(standby());
        }
        // Not every managed server lets everybody ask.
        match sqlx::query_scalar::<_, String>(TIMELINE).fetch_one(connection).await {
            Ok(found) if self.is_past(&found) => {
                self.lose();
                tokio::time::sleep(STANDBY_PAUSE).await;
                return Err(past());
            }
            Ok(found) => *lock(&self.timeline) = Some(found),
            Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Asks for the timeline of the write-ahead log: eight digits that rise with each promotion.
pub(crate) const TIMELINE: &str = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline";

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn is_standby(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await
}

pub(crate) fn standby() -> sqlx::Error {
    let why = "this server is a standby, which nobody can write to";
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ReadOnlyFilesystem, why))
}

pub(crate) fn past() -> sqlx::Error {
    let why = "this server was the primary before another was promoted; a hub that is to use it has to begin anew";
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ReadOnlyFilesystem, why))
}

pub(crate) fn silent(patience: Duration) -> sqlx::Error {
    let why = format!("no answer within {} s", patience.as_secs_f32());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
}

/// Bounds what has an error of its own.
async fn within<T>(patience: Duration, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(patience, work).await.unwrap_or_else(|_| Err(silent(patience)))
}

impl Server {
    /// Connects once, so that what is wrong is told at once; then as often as is needed. Of several servers, to the one that
    /// can be written to.
    pub(crate) async fn open(servers: Vec<PgConnectOptions>, options: &OpenOptions, what_for: Use) -> Result<Self> {
        let servers: Vec<_> = servers.into_iter().map(|server| configured(server, options, what_for)).collect();
        let failed = |error| StoreError::new("connect", error);
        let trust = Arc::new(Trust::default());
        let number = match servers.len() {
            0 | 1 => 0,
            _ => primary::find(&servers, options.patience, what_for, &trust).await.map_err(failed)?,
        };
        let connect = servers.get(number).cloned().unwrap_or_default();
        let first = async {
            let mut first = connect.connect().await?;
            if what_for == Use::Serve && is_standby(&mut first).await? {
                return Err(standby());
            }
            first.close().await
        };
        within(options.patience, first).await.map_err(failed)?;
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(1))
            .acquire_timeout(options.busy_timeout)
            // Done below, with an end.
            .test_before_acquire(false)
            .before_acquire({
                // So that there is time for another one.
                let (trust, patience) = (trust.clone(), PING.min(options.busy_timeout / 2));
                move |connection, meta| {
                    let trust = trust.clone();
                    Box::pin(async move { Ok(trust.has(meta.age) && is_alive(&trust, connection, patience).await) })
                }
            })
            .after_connect({
                let trust = trust.clone();
                move |connection, _| {
                    let trust = trust.clone();
                    Box::pin(async move {
                        match what_for {
                            Use::Serve => trust.meet(connection).await,
                            Use::Work => Ok(()),
                        }
                    })
                }
            })
            .connect_lazy_with(connect);
        let patience = match what_for {
            Use::Serve => options.patience,
            Use::Work => LONG,
        };
        let seeker = (what_for == Use::Serve && servers.len() > 1)
            .then(|| Arc::new(Seeker::new(servers, pool.clone(), trust.clone(), options.patience)));
        Ok(Self { pool, trust, patience, leases: options.leases, _seeker: seeker })
    }

    /// The same, with time for work on many rows.
    pub(crate) fn patient(&self) -> Self {
        Self { patience: LONG, ..self.clone() }
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Takes a connection for a statement.
    pub(crate) async fn lend(&self) -> sqlx::Result<Lent> {
        let connection = self.pool.acquire().await.inspect_err(|_| {
            if self.pool.size() == 0 {
                self.trust.lose();
            }
        })?;
        let connection = Some(connection);
        Ok(Lent { connection, trust: self.trust.clone(), patience: self.patience, open: false })
    }

    /// Takes a connection for a transaction.
    pub(crate) async fn begin(&self) -> sqlx::Result<Lent> {
        let mut lent = self.lend().await?;
        lent.open = true;
        lent.run(sqlx::raw_sql("BEGIN")).await?;
        Ok(lent)
    }

    /// Whether a pool that could not give a connection has lost its server, and is not only busy.
    pub(crate) fn is_away(&self) -> bool {
        self.pool.size() == 0 || self.trust.lost_within(IN_DOUBT)
    }

    /// Closes every connection once what runs on it is done, or its time is over.
    pub(crate) async fn close(&self) {
        let _ = timeout(CLOSING, self.pool.close()).await;
    }
}

fn configured(server: PgConnectOptions, options: &OpenOptions, what_for: Use) -> PgConnectOptions {
    let milliseconds = options.busy_timeout.as_millis().to_string();
    let server = server.options([("lock_timeout", milliseconds.as_str()), ("timezone", "UTC")]);
    match what_for {
        Use::Serve => {
            let idle = IDLE_IN_TRANSACTION.as_millis().to_string();
            server.options([("idle_in_transaction_session_timeout", idle.as_str())])
        }
        Use::Work => server,
    }
}

async fn is_alive(trust: &Trust, connection: &mut PgConnection, patience: Duration) -> bool {
    match within(patience, connection.ping()).await {
        Ok(()) => true,
        Err(error) => {
            tracing::info!("a connection to the database is gone: {error}");
            trust.lose();
            false
        }
    }
}

/// A connection in use. Dropped, it goes back when it answers in time; what is still open on it is rolled back.
pub(crate) struct Lent {
    /// None once it was given up.
    connection: Option<PoolConnection<Postgres>>,
    trust: Arc<Trust>,
    pub(crate) patience: Duration,
    /// Whether a transaction is.
    open: bool,
}

impl Lent {
    /// The connection, to run one statement on it within `patience`; what comes of it goes through `judge`.
    pub(crate) fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        let gone = || sqlx::Error::Io(std::io::ErrorKind::NotConnected.into());
        self.connection.as_deref_mut().ok_or_else(gone)
    }

    /// Gives the connection up when what came of a statement tells that it is of no more use.
    pub(crate) fn judge<T>(&mut self, done: Result<sqlx::Result<T>, tokio::time::error::Elapsed>) -> sqlx::Result<T> {
        let done = done.unwrap_or_else(|_| Err(silent(self.patience)));
        if done.as_ref().is_err_and(error::ends_connections) {
            self.trust.lose();
            // Closed here and now: nobody waits for a server that may be gone.
            drop(self.connection.take().map(PoolConnection::detach));
        }
        done
    }

    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        self.run(sqlx::raw_sql("COMMIT")).await?;
        self.open = false;
        Ok(())
    }

    /// Runs statements without arguments.
    pub(crate) async fn run(&mut self, sql: sqlx::RawSql) -> sqlx::Result<()> {
        let patience = self.patience;
        let done = timeout(patience, sql.execute(self.connection()?)).await;
        self.judge(done).map(drop)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(mut connection), Ok(runtime)) = (self.connection.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (open, patience) = (self.open, self.patience);
        // The pool's own way back waits without an end, and keeps the place of the connection meanwhile. A statement
        // that nobody waits for any more has as long to end as it had before.
        runtime.spawn(timeout(patience, async move {
            let rolled_back = match open {
                true => sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.is_ok(),
                false => true,
            };
            match rolled_back {
                true => connection.return_to_pool().await,
                false => drop(connection.detach()),
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_of_before_is_told_by_its_timeline() {
        let trust = Trust::default();
        // Nobody may ask, or everything is as it was.
        for timeline in ["", "00000001", "00000001", "0000000A", "0000000A", ""] {
            assert!(!trust.is_past(timeline), "{timeline}");
        }
        assert!(trust.is_past("00000001") && trust.is_past("00000009"));
        assert!(!trust.is_past("0000000B") && trust.is_past("0000000A"));
    }
}
