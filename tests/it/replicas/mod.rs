//! Several hubs on one PostgreSQL, several proxies, no sticky sessions: whatever dies, somebody goes on.

mod database;
mod deaths;
mod doors;
mod ground;
mod people;
mod rolling;
mod together;

use std::time::Duration;

use anyhow::Result;
use tests::Replicas;
use tests::postgres::{Postgres, programs};
use tests::specola::Options;
use tokio::sync::{Mutex, MutexGuard};

/// Three hubs, two proxies, a database and people are enough for a machine at a time.
static ONE: Mutex<()> = Mutex::const_new(());

const SOON: Duration = Duration::from_secs(180);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|number| number.parse().ok())
}

/// How many people come and go, usually; as many as `SPECOLA_TEST_PEOPLE` says for a measurement.
fn crowd(usually: usize) -> usize {
    number("SPECOLA_TEST_PEOPLE").and_then(|number| number.try_into().ok()).unwrap_or(usually)
}

/// Longer than a lease, than the wait for a database, and than machines take that start servers one after another.
fn patience() -> Duration {
    SOON.max(Duration::from_secs(10) * u32::try_from(crowd(6)).unwrap_or(u32::MAX))
}

/// How long what died is gone; a minute in a measurement.
fn absence() -> Duration {
    Duration::from_secs(number("SPECOLA_TEST_ABSENCE").unwrap_or(8))
}

/// What is at work, alone.
struct Alone {
    replicas: Replicas,
    _one: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Alone {
    type Target = Replicas;

    fn deref(&self) -> &Replicas {
        &self.replicas
    }
}

impl std::ops::DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Replicas {
        &mut self.replicas
    }
}

/// Three hubs and two proxies; None where PostgreSQL or haproxy is missing.
async fn replicas(options: Options) -> Result<Option<Alone>> {
    let Some(programs) = programs() else {
        anyhow::ensure!(std::env::var_os("SPECOLA_REQUIRE_POSTGRES").is_none(), "PostgreSQL is missing");
        eprintln!("SKIPPED: PostgreSQL is missing");
        return Ok(None);
    };
    if !std::path::Path::new("/usr/sbin/haproxy").exists() {
        anyhow::ensure!(std::env::var_os("SPECOLA_REQUIRE_PEERS").is_none(), "haproxy is missing");
        eprintln!("SKIPPED: haproxy is missing");
        return Ok(None);
    }
    let _one = ONE.lock().await;
    Ok(Some(Alone { replicas: Replicas::start(Postgres::start(&programs)?, 3, 2, options).await?, _one }))
}
