//! `groups` and who is in them.

use crate::database::Tx;
use crate::error::Result;
use crate::row::Row;
use crate::store::{Store, returned};
use crate::user::{Page, page_limit};
use crate::value::{Value, params};
use hub_core::id::{GroupId, UserId};
use std::collections::HashMap;

/// A row of `groups`.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub id: GroupId,
    pub name: String,
    /// A JSON object; empty when nothing was set.
    pub properties: serde_json::Value,
}

/// Which groups to list, by name.
#[derive(Debug, Clone, Default)]
pub struct GroupQuery {
    pub offset: u32,
    /// `None` for all.
    pub limit: Option<u32>,
    /// Only those that the asker may see.
    pub only: Option<Vec<String>>,
}

impl Store {
    /// Finds a group by name.
    pub async fn group(&self, name: &str) -> Result<Option<Group>> {
        let sql = "SELECT id, name, properties FROM groups WHERE name = $1";
        self.pool.row(sql, params![name]).await?.as_ref().map(group).transpose()
    }

    /// Creates an empty group. `Conflict` when the name is taken.
    pub async fn create_group(&self, name: &str, properties: &serde_json::Value) -> Result<Group> {
        let sql = "INSERT INTO groups (name, properties) VALUES ($1, $2) RETURNING id, name, properties";
        let row = self.pool.write_row(sql, params![name, properties]).await?;
        Ok(Group { id: returned(row, "id")?, name: name.to_owned(), properties: properties.clone() })
    }

    /// Creates groups with these members, all or none. `Conflict` when a name is taken, `Missing` when a user is gone.
    pub async fn create_groups(&self, names: &[String], members: &[UserId]) -> Result<Vec<Group>> {
        let mut tx = self.pool.begin().await?;
        let mut groups = Vec::new();
        // In the order of names: two who make the same groups at once would otherwise wait for each other.
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        for name in sorted {
            let sql = "INSERT INTO groups (name, properties) VALUES ($1, '{}') RETURNING id, name, properties";
            let row = tx.row(sql, params![name]).await?;
            let made = Group { id: returned(row, "id")?, name: name.clone(), properties: serde_json::json!({}) };
            for user in members {
                add(&mut tx, *user, made.id).await?;
            }
            groups.push(made);
        }
        tx.commit().await?;
        groups.sort_by_key(|group| names.iter().position(|name| *name == group.name));
        Ok(groups)
    }

    /// Deletes a group; its members stay.
    pub async fn delete_group(&self, id: GroupId) -> Result<bool> {
        self.changed("DELETE FROM groups WHERE id = $1", params![id]).await
    }

    /// Replaces the properties of a group.
    pub async fn set_group_properties(&self, id: GroupId, properties: &serde_json::Value) -> Result<bool> {
        self.changed("UPDATE groups SET properties = $2 WHERE id = $1", params![id, properties]).await
    }

    /// Lists groups in the order they were made, with the number of all that match.
    pub async fn list_groups(&self, query: &GroupQuery) -> Result<Page<Group>> {
        let (condition, mut values) = match &query.only {
            Some(names) => ("name = ANY($1)", params![names.clone()]),
            None => ("1 = 1", params![]),
        };
        let total = self.pool.row(format!("SELECT COUNT(*) AS total FROM groups WHERE {condition}"), values.clone());
        let total = total.await?;
        values.extend([page_limit(query.limit), Value::from(query.offset)]);
        let (limit, offset) = (values.len() - 1, values.len());
        let sql = format!(
            "SELECT id, name, properties FROM groups WHERE {condition} ORDER BY id LIMIT ${limit} OFFSET ${offset}"
        );
        let items = self.pool.rows(sql, values).await?.iter().map(group).collect::<Result<_>>()?;
        Ok(Page { items, total: total.map_or(Ok(0), |row| row.get("total"))? })
    }

    /// Names the members of each of the groups, in order of name.
    pub async fn members_of(&self, groups: &[GroupId]) -> Result<HashMap<GroupId, Vec<String>>> {
        let sql = "SELECT m.group_id AS id, u.name FROM user_group_map m JOIN users u ON u.id = m.user_id
                   WHERE m.group_id = ANY($1) ORDER BY u.name";
        by_id(self.pool.rows(sql, params![groups]).await?)
    }

    /// Names the groups of a user, in order of name.
    pub async fn groups_of(&self, user: UserId) -> Result<Vec<String>> {
        Ok(self.groups_of_users(&[user]).await?.remove(&user).unwrap_or_default())
    }

    /// Names the groups of each of the users, in order of name. Users without a group are left out.
    pub async fn groups_of_users(&self, users: &[UserId]) -> Result<HashMap<UserId, Vec<String>>> {
        let sql = "SELECT m.user_id AS id, g.name FROM user_group_map m JOIN groups g ON g.id = m.group_id
                   WHERE m.user_id = ANY($1) ORDER BY g.name";
        by_id(self.pool.rows(sql, params![users]).await?)
    }

    /// Adds users to a group; those already in it stay. `Missing` when the group or a user does not exist.
    pub async fn add_members(&self, group: GroupId, users: &[UserId]) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        for user in users {
            add(&mut tx, *user, group).await?;
        }
        tx.commit().await
    }

    /// Takes users out of a group; returns how many were in it.
    pub async fn remove_members(&self, group: GroupId, users: &[UserId]) -> Result<u64> {
        let sql = "DELETE FROM user_group_map WHERE group_id = $1 AND user_id = ANY($2)";
        self.pool.execute(sql, params![group, users]).await
    }

    /// Makes these, and no others, the groups of a user; those that do not exist yet are created.
    pub async fn set_groups(&self, user: UserId, names: &[String]) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        let sql = "DELETE FROM user_group_map WHERE user_id = $1
                   AND group_id IN (SELECT id FROM groups WHERE NOT (name = ANY($2)))";
        tx.execute(sql, params![user, names.to_vec()]).await?;
        for name in names {
            let sql = "INSERT INTO groups (name, properties) VALUES ($1, '{}') ON CONFLICT (name) DO NOTHING";
            tx.execute(sql, params![name]).await?;
            let row = tx.row("SELECT id FROM groups WHERE name = $1", params![name]).await?;
            add(&mut tx, user, returned(row, "id")?).await?;
        }
        tx.commit().await
    }
}

async fn add(tx: &mut Tx, user: UserId, group: GroupId) -> Result<()> {
    let sql = "INSERT INTO user_group_map (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.execute(sql, params![user, group]).await.map(drop)
}

pub(crate) fn group(row: &Row) -> Result<Group> {
    let properties = row.json("properties")?;
    Ok(Group {
        id: row.get("id")?,
        name: row.get::<Option<String>>("name")?.unwrap_or_default(),
        properties: if properties.is_null() { serde_json::json!({}) } else { properties },
    })
}

/// Gathers the names of rows by the id beside them.
pub(crate) fn by_id<T: crate::row::FromCell + std::hash::Hash + Eq>(rows: Vec<Row>) -> Result<HashMap<T, Vec<String>>> {
    let mut gathered: HashMap<T, Vec<String>> = HashMap::new();
    for row in rows {
        let name = row.get::<Option<String>>("name")?.unwrap_or_default();
        gathered.entry(row.get("id")?).or_default().push(name);
    }
    Ok(gathered)
}
