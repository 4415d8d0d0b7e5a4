//! SQLite's one writer. Transactions that wait for each other are committed together: however many write at once, the disk is
//! waited for once.
//!
//! Each is a savepoint in a transaction that stays open while others have queued up behind the first. Whoever commits hears of
//! it when the file has it, as if it had been alone.

use crate::error::Failed;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer {
    pool: SqlitePool,
    batch: Arc<Mutex<Batch>>,
    /// How long a transaction waits for its turn.
    patience: Duration,
    /// Where transactions are brought to their end, also when whoever began them has gone.
    runtime: Handle,
}

/// What is committed next.
#[derive(Default)]
struct Batch {
    connection: Option<PoolConnection<Sqlite>>,
    /// Whether a transaction may be open on it.
    begun: bool,
    /// Who waits for the commit.
    members: Vec<oneshot::Sender<sqlx::Result<()>>>,
}

/// A transaction in a batch, while it is its turn.
pub(crate) struct Turn {
    writer: Writer,
    batch: Option<OwnedMutexGuard<Batch>>,
}

/// A write transaction of SQLite.
pub(crate) enum Write {
    /// On a connection of its own.
    Alone(Transaction<'static, Sqlite>),
    Turn(Turn),
}

impl Writer {
    /// `pool` has one connection.
    pub(crate) fn new(pool: SqlitePool, patience: Duration) -> Self {
        Self { pool, batch: Arc::default(), patience, runtime: Handle::current() }
    }

    /// Begins a transaction, when those before it have had their turn.
    pub(crate) async fn begin(&self) -> sqlx::Result<Write> {
        let turn = timeout(self.patience, self.batch.clone().lock_owned()).await;
        let mut batch = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if batch.connection.is_none() {
            batch.connection = Some(self.pool.acquire().await?);
        }
        // From here on whatever ends early is rolled back.
        let mut turn = Turn { writer: self.clone(), batch: Some(batch) };
        turn.open().await?;
        Ok(Write::Turn(turn))
    }

    /// Does one thing as a transaction of its own.
    pub(crate) async fn alone<T>(
        &self,
        act: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut tx = self.begin().await?;
        let done = act(tx.connection()?).await?;
        tx.commit().await.map(|()| done)
    }

    /// Commits what has queued up.
    async fn commit(self) {
        self.batch.lock().await.commit().await;
    }

    /// Ends what is open, then closes the connection.
    pub(crate) async fn close(&self) {
        let mut batch = self.batch.lock().await;
        batch.commit().await;
        batch.connection = None;
        drop(batch);
        self.pool.close().await;
    }
}

impl Batch {
    async fn run(&mut self, sql: &'static str) -> sqlx::Result<()> {
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        sqlx::query(sql).execute(connection).await.map(drop)
    }

    async fn commit(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let done = self.run("COMMIT").await;
        self.end(done).await;
    }

    /// Tells everybody what became of the transaction.
    async fn end(&mut self, done: sqlx::Result<()>) {
        if done.is_err() {
            // SQLite may have done so by itself.
            let _ = self.run("ROLLBACK").await;
        }
        self.begun = false;
        let failed = done.err().map(|error| Failed::of(&error));
        for member in self.members.drain(..) {
            // Whoever has gone does not need to hear it.
            let _ = member.send(failed.clone().map_or(Ok(()), |failed| Err(failed.into())));
        }
    }

    /// Takes back what the present turn did. Where SQLite has rolled back all of it, everybody hears that.
    async fn take_back(&mut self) {
        if self.members.is_empty() {
            return self.end(Err(sqlx::Error::BeginFailed)).await;
        }
        let taken_back = self.run("ROLLBACK TO turn").await;
        let _ = self.run("RELEASE turn").await;
        // Without a savepoint it was released, or everything has gone: only then a new one can begin.
        if let Err(error) = taken_back
            && self.run("BEGIN").await.is_ok()
        {
            self.end(Err(error)).await;
        }
    }
}

impl Turn {
    fn batch(&mut self) -> sqlx::Result<&mut Batch> {
        self.batch.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    async fn open(&mut self) -> sqlx::Result<()> {
        let batch = self.batch()?;
        if !std::mem::replace(&mut batch.begun, true) {
            // SQLite takes its write lock at once: a lock taken later can fail half-way.
            batch.run("BEGIN IMMEDIATE").await?;
        }
        batch.run("SAVEPOINT turn").await
    }

    /// Returns when the file has what this turn did.
    async fn commit(mut self) -> sqlx::Result<()> {
        self.batch()?.run("RELEASE turn").await?;
        let Some(mut batch) = self.batch.take() else { return Err(sqlx::Error::PoolClosed) };
        let (member, committed) = oneshot::channel();
        batch.members.push(member);
        if batch.members.len() == 1 {
            // Behind those who wait already: their turns are part of it.
            self.writer.runtime.spawn(self.writer.clone().commit());
        }
        drop(batch);
        committed.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(mut batch) = self.batch.take().filter(|batch| batch.begun) {
            self.writer.runtime.spawn(async move { batch.take_back().await });
        }
    }
}

impl Write {
    pub(crate) fn connection(&mut self) -> sqlx::Result<&mut SqliteConnection> {
        match self {
            Self::Alone(tx) => Ok(&mut **tx),
            Self::Turn(turn) => turn.batch()?.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed),
        }
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Alone(tx) => tx.commit().await,
            Self::Turn(turn) => turn.commit().await,
        }
    }
}

