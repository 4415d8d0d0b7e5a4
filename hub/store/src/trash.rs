//! `specola_trash`: volumes of people who were deleted.

use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::value::{Value, params};
use hub_core::clock::Time;

/// A volume in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashedVolume {
    pub volume: String,
    /// What it is restored by, with all that was put away with it.
    pub entry: String,
    /// Who it was.
    pub user: String,
    pub deleted_at: Time,
    /// When it is removed; absent for never.
    pub remove_at: Option<Time>,
}

impl Store {
    /// Puts volumes into the trash. One that is there already stays as it is.
    pub async fn trash_volumes(&self, volumes: &[TrashedVolume]) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        for one in volumes {
            let sql = "INSERT INTO specola_trash (volume, entry, user_name, deleted_at, remove_at)
                       VALUES ($1, $2, $3, $4, $5) ON CONFLICT (volume) DO NOTHING";
            let values =
                params![one.volume.as_str(), one.entry.as_str(), one.user.as_str(), one.deleted_at, one.remove_at];
            tx.execute(sql, values).await?;
        }
        tx.commit().await
    }

    /// All volumes in the trash, the oldest first.
    pub async fn trashed_volumes(&self) -> Result<Vec<TrashedVolume>> {
        let sql = "SELECT volume, entry, user_name, deleted_at, remove_at FROM specola_trash
                   ORDER BY deleted_at, volume";
        self.pool.rows(sql, params![]).await?.iter().map(trashed).collect()
    }

    /// The entry of the trash that one of these volumes is in.
    pub async fn trash_entry_of(&self, volumes: &[String]) -> Result<Option<String>> {
        let sql = "SELECT entry FROM specola_trash WHERE volume = ANY($1) ORDER BY volume";
        let rows = self.pool.rows(sql, vec![Value::from(volumes.to_vec())]).await?;
        rows.first().map(|row| row.get("entry")).transpose()
    }

    /// Takes the volumes of an entry out of the trash; tells how many there were.
    pub async fn restore_volumes(&self, entry: &str) -> Result<u64> {
        self.pool.execute("DELETE FROM specola_trash WHERE entry = $1", params![entry]).await
    }

    /// Forgets a volume that was removed.
    pub async fn forget_volume(&self, volume: &str) -> Result<bool> {
        self.changed("DELETE FROM specola_trash WHERE volume = $1", params![volume]).await
    }
}

fn trashed(row: &Row) -> Result<TrashedVolume> {
    Ok(TrashedVolume {
        volume: row.get("volume")?,
        entry: row.get("entry")?,
        user: row.get("user_name")?,
        deleted_at: row.get("deleted_at")?,
        remove_at: row.get("remove_at")?,
    })
}
