//! `roles`, and who holds them. What a scope means is decided elsewhere.

use crate::database::Tx;
use crate::error::Result;
use crate::group::by_id;
use crate::row::Row;
use crate::store::{Store, returned};
use crate::value::params;
use hub_core::id::{GroupId, RoleId, ServiceId, UserId};
use hub_core::role::{DEFAULTS, DefaultRole};
use std::collections::HashMap;

/// A row of `roles`.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    pub id: RoleId,
    pub name: String,
    pub description: Option<String>,
    pub scopes: Vec<String>,
    /// An authenticator made it, not the configuration.
    pub managed_by_auth: bool,
}

/// A role as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRole {
    pub name: String,
    pub description: Option<String>,
    pub scopes: Vec<String>,
    pub managed_by_auth: bool,
}

/// Whom a role is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    User(UserId),
    Group(GroupId),
    Service(ServiceId),
}

const COLUMNS: &str = "SELECT r.id, r.name, r.description, r.scopes, r.managed_by_auth FROM roles r ";

impl Store {
    /// Finds a role by name.
    pub async fn role(&self, name: &str) -> Result<Option<Role>> {
        let sql = format!("{COLUMNS} WHERE r.name = $1");
        self.pool.row(sql, params![name]).await?.as_ref().map(role).transpose()
    }

    /// Lists all roles, in the order they were made.
    pub async fn list_roles(&self) -> Result<Vec<Role>> {
        roles(self.pool.rows(format!("{COLUMNS} ORDER BY r.id"), params![]).await?)
    }

    /// Creates a role, or brings it to the given description and scopes.
    pub async fn sync_role(&self, role: &NewRole) -> Result<RoleId> {
        let sql = "INSERT INTO roles (name, description, scopes, managed_by_auth) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (name) DO UPDATE SET description = excluded.description, scopes = excluded.scopes,
                   managed_by_auth = excluded.managed_by_auth RETURNING id";
        let values = params![&role.name, role.description.as_deref(), &role.scopes, role.managed_by_auth];
        returned(self.pool.write_row(sql, values).await?, "id")
    }

    /// Deletes a role; its holders lose it.
    pub async fn delete_role(&self, id: RoleId) -> Result<bool> {
        self.changed("DELETE FROM roles WHERE id = $1", params![id]).await
    }

