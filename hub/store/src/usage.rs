//! Usage over time: how much ran at each look, by group.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::value::params;
use hub_core::clock::Time;
use std::collections::HashMap;

/// Whose part of the usage it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageOf {
    /// People of one group.
    Group(String),
    /// People of groups that are too small to be told apart.
    Others,
    /// People in no group.
    Nobody,
}

/// What servers take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub servers: i64,
    /// Thousandths of a core.
    pub millicores: i64,
    /// Bytes.
    pub memory: i64,
    pub gpus: i64,
}

/// The part of one group in one span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// When the span begins.
    pub at: Time,
    pub of: UsageOf,
    /// All looks of the span together.
    pub sum: Usage,
    /// How many looks there were in the span, also those that did not find the group: what the sum is divided by.
    pub looks: i64,
    /// The most at any look; each kind for itself.
    pub most: Usage,
}

impl Store {
    /// Records one look. A second one of the same second replaces it.
    pub async fn record_usage(&self, at: Time, found: &[(UsageOf, Usage)]) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        tx.execute("DELETE FROM specola_usage WHERE at = $1", params![at.timestamp()]).await?;
        if found.is_empty() {
            insert(&mut tx, at, &UsageOf::Nobody, &Usage::default()).await?;
        }
        for (of, usage) in found {
            insert(&mut tx, at, of, usage).await?;
        }
        tx.commit().await
    }

    /// The looks since an instant, gathered in spans of so many seconds (at least one), by span and group.
    pub async fn usage(&self, since: Time, span: u32) -> Result<Vec<Share>> {
        let span = i64::from(span.max(1));
        let looks = "SELECT at / $2 AS span, COUNT(DISTINCT at) AS looks FROM specola_usage WHERE at >= $1 GROUP BY 1";
        let rows = self.pool.rows(looks, params![since.timestamp(), span]).await?;
        let pair = |row: &Row| Ok((row.get("span")?, row.get("looks")?));
        let looks: HashMap<i64, i64> = rows.iter().map(pair).collect::<Result<_>>()?;
        let sql = "SELECT at / $2 AS span, kind, name,
                CAST(SUM(servers) AS BIGINT) AS servers, CAST(SUM(millicores) AS BIGINT) AS millicores,
                CAST(SUM(memory) AS BIGINT) AS memory, CAST(SUM(gpus) AS BIGINT) AS gpus,
                MAX(servers) AS most_servers, MAX(millicores) AS most_millicores, MAX(memory) AS most_memory,
                MAX(gpus) AS most_gpus
            FROM specola_usage WHERE at >= $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
        let rows = self.pool.rows(sql, params![since.timestamp(), span]).await?;
        rows.iter().map(|row| share(row, span, &looks)).collect()
    }

    /// Deletes looks from before an instant; returns how many rows went.
    pub async fn purge_usage(&self, before: Time) -> Result<u64> {
        self.pool.patient().execute("DELETE FROM specola_usage WHERE at < $1", params![before.timestamp()]).await
    }
}

async fn insert(tx: &mut Tx, at: Time, of: &UsageOf, usage: &Usage) -> Result<()> {
    let (kind, name) = match of {
        UsageOf::Group(name) => ("group", name.as_str()),
        UsageOf::Others => ("others", ""),
        UsageOf::Nobody => ("none", ""),
    };
    let sql = "INSERT INTO specola_usage (at, kind, name, servers, millicores, memory, gpus)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let Usage { servers, millicores, memory, gpus } = *usage;
    tx.execute(sql, params![at.timestamp(), kind, name, servers, millicores, memory, gpus]).await.map(drop)
}

fn share(row: &Row, span: i64, looks: &HashMap<i64, i64>) -> Result<Share> {
    let number: i64 = row.get("span")?;
    // A look that came between the two questions is in the sums already.
    let looks = looks.get(&number).copied().unwrap_or(1).max(1);
    let of = match row.get::<String>("kind")?.as_str() {
        "group" => UsageOf::Group(row.get("name")?),
        "others" => UsageOf::Others,
        _ => UsageOf::Nobody,
    };
    Ok(Share {
        at: Time::from_timestamp(number.saturating_mul(span), 0).unwrap_or_default(),
        of,
        sum: Usage {
            servers: row.get("servers")?,
            millicores: row.get("millicores")?,
            memory: row.get("memory")?,
            gpus: row.get("gpus")?,
        },
        looks,
        most: Usage {
            servers: row.get("most_servers")?,
            millicores: row.get("most_millicores")?,
            memory: row.get("most_memory")?,
            gpus: row.get("most_gpus")?,
        },
    })
}
