//! Facts about this database as a whole, by name.

use crate::database::Tx;
use crate::error::{Result, StoreError};
use crate::store::{Store, returned};
use crate::value::params;

const SELECT: &str = "SELECT value FROM specola_meta WHERE name = $1";

impl Store {
    /// The random id of this database, 32 hex digits, made once. Tells servers and caches of another one apart.
    pub async fn epoch(&self) -> Result<String> {
        let epoch = self.meta("epoch").await?;
        epoch.ok_or_else(|| StoreError::Corrupt("specola_meta has lost its epoch".to_owned()))
    }

    /// Reads a fact.
    pub async fn meta(&self, name: &str) -> Result<Option<String>> {
        self.pool.row(SELECT, params![name]).await?.map(|row| row.get("value")).transpose()
    }

    /// Writes a fact, unless there is one of this name; returns what is written there.
    pub async fn ensure_meta(&self, name: &str, value: &str) -> Result<String> {
        let sql = "INSERT INTO specola_meta (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = specola_meta.value RETURNING value";
        returned(self.pool.write_row(sql, params![name, value]).await?, "value")
    }

    /// Writes a fact.
    pub async fn set_meta(&self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO specola_meta (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.pool.execute(sql, params![name, value]).await.map(drop)
    }
}

/// Gives a new database its id. The database brings the randomness: nobody has to remember an id it never used.
pub(crate) async fn ensure_epoch(tx: &mut Tx) -> Result<()> {
    let sql = match tx {
        Tx::Sqlite(_) => {
            "INSERT INTO specola_meta (name, value) VALUES ('epoch', lower(hex(randomblob(16)))) \
                          ON CONFLICT DO NOTHING"
        }
        Tx::Postgres(_) => {
            "INSERT INTO specola_meta (name, value) VALUES \
                            ('epoch', replace(CAST(gen_random_uuid() AS text), '-', '')) ON CONFLICT DO NOTHING"
        }
    };
    tx.execute(sql, params![]).await.map(drop)
}
