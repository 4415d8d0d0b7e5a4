//! Who holds a role as somebody else says it: the configuration at start, an authenticator at login.

use crate::database::Tx;
use crate::error::Result;
use crate::role::{Holder, set_flag};
use crate::store::Store;
use crate::value::{Value, params};
use hub_core::id::{GroupId, RoleId, ServiceId, UserId};
use hub_core::role::DEFAULTS;

/// All holders of one kind that a role is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    Users(Vec<UserId>),
    Groups(Vec<GroupId>),
    Services(Vec<ServiceId>),
}

/// The tables that record holders, and the column of the holder in each.
const MAPS: [(&str, &str); 3] =
    [("user_role_map", "user_id"), ("group_role_map", "group_id"), ("service_role_map", "service_id")];

impl Holders {
    fn place(&self) -> ((&'static str, &'static str), Vec<i64>) {
        let [users, groups, services] = MAPS;
        match self {
            Self::Users(ids) => (users, ids.iter().map(|id| id.0).collect()),
            Self::Groups(ids) => (groups, ids.iter().map(|id| id.0).collect()),
            Self::Services(ids) => (services, ids.iter().map(|id| id.0).collect()),
        }
    }

    fn each(&self) -> Vec<Holder> {
        match self {
            Self::Users(ids) => ids.iter().copied().map(Holder::User).collect(),
            Self::Groups(ids) => ids.iter().copied().map(Holder::Group).collect(),
            Self::Services(ids) => ids.iter().copied().map(Holder::Service).collect(),
        }
    }
}

impl Store {
    /// Makes these, and no others of their kind, the holders of a role. `managed` marks the assignments as an
    /// authenticator's. With `admin` goes the admin flag. `Missing` when the role or a holder is not there.
    pub async fn set_holders(&self, role: RoleId, holders: &Holders, managed: bool) -> Result<()> {
        let ((map, column), ids) = holders.place();
        let mut tx = self.pool.begin().await?;
        let gone = format!("DELETE FROM {map} WHERE role_id = $1 AND NOT ({column} = ANY($2))");
        tx.execute(gone, params![role, ids.clone()]).await?;
        for holder in holders.each() {
            give(&mut tx, holder, role, managed).await?;
        }
        clear_flags(&mut tx, role, holders, ids).await?;
        tx.commit().await
    }

    /// Deletes the roles of one origin that are not named; the default roles stay. Returns the names of the deleted.
    pub async fn delete_roles_but(&self, named: &[String], managed: bool) -> Result<Vec<String>> {
        let kept: Vec<String> = named.iter().cloned().chain(DEFAULTS.map(|role| role.name.to_owned())).collect();
        let sql = "DELETE FROM roles WHERE managed_by_auth = $1 AND NOT (name = ANY($2)) RETURNING name";
        let rows = self.pool.write_rows(sql, params![managed, kept]).await?;
        rows.iter().map(|row| row.get("name")).collect()
    }