    /// Gives a role. With `admin` goes the admin flag of a user or service. `Missing` when one of both is not there.
    pub async fn assign_role(&self, holder: Holder, role: RoleId) -> Result<bool> {
        let (map, column, id) = holder.place();
        let mut tx = self.pool.begin().await?;
        let sql = format!(
            "INSERT INTO {map} ({column}, role_id, managed_by_auth) VALUES ($1, $2, FALSE) ON CONFLICT DO NOTHING"
        );
        let changed = tx.execute(sql, params![id, role]).await? > 0;
        set_flag(&mut tx, holder, role, true).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Takes a role away. With `admin` goes the admin flag of a user or service.
    pub async fn revoke_role(&self, holder: Holder, role: RoleId) -> Result<bool> {
        let (map, column, id) = holder.place();
        let mut tx = self.pool.begin().await?;
        let sql = format!("DELETE FROM {map} WHERE {column} = $1 AND role_id = $2");
        let changed = tx.execute(sql, params![id, role]).await? > 0;
        set_flag(&mut tx, holder, role, false).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// The roles in force for a user: its own and those of its groups, each once.
    pub async fn roles_of_user(&self, id: UserId) -> Result<Vec<Role>> {
        Ok(self.roles_of_users(&[id]).await?.remove(&id).unwrap_or_default())
    }

    /// The roles in force for each of the users: their own and those of their groups, each once.
    pub async fn roles_of_users(&self, ids: &[UserId]) -> Result<HashMap<UserId, Vec<Role>>> {
        let sql = "SELECT m.user_id AS holder, r.id, r.name, r.description, r.scopes, r.managed_by_auth
                   FROM user_role_map m JOIN roles r ON r.id = m.role_id WHERE m.user_id = ANY($1)
                   UNION
                   SELECT g.user_id AS holder, r.id, r.name, r.description, r.scopes, r.managed_by_auth
                   FROM user_group_map g JOIN group_role_map m ON m.group_id = g.group_id
                   JOIN roles r ON r.id = m.role_id WHERE g.user_id = ANY($1) ORDER BY 2";
        let mut found: HashMap<UserId, Vec<Role>> = HashMap::new();
        for row in self.pool.rows(sql, params![ids]).await? {
            found.entry(row.get("holder")?).or_default().push(role(&row)?);
        }
        Ok(found)
    }

    /// Names the roles that each of the users holds itself, without those of its groups, as JupyterHub's API shows.
    pub async fn own_roles_of_users(&self, ids: &[UserId]) -> Result<HashMap<UserId, Vec<String>>> {
        let sql = "SELECT m.user_id AS id, r.name FROM user_role_map m JOIN roles r ON r.id = m.role_id
                   WHERE m.user_id = ANY($1) ORDER BY r.id";
        by_id(self.pool.rows(sql, params![ids]).await?)
    }

    /// Names the roles of each of the groups.
    pub async fn roles_of_groups(&self, ids: &[GroupId]) -> Result<HashMap<GroupId, Vec<String>>> {
        let sql = "SELECT m.group_id AS id, r.name FROM group_role_map m JOIN roles r ON r.id = m.role_id
                   WHERE m.group_id = ANY($1) ORDER BY r.id";
        by_id(self.pool.rows(sql, params![ids]).await?)
    }

    /// The roles of a service.
    pub async fn roles_of_service(&self, id: ServiceId) -> Result<Vec<Role>> {
        let sql =
            format!("{COLUMNS} JOIN service_role_map m ON m.role_id = r.id WHERE m.service_id = $1 ORDER BY r.id");
        roles(self.pool.rows(sql, params![id]).await?)
    }

    /// Who holds a role directly.
    pub async fn holders_of_role(&self, id: RoleId) -> Result<Vec<Holder>> {
        let sql = "SELECT 1 AS kind, user_id AS id FROM user_role_map WHERE role_id = $1
                   UNION ALL SELECT 2 AS kind, group_id AS id FROM group_role_map WHERE role_id = $1
                   UNION ALL SELECT 3 AS kind, service_id AS id FROM service_role_map WHERE role_id = $1 ORDER BY 1, 2";
        let holder = |row: &Row| {
            Ok(match row.get::<i64>("kind")? {
                1 => Holder::User(row.get("id")?),
                2 => Holder::Group(row.get("id")?),
                _ => Holder::Service(row.get("id")?),
            })
        };
        self.pool.rows(sql, params![id]).await?.iter().map(holder).collect()
    }
}

impl Holder {
    /// The table that records it, the column of the holder, and its id.
    pub(crate) fn place(self) -> (&'static str, &'static str, i64) {
        match self {
            Self::User(id) => ("user_role_map", "user_id", id.0),
            Self::Group(id) => ("group_role_map", "group_id", id.0),
            Self::Service(id) => ("service_role_map", "service_id", id.0),
        }
    }
}

/// Keeps the admin flag in step with the role `admin`.
pub(crate) async fn set_flag(tx: &mut Tx, holder: Holder, role: RoleId, admin: bool) -> Result<()> {
    let (table, id) = match holder {
        Holder::User(id) => ("users", id.0),
        Holder::Service(id) => ("services", id.0),
        Holder::Group(_) => return Ok(()),
    };
    let sql = format!(
        "UPDATE {table} SET admin = $3 WHERE id = $1 AND EXISTS (SELECT 1 FROM roles WHERE id = $2 AND name = 'admin')"
    );
    tx.execute(sql, params![id, role, admin]).await.map(drop)
}

/// Gives a user the role `user`; gives or takes `admin`.
pub(crate) async fn grant_defaults(tx: &mut Tx, user: UserId, admin: bool) -> Result<()> {
    let grant = "INSERT INTO user_role_map (user_id, role_id, managed_by_auth)
                 SELECT $1, id, FALSE FROM roles WHERE name = $2 ON CONFLICT DO NOTHING";
    tx.execute(grant, params![user, "user"]).await?;
    if admin {
        tx.execute(grant, params![user, "admin"]).await?;
    } else {
        let strip = "DELETE FROM user_role_map WHERE user_id = $1
                     AND role_id IN (SELECT id FROM roles WHERE name = 'admin')";
        tx.execute(strip, params![user]).await?;
    }
    Ok(())
}

/// Creates the roles every hub has, where they are missing, and gives every user its own.
pub(crate) async fn ensure_default_roles(tx: &mut Tx) -> Result<()> {
    for DefaultRole { name, description, scopes } in DEFAULTS {
        let scopes: Vec<String> = scopes.iter().map(|scope| scope.to_string()).collect();
        let sql = "INSERT INTO roles (name, description, scopes, managed_by_auth) VALUES ($1, $2, $3, FALSE)
                   ON CONFLICT (name) DO NOTHING";
        tx.execute(sql, params![name, description, &scopes]).await?;
    }
    let sql = "INSERT INTO user_role_map (user_id, role_id, managed_by_auth)
               SELECT u.id, r.id, FALSE FROM users u CROSS JOIN roles r
               WHERE r.name = 'user' OR (r.name = 'admin' AND u.admin = TRUE) ON CONFLICT DO NOTHING";
    tx.execute(sql, params![]).await.map(drop)
}

pub(crate) fn role(row: &Row) -> Result<Role> {
    Ok(Role {
        id: row.get("id")?,
        name: row.get::<Option<String>>("name")?.unwrap_or_default(),
        description: row.get("description")?,
        scopes: row.scopes("scopes")?,
        managed_by_auth: row.get("managed_by_auth")?,
    })
}

fn roles(rows: Vec<Row>) -> Result<Vec<Role>> {
    rows.iter().map(role).collect()
}
