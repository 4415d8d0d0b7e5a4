//! Groups and members as pages show them: in parts, and counted.

use crate::error::Result;
use crate::group::Group;
use crate::store::{Store, returned};
use crate::user::Page;
use crate::value::params;
use hub_core::id::{GroupId, UserId};
use std::collections::HashMap;

impl Store {
    /// A part of the members of a group, in order of name, with the number of all.
    pub async fn list_members(&self, group: GroupId, offset: u32, limit: u32) -> Result<Page<(UserId, String)>> {
        let sql = "SELECT COUNT(*) AS total FROM user_group_map WHERE group_id = $1";
        let total = returned(self.pool.row(sql, params![group]).await?, "total")?;
        let sql = "SELECT u.id, u.name FROM user_group_map m JOIN users u ON u.id = m.user_id
                   WHERE m.group_id = $1 ORDER BY u.name, u.id LIMIT $2 OFFSET $3";
        let rows = self.pool.rows(sql, params![group, limit, offset]).await?;
        let items = rows.iter().map(|row| Ok((row.get("id")?, row.get("name")?))).collect::<Result<_>>()?;
        Ok(Page { items, total })
    }

    /// How many members each of the groups has. Those without any are left out.
    pub async fn count_members(&self, groups: &[GroupId]) -> Result<HashMap<GroupId, i64>> {
        let sql = "SELECT group_id AS id, COUNT(*) AS total FROM user_group_map WHERE group_id = ANY($1)
                   GROUP BY group_id";
        let rows = self.pool.rows(sql, params![groups]).await?;
        rows.iter().map(|row| Ok((row.get("id")?, row.get("total")?))).collect()
    }

    /// A part of the groups in order of name, with the number of all: those of these names, or all there are.
    pub async fn groups_by_name(&self, only: Option<&[String]>, offset: u32, limit: u32) -> Result<Page<Group>> {
        let (condition, values) = match only {
            Some(names) => ("name = ANY($3)", params![limit, offset, names.to_vec()]),
            None => ("1 = 1", params![limit, offset]),
        };
        let count = match only {
            Some(names) => ("SELECT COUNT(*) AS total FROM groups WHERE name = ANY($1)", params![names.to_vec()]),
            None => ("SELECT COUNT(*) AS total FROM groups", params![]),
        };
        let total = returned(self.pool.row(count.0, count.1).await?, "total")?;
        let sql =
            format!("SELECT id, name, properties FROM groups WHERE {condition} ORDER BY name, id LIMIT $1 OFFSET $2");
        let rows = self.pool.rows(sql, values).await?;
        Ok(Page { items: rows.iter().map(crate::group::group).collect::<Result<_>>()?, total })
    }
}