impl From<Transaction<'static, Sqlite>> for Write {
    fn from(tx: Transaction<'static, Sqlite>) -> Self {
        Self::Alone(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Pool;
    use crate::store::{OpenOptions, Store};
    use crate::value::params;
    use hub_core::clock::Time;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tempfile::TempDir;
    use tokio::task::JoinHandle;

    async fn store() -> (TempDir, Store) {
        let directory = TempDir::new().unwrap();
        let url = format!("sqlite:///{}", directory.path().join("hub.sqlite").display());
        (directory, Store::open(&url, OpenOptions::new(Time::UNIX_EPOCH)).await.unwrap())
    }

    /// Many writers, that queue up while somebody has the turn.
    async fn many(store: &Store, text: impl Fn(usize) -> String) -> Vec<JoinHandle<crate::Result<()>>> {
        let write = |number: usize| {
            let (store, text) = (store.clone(), text(number));
            tokio::spawn(async move { store.set_meta(&format!("of {number}"), &text).await })
        };
        let all = (0..50).map(write).collect();
        tokio::task::yield_now().await;
        all
    }

    #[tokio::test]
    async fn those_who_wait_for_each_other_are_committed_together() {
        let (_directory, store) = store().await;
        let Pool::Sqlite { writer, .. } = &store.pool else { panic!("it is a file") };
        let commits = Arc::new(AtomicUsize::new(0));
        let mut first = writer.begin().await.unwrap();
        let count = commits.clone();
        let counted = move || {
            count.fetch_add(1, Ordering::SeqCst);
            true
        };
        first.connection().unwrap().lock_handle().await.unwrap().set_commit_hook(counted);
        let others = many(&store, |number| number.to_string()).await;
        first.commit().await.unwrap();
        assert_eq!(store.meta("of 7").await.unwrap().as_deref(), Some("7"), "who has heard of it finds it");
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert_eq!(commits.load(Ordering::SeqCst), 1);
        store.set_meta("alone", "1").await.unwrap();
        assert_eq!(commits.load(Ordering::SeqCst), 2);
        store.close().await;
    }

    #[tokio::test]
    async fn what_one_takes_back_or_gives_up_is_missing_and_nothing_else() {
        let (_directory, store) = store().await;
        let first = store.pool.begin().await.unwrap();
        let one = many(&store, |number| number.to_string()).await;
        let sql = "INSERT INTO specola_meta (name, value) VALUES ($1, '')";
        let given_up = tokio::spawn({
            let store = store.clone();
            async move {
                let mut tx = store.pool.begin().await.unwrap();
                tx.execute(sql, params!["given up"]).await.unwrap();
                assert!(tx.execute(sql, params!["given up"]).await.is_err(), "it is there already");
            }
        });
        tokio::task::yield_now().await;
        let other = many(&store, |number| (number + 100).to_string()).await;
        one[7].abort();
        drop(first);
        given_up.await.unwrap();
        for (number, (one, other)) in one.into_iter().zip(other).enumerate() {
            assert!(one.await.is_err() == (number == 7));
            other.await.unwrap().unwrap();
            let kept = store.meta(&format!("of {number}")).await.unwrap();
            assert_eq!(kept, Some((number + 100).to_string()));
        }
        assert_eq!(store.meta("given up").await.unwrap(), None);
        // Given up with nobody behind it, the file is free for others.
        let mut last = store.pool.begin().await.unwrap();
        last.execute(sql, params!["given up"]).await.unwrap();
        drop(last);
        store.set_meta("after it", "1").await.unwrap();
        assert_eq!(store.meta("given up").await.unwrap(), None);
        store.close().await;
    }

    #[tokio::test]
    async fn who_hears_that_it_is_kept_finds_it_also_when_another_finds_no_room() {
        let (_directory, store) = store().await;
        store.pool.write_rows("PRAGMA max_page_count = 1", params![]).await.unwrap();
        let first = store.pool.begin().await.unwrap();
        let all = many(&store, |number| "x".repeat(if number % 10 == 9 { 200_000 } else { 1 })).await;
        first.commit().await.ok();
        let mut refused = 0;
        for (number, one) in all.into_iter().enumerate() {
            let answer = one.await.unwrap();
            let found = store.meta(&format!("of {number}")).await.unwrap();
            assert_eq!(answer.is_ok(), found.is_some(), "{number}: {answer:?}");
            refused += usize::from(answer.is_err());
        }
        assert!(refused >= 5, "{refused}");
        store.pool.write_rows("PRAGMA max_page_count = 1000000", params![]).await.unwrap();
        store.set_meta("of 9", &"x".repeat(200_000)).await.unwrap();
        store.close().await;
    }
}
