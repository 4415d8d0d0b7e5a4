//! Where roles come from, and who holds them: for people who look at them, not for the decision of what is allowed.

use crate::error::Result;
use crate::group::by_id;
use crate::role::{Role, role};
use crate::store::Store;
use crate::value::params;
use hub_core::id::{RoleId, UserId};
use std::collections::HashMap;

/// A role in force for a user, by one of the ways it came.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldRole {
    pub role: Role,
    /// The group that brings it; none when the user has it itself.
    pub group: Option<String>,
    /// Whether the authenticator gave it, not the hub or its configuration.
    pub by_auth: bool,
}

/// Who holds a role directly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// How many users.
    pub users: i64,
    /// The names of groups.
    pub groups: Vec<String>,
    /// The names of services.
    pub services: Vec<String>,
}

impl Store {
    /// The roles in force for a user, once for each way they came: first its own, then by group.
    pub async fn role_origins(&self, user: UserId) -> Result<Vec<HeldRole>> {
        let own = "SELECT r.id, r.name, r.description, r.scopes, r.managed_by_auth, m.managed_by_auth AS by_auth
                   FROM user_role_map m JOIN roles r ON r.id = m.role_id WHERE m.user_id = $1 ORDER BY r.id";
        let by_group = "SELECT r.id, r.name, r.description, r.scopes, r.managed_by_auth, m.managed_by_auth AS by_auth,
                   g.name AS group_name FROM user_group_map u JOIN groups g ON g.id = u.group_id
                   JOIN group_role_map m ON m.group_id = g.id JOIN roles r ON r.id = m.role_id
                   WHERE u.user_id = $1 ORDER BY g.name, r.id";
        let mut found = Vec::new();
        for row in self.pool.rows(own, params![user]).await? {
            found.push(HeldRole { role: role(&row)?, group: None, by_auth: row.get("by_auth")? });
        }
        for row in self.pool.rows(by_group, params![user]).await? {
            let group = Some(row.get::<Option<String>>("group_name")?.unwrap_or_default());
            found.push(HeldRole { role: role(&row)?, group, by_auth: row.get("by_auth")? });
        }
        Ok(found)
    }

    /// Who holds each of the roles directly. Roles that nobody holds are left out.
    pub async fn holders_of_roles(&self) -> Result<HashMap<RoleId, Held>> {
        let mut found: HashMap<RoleId, Held> = HashMap::new();
        let users = "SELECT role_id AS id, COUNT(*) AS total FROM user_role_map GROUP BY role_id";
        for row in self.pool.rows(users, params![]).await? {
            found.entry(row.get("id")?).or_default().users = row.get("total")?;
        }
        let groups =
            "SELECT m.role_id AS id, g.name FROM group_role_map m JOIN groups g ON g.id = m.group_id ORDER BY g.name";
        for (id, names) in by_id(self.pool.rows(groups, params![]).await?)? {
            found.entry(id).or_default().groups = names;
        }
        let services = "SELECT m.role_id AS id, s.name FROM service_role_map m JOIN services s ON s.id = m.service_id ORDER BY s.name";
        for (id, names) in by_id(self.pool.rows(services, params![]).await?)? {
            found.entry(id).or_default().services = names;
        }
        Ok(found)
    }
}
