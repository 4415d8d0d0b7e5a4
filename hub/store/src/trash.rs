//! `specola_trash`: volumes of people who were deleted, and those that people who got another name left under the old one.

use crate::error::Result;
use crate::row::Row;
use crate::store::Store;
use crate::value::{Value, params};
use hub_core::clock::Time;
use hub_core::id::UserId;

/// A volume in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashedVolume {
    pub volume: String,
    /// What it is restored by, with all that was put away with it.
    pub entry: String,
    /// Who it was.
    pub user: String,
    /// The same by number; absent for what was put there before that was noted.
    pub user_id: Option<UserId>,
    /// When they were deleted, or got another name.
    pub deleted_at: Time,
    /// When it is removed; absent for never.
    pub remove_at: Option<Time>,
}

impl Store {
    /// Notes that volumes are one person's. `Missing` when there is no such person.
    pub async fn note_volumes(&self, user: UserId, volumes: &[String]) -> Result<()> {
        let known = self.volumes_of(user).await?;
        for volume in volumes.iter().filter(|volume| !known.contains(volume)) {
            let sql = "INSERT INTO specola_volumes (user_id, volume) VALUES ($1, $2)
                       ON CONFLICT (user_id, volume) DO NOTHING";
            self.pool.execute(sql, params![user, volume.as_str()]).await?;
        }
        Ok(())
    }

    /// The volumes that were noted to be a person's, by name.
    pub async fn volumes_of(&self, user: UserId) -> Result<Vec<String>> {
        let sql = "SELECT volume FROM specola_volumes WHERE user_id = $1 ORDER BY volume";
        self.pool.rows(sql, params![user]).await?.iter().map(|row| row.get("volume")).collect()
    }

    /// Whether a volume was noted to be somebody else's.
    pub async fn is_volume_of_another(&self, user: UserId, volume: &str) -> Result<bool> {
        let sql = "SELECT volume FROM specola_volumes WHERE volume = $1 AND user_id <> $2";
        Ok(!self.pool.rows(sql, params![volume, user]).await?.is_empty())
    }

    /// Puts volumes into the trash. One that is there already stays as it is. Gives the names of the others.
    pub async fn trash_volumes(&self, volumes: &[TrashedVolume]) -> Result<Vec<String>> {
        let mut tx = self.pool.begin().await?;
        let mut put = Vec::new();
        for one in volumes {
            let sql = "INSERT INTO specola_trash (volume, entry, user_name, user_id, deleted_at, remove_at)
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (volume) DO NOTHING";
            let (volume, entry, user) = (one.volume.as_str(), one.entry.as_str(), one.user.as_str());
            let values = params![volume, entry, user, one.user_id, one.deleted_at, one.remove_at];
            if tx.execute(sql, values).await? > 0 {
                put.push(one.volume.clone());
            }
        }
        tx.commit().await?;
        Ok(put)
    }

    /// Gives a day to what a person who goes has left in the trash since their account was made: a change of name leaves
    /// it there without one. What somebody had there who had the number before is not theirs.
    pub async fn end_trash_of(&self, user: UserId, since: Time, remove_at: Option<Time>) -> Result<()> {
        let sql = "UPDATE specola_trash SET remove_at = $3 WHERE user_id = $1 AND deleted_at >= $2";
        self.pool.execute(sql, params![user, since, remove_at]).await?;
        Ok(())
    }

    /// Takes out of the trash what a person left there, since their account was made, under a name that is theirs again;
    /// tells how many volumes.
    pub async fn restore_volumes_of(&self, user: UserId, since: Time, name: &str) -> Result<u64> {
        let sql = "DELETE FROM specola_trash WHERE user_id = $1 AND deleted_at >= $2 AND user_name = $3";
        self.pool.execute(sql, params![user, since, name]).await
    }

    /// All volumes in the trash, the oldest first.
    pub async fn trashed_volumes(&self) -> Result<Vec<TrashedVolume>> {
        let sql = "SELECT volume, entry, user_name, user_id, deleted_at, remove_at FROM specola_trash
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
        user_id: row.get("user_id")?,
        deleted_at: row.get("deleted_at")?,
        remove_at: row.get("remove_at")?,
    })
}
