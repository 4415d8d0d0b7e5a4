//! What servers take of quotas, counted in the transaction that writes the intent.
//!
//! A reservation is a row beside the server's, and counts for as long as the server runs, starts, stops or is wanted. So
//! it is released by what confirms the stop, whichever way the server ended.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::server::ACTIVE;
use crate::store::Store;
use crate::value::params;
use hub_core::id::{SpawnerId, UserId};
use hub_core::policy::{Amounts, Charge, Dimension};

/// What one server takes, and the quotas it counts against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservation {
    /// Thousandths of a core, bytes, GPUs.
    pub takes: Amounts,
    /// The quotas. All of them have to have it left.
    pub charges: Vec<Charge>,
}

/// A quota that does not have enough left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Whose quota; the person's own without a group.
    pub group: Option<String>,
    /// What there is too little of.
    pub dimension: Dimension,
    /// The quota.
    pub most: u64,
    /// What others take of it.
    pub used: u64,
    /// What this server would take.
    pub takes: u64,
}

/// Writes what a server takes, unless a quota has too little left. Without a reservation the server takes nothing.
pub(crate) async fn reserve(tx: &mut Tx, id: SpawnerId, wanted: Option<&Reservation>) -> Result<Option<Over>> {
    tx.execute("DELETE FROM specola_reservations WHERE spawner_id = $1", params![id]).await?;
    let Some(Reservation { takes, charges }) = wanted else { return Ok(None) };
    for charge in charges {
        if !charge.quota.is_empty() {
            let used = match &charge.group {
                Some(group) => of_group(tx, group).await?,
                None => of_owner(tx, id).await?,
            };
            if let Some(over) = over(charge, &used, takes) {
                return Ok(Some(over));
            }
        }
    }
    let mut charged_to: Vec<&str> = charges.iter().map(|charge| charge.group.as_deref().unwrap_or_default()).collect();
    charged_to.sort_unstable();
    charged_to.dedup();
    for charged_to in charged_to {
        let sql = "INSERT INTO specola_reservations (spawner_id, charged_to, cpu, memory, gpu)
                   VALUES ($1, $2, $3, $4, $5)";
        let amount = |dimension| i64::try_from(takes.get(dimension).unwrap_or(0)).unwrap_or(i64::MAX);
        let (cpu, memory, gpu) = (amount(Dimension::Cpu), amount(Dimension::Memory), amount(Dimension::Gpu));
        tx.execute(sql, params![id, charged_to, cpu, memory, gpu]).await?;
    }
    Ok(None)
}

/// The first dimension of which a quota has too little left.
fn over(charge: &Charge, used: &Amounts, takes: &Amounts) -> Option<Over> {
    Dimension::ALL.into_iter().find_map(|dimension| {
        let most = charge.quota.get(dimension)?;
        let takes = match dimension {
            Dimension::Servers => 1,
            _ => takes.get(dimension).unwrap_or(0),
        };
        let used = used.get(dimension).unwrap_or(0);
        // What takes nothing of it is not in the way of what does.
        let over = takes > 0 && used.saturating_add(takes) > most;
        over.then(|| Over { group: charge.group.clone(), dimension, most, used, takes })
    })
}

/// Sums that PostgreSQL would otherwise make numbers of another kind.
const SUMS: &str = "COUNT(*) AS servers, CAST(COALESCE(SUM(r.cpu), 0) AS BIGINT) AS cpu,
    CAST(COALESCE(SUM(r.memory), 0) AS BIGINT) AS memory, CAST(COALESCE(SUM(r.gpu), 0) AS BIGINT) AS gpu";

/// What all servers of a person take. One that JupyterHub started counts as a server of no size.
fn sql_of_person(condition: &str) -> String {
    format!(
        "SELECT {SUMS} FROM spawners s LEFT JOIN specola_reservations r ON r.spawner_id = s.id AND r.charged_to = ''
         WHERE {condition} AND s.id IN ({ACTIVE})"
    )
}

fn sql_of_group() -> String {
    format!("SELECT {SUMS} FROM specola_reservations r WHERE r.charged_to = $1 AND r.spawner_id IN ({ACTIVE})")
}

async fn of_owner(tx: &mut Tx, id: SpawnerId) -> Result<Amounts> {
    let sql = sql_of_person("s.user_id = (SELECT o.user_id FROM spawners o WHERE o.id = $1) AND s.id <> $1");
    amounts(tx.row(sql, params![id]).await?)
}

async fn of_group(tx: &mut Tx, group: &str) -> Result<Amounts> {
    amounts(tx.row(sql_of_group(), params![group]).await?)
}

fn amounts(row: Option<Row>) -> Result<Amounts> {
    let Some(row) = row else { return Ok(Amounts::default()) };
    let amount = |column| row.get::<i64>(column).map(|number| Some(u64::try_from(number).unwrap_or(0)));
    Ok(Amounts { servers: amount("servers")?, cpu: amount("cpu")?, memory: amount("memory")?, gpu: amount("gpu")? })
}

impl Store {
    /// What all servers of a person take at present, those that stop included.
    pub async fn taken_by(&self, user: UserId) -> Result<Amounts> {
        amounts(self.pool.row(sql_of_person("s.user_id = $1"), params![user]).await?)
    }

    /// What all servers that are charged to a group take at present, those that stop included.
    pub async fn taken_of_group(&self, group: &str) -> Result<Amounts> {
        amounts(self.pool.row(sql_of_group(), params![group]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_full_when_the_sum_is_more_than_it() {
        let quota = Amounts { servers: Some(2), cpu: Some(4000), memory: None, gpu: Some(0) };
        let charge = Charge { group: Some("g".into()), quota };
        let used = |servers, cpu| Amounts { servers: Some(servers), cpu: Some(cpu), ..Amounts::default() };
        let takes = |cpu, gpu| Amounts { cpu: Some(cpu), gpu: Some(gpu), ..Amounts::default() };
        let table = [
            (used(0, 0), takes(4000, 0), None),
            (used(1, 2000), takes(2000, 0), None),
            (used(1, 2000), takes(2001, 0), Some(Dimension::Cpu)),
            (used(2, 0), takes(0, 0), Some(Dimension::Servers)),
            (used(0, 9000), takes(0, 0), None),
            (used(0, 0), takes(1, 1), Some(Dimension::Gpu)),
        ];
        for (used, takes, dimension) in table {
            assert_eq!(over(&charge, &used, &takes).map(|over| over.dimension), dimension, "{used:?} {takes:?}");
        }
    }
}
