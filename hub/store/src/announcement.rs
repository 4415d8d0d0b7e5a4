//! `specola_announcements`: what operators tell people on top of pages.

use crate::error::{Result, StoreError};
use crate::row::Row;
use crate::store::{Store, returned};
use crate::value::{Value, params};
use hub_core::announcement::{Announcement, Severity};
use hub_core::clock::Time;

/// A stored announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnnouncement {
    pub id: i64,
    /// Of the one that has a fixed place, such as the address of JupyterHub's example service.
    pub name: Option<String>,
    pub announcement: Announcement,
    /// Who wrote it last.
    pub author: String,
    pub changed_at: Time,
}

/// More than these are not kept; nobody reads so many.
const MOST: i64 = 200;

const COLUMNS: &str = "SELECT id, name, text, severity, from_at, until_at, pages, groups, author, changed_at
    FROM specola_announcements ";

impl Store {
    /// All announcements, the oldest first.
    pub async fn list_announcements(&self) -> Result<Vec<StoredAnnouncement>> {
        let rows = self.pool.rows(format!("{COLUMNS}ORDER BY id"), params![]).await?;
        rows.iter().map(stored).collect()
    }

    /// Finds an announcement by its id.
    pub async fn announcement(&self, id: i64) -> Result<Option<StoredAnnouncement>> {
        let rows = self.pool.rows(format!("{COLUMNS}WHERE id = $1"), params![id]).await?;
        rows.first().map(stored).transpose()
    }

    /// Adds an announcement; returns its id. `None` when there are too many already.
    pub async fn add_announcement(&self, new: &Announcement, author: &str, now: Time) -> Result<Option<i64>> {
        let mut tx = self.pool.begin().await?;
        let row = tx.row("SELECT COUNT(*) AS total FROM specola_announcements", params![]).await?;
        if returned::<i64>(row, "total")? >= MOST {
            return Ok(None);
        }
        let sql = "INSERT INTO specola_announcements
                   (text, severity, from_at, until_at, pages, groups, author, changed_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
        let id = returned(tx.row(sql, values(new, author, now)).await?, "id")?;
        tx.commit().await?;
        Ok(Some(id))
    }

    /// Replaces an announcement; tells whether there was one.
    pub async fn set_announcement(&self, id: i64, new: &Announcement, author: &str, now: Time) -> Result<bool> {
        let sql = "UPDATE specola_announcements SET text = $1, severity = $2, from_at = $3, until_at = $4, pages = $5,
                   groups = $6, author = $7, changed_at = $8 WHERE id = $9";
        let mut values = values(new, author, now);
        values.push(id.into());
        self.changed(sql, values).await
    }

    /// Writes the announcement of a name, new or in place of what it was.
    pub async fn put_announcement(&self, name: &str, new: &Announcement, author: &str, now: Time) -> Result<()> {
        let sql = "INSERT INTO specola_announcements
                   (text, severity, from_at, until_at, pages, groups, author, changed_at, name)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                   ON CONFLICT (name) DO UPDATE SET text = excluded.text, severity = excluded.severity,
                   from_at = excluded.from_at, until_at = excluded.until_at, pages = excluded.pages,
                   groups = excluded.groups, author = excluded.author, changed_at = excluded.changed_at";
        let mut values = values(new, author, now);
        values.push(name.into());
        self.pool.execute(sql, values).await.map(drop)
    }

    /// Deletes an announcement; tells whether there was one.
    pub async fn delete_announcement(&self, id: i64) -> Result<bool> {
        self.changed("DELETE FROM specola_announcements WHERE id = $1", params![id]).await
    }

    /// Deletes the announcement of a name; tells whether there was one.
    pub async fn delete_named_announcement(&self, name: &str) -> Result<bool> {
        self.changed("DELETE FROM specola_announcements WHERE name = $1", params![name]).await
    }

    /// Deletes announcements that ended before an instant; returns how many.
    pub async fn purge_announcements(&self, before: Time) -> Result<u64> {
        self.pool.execute("DELETE FROM specola_announcements WHERE until_at < $1", params![before]).await
    }
}

fn values(new: &Announcement, author: &str, now: Time) -> Vec<Value> {
    let severity = new.severity.as_str();
    params![&new.text, severity, new.from, new.until, &new.pages, &new.groups, author, now]
}

fn stored(row: &Row) -> Result<StoredAnnouncement> {
    let severity: String = row.get("severity")?;
    let corrupt = || StoreError::Corrupt(format!("an announcement has the severity {severity:?}"));
    let announcement = Announcement {
        severity: Severity::from_name(&severity).ok_or_else(corrupt)?,
        text: row.get("text")?,
        from: row.get("from_at")?,
        until: row.get("until_at")?,
        pages: list(row, "pages")?,
        groups: list(row, "groups")?,
    };
    let (id, name, author) = (row.get("id")?, row.get("name")?, row.get("author")?);
    Ok(StoredAnnouncement { id, name, announcement, author, changed_at: row.get("changed_at")? })
}

fn list(row: &Row, column: &'static str) -> Result<Vec<String>> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| StoreError::Corrupt(format!("the {column} of an announcement are no list")))
}