    /// Takes away what an authenticator gave, but for users of the roles named. Returns how many assignments that was.
    pub async fn delete_managed_assignments(&self, but_users_of: &[String]) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        let mut count = 0;
        for (map, column) in MAPS {
            let kept = if column == "user_id" { but_users_of.to_vec() } else { Vec::new() };
            let sql = format!(
                "DELETE FROM {map} WHERE managed_by_auth = TRUE
                 AND role_id IN (SELECT id FROM roles WHERE NOT (name = ANY($1)))"
            );
            count += tx.execute(sql, params![kept]).await?;
        }
        tx.commit().await?;
        Ok(count)
    }

    /// Brings admin flags and the role `admin` together. Who holds the role gets the flag; who has the flag only gets
    /// the role, or loses the flag where the list of holders was exact.
    pub async fn balance_admins(&self, exact_users: bool, exact_services: bool) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        for (table, map, column, exact) in [
            ("users", "user_role_map", "user_id", exact_users),
            ("services", "service_role_map", "service_id", exact_services),
        ] {
            let holders =
                format!("SELECT m.{column} FROM {map} m JOIN roles r ON r.id = m.role_id WHERE r.name = 'admin'");
            let raise = format!("UPDATE {table} SET admin = TRUE WHERE admin = FALSE AND id IN ({holders})");
            tx.execute(raise, params![]).await?;
            let rest = if exact {
                format!("UPDATE {table} SET admin = FALSE WHERE admin = TRUE AND id NOT IN ({holders})")
            } else {
                format!(
                    "INSERT INTO {map} ({column}, role_id, managed_by_auth)
                     SELECT t.id, r.id, FALSE FROM {table} t CROSS JOIN roles r
                     WHERE r.name = 'admin' AND t.admin = TRUE ON CONFLICT DO NOTHING"
                )
            };
            tx.execute(rest, params![]).await?;
        }
        tx.commit().await
    }

    /// Makes these, and no others, the own roles of a user, as an authenticator says at login. Roles that only an
    /// authenticator knew and that nobody holds any more are deleted, unless they are among `configured`.
    pub async fn set_roles_of_user(&self, user: UserId, roles: &[RoleId], configured: &[String]) -> Result<()> {
        let ids: Vec<i64> = roles.iter().map(|id| id.0).collect();
        let mut tx = self.pool.begin().await?;
        let stripped = "DELETE FROM user_role_map WHERE user_id = $1 AND NOT (role_id = ANY($2)) RETURNING role_id";
        let mut left: Vec<i64> = Vec::new();
        for row in tx.rows(stripped, params![user, ids]).await? {
            let role = RoleId(row.get("role_id")?);
            set_flag(&mut tx, Holder::User(user), role, false).await?;
            left.push(role.0);
        }
        for role in roles {
            give_new(&mut tx, Holder::User(user), *role).await?;
        }
        let unused = "DELETE FROM roles WHERE id = ANY($1) AND managed_by_auth = TRUE AND NOT (name = ANY($2))
                      AND NOT EXISTS (SELECT 1 FROM user_role_map m WHERE m.role_id = roles.id)
                      AND NOT EXISTS (SELECT 1 FROM group_role_map m WHERE m.role_id = roles.id)
                      AND NOT EXISTS (SELECT 1 FROM service_role_map m WHERE m.role_id = roles.id)";
        tx.execute(unused, params![left, configured.to_vec()]).await?;
        tx.commit().await
    }
}

/// Gives a role, and marks the assignment, also one that was there, as an authenticator's if it is.
async fn give(tx: &mut Tx, holder: Holder, role: RoleId, managed: bool) -> Result<()> {
    let (map, column, id) = holder.place();
    let sql = format!(
        "INSERT INTO {map} ({column}, role_id, managed_by_auth) VALUES ($1, $2, $3)
         ON CONFLICT ({column}, role_id) DO UPDATE SET managed_by_auth = excluded.managed_by_auth"
    );
    tx.execute(sql, params![id, role, managed]).await?;
    set_flag(tx, holder, role, true).await
}

/// Gives a role in an authenticator's name. One that the holder had before stays as it was.
async fn give_new(tx: &mut Tx, holder: Holder, role: RoleId) -> Result<()> {
    let (map, column, id) = holder.place();
    let sql =
        format!("INSERT INTO {map} ({column}, role_id, managed_by_auth) VALUES ($1, $2, TRUE) ON CONFLICT DO NOTHING");
    tx.execute(sql, params![id, role]).await?;
    set_flag(tx, holder, role, true).await
}

/// Takes the admin flag from everybody of a kind but the holders, if the role is `admin`.
async fn clear_flags(tx: &mut Tx, role: RoleId, holders: &Holders, ids: Vec<i64>) -> Result<()> {
    let table = match holders {
        Holders::Users(_) => "users",
        Holders::Services(_) => "services",
        Holders::Groups(_) => return Ok(()),
    };
    let sql = format!(
        "UPDATE {table} SET admin = FALSE WHERE admin = TRUE AND NOT (id = ANY($2))
         AND EXISTS (SELECT 1 FROM roles WHERE id = $1 AND name = 'admin')"
    );
    tx.execute(sql, vec![Value::from(role), Value::from(ids)]).await.map(drop)
}
