//! Which of several servers of PostgreSQL is the one to write to: a primary and its standbys, one of which is promoted when
//! the primary is gone.

use crate::postgres::{TIMELINE, Trust, Use, past, silent, standby};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// A server that takes longer to say what it is, while another one has said so, is left out.
const TELLS_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks while there is none that can be written to.
const PAUSE: Duration = Duration::from_millis(500);

/// What a server is.
struct Told {
    standby: bool,
    /// Rises with each promotion: a primary of before, which came back, has a lower one than its heir. Empty where nobody
    /// may ask.
    timeline: String,
}

async fn tell(server: PgConnectOptions) -> sqlx::Result<Told> {
    let mut connection = server.connect().await?;
    let standby: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut connection).await?;
    let timeline = match standby {
        true => String::new(),
        false => sqlx::query_scalar(TIMELINE).fetch_one(&mut connection).await.unwrap_or_default(),
    };
    connection.close().await?;
    Ok(Told { standby, timeline })
}

/// The one to write to, of `servers`; with `Use::Work`, where there is none, the first standby. One that was asked in vain for
/// `patience` is not there, and neither is one with a lower timeline than was ever seen.
pub(crate) async fn find(
    servers: &[PgConnectOptions],
    patience: Duration,
    what_for: Use,
    trust: &Trust,
) -> sqlx::Result<usize> {
    let mut asked = JoinSet::new();
    for (number, server) in servers.iter().cloned().enumerate() {
        asked.spawn(async move {
            (number, timeout(patience, tell(server)).await.unwrap_or_else(|_| Err(silent(patience))))
        });
    }
    let (mut primary, mut copy, mut failed): (Option<(String, usize)>, Option<usize>, Option<sqlx::Error>) =
        (None, None, None);
    loop {
        // Others may be primaries of a later time, and say so soon.
        let next = match primary {
            Some(_) => timeout(TELLS_WITHIN, asked.join_next()).await.unwrap_or(None),
            None => asked.join_next().await,
        };
        let Some(Ok((number, told))) = next else { break };
        match told {
            Ok(told) if told.standby => copy = Some(copy.map_or(number, |other| other.min(number))),
            Ok(told) if trust.is_past(&told.timeline) => failed = Some(past()),
            Ok(told) => {
                let better = |(timeline, other): &(String, usize)| {
                    told.timeline > *timeline || (told.timeline == *timeline && number < *other)
                };
                if primary.as_ref().is_none_or(better) {
                    primary = Some((told.timeline, number));
                }
            }
            Err(error) => failed = Some(error),
        }
    }
    match (primary, copy) {
        (Some((_, number)), _) => Ok(number),
        (None, Some(number)) if what_for == Use::Work => Ok(number),
        (None, Some(_)) => Err(standby()),
        (None, None) => Err(failed.unwrap_or(sqlx::Error::PoolClosed)),
    }
}

/// Leads new connections of a pool to the server that can be written to, whenever those of before turned out to be of no
/// use. Ends when it is dropped.
pub(crate) struct Seeker(JoinHandle<()>);

impl Seeker {
    pub(crate) fn new(
        servers: Vec<PgConnectOptions>,
        pool: sqlx::PgPool,
        trust: Arc<Trust>,
        patience: Duration,
    ) -> Self {
        Self(tokio::spawn(async move {
            loop {
                trust.lost().await;
                let found = loop {
                    match find(&servers, patience, Use::Serve, &trust).await {
                        Ok(number) => break number,
                        Err(_) => sleep(PAUSE).await,
                    }
                };
                let server = &servers[found];
                let old = pool.connect_options();
                if (old.get_host(), old.get_port(), old.get_socket())
                    != (server.get_host(), server.get_port(), server.get_socket())
                {
                    tracing::warn!(
                        host = server.get_host(),
                        port = server.get_port(),
                        "the database is at another server now"
                    );
                    pool.set_connect_options(server.clone());
                }
            }
        }))
    }
}

impl Drop for Seeker {
    fn drop(&mut self) {
        self.0.abort();
    }
}
