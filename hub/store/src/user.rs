//! `users`: people, and the lists of them that the API and the admin panel show.

use crate::database::Sql;
use crate::error::Result;
use crate::role;
use crate::row::Row;
use crate::server::ACTIVE;
use crate::store::Store;
use crate::upstream_other;
use crate::value::{Value, params};
use hub_core::clock::Time;
use hub_core::id::UserId;

/// A row of `users`.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub admin: bool,
    pub created: Option<Time>,
    pub last_activity: Option<Time>,
    /// Signed into the log-in cookie; a new one ends every session of the user.
    pub cookie_id: String,
    /// What the authenticator tells the user's servers; null when there is nothing.
    pub user_info: serde_json::Value,
}

/// A part of a list, with the length of the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many there are over all pages.
    pub total: i64,
}

/// Which users to list.
#[derive(Debug, Clone, Default)]
pub struct UserQuery {
    pub state: Option<UserState>,
    /// A part of the name, in any case.
    pub name_filter: Option<String>,
    pub sort: Sort,
    pub offset: u32,
    /// `None` for all.
    pub limit: Option<u32>,
    /// Only those that the asker may see.
    pub only: Option<Only>,
    /// Only administrators.
    pub admins: bool,
    /// Only members of the group of this name.
    pub group: Option<String>,
    /// Only those with a ready server that was not used since then.
    pub idle_since: Option<Time>,
    /// Only those with a server whose last start or run failed.
    pub failed: bool,
}

/// Whether a user has servers in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserState {
    /// At least one server runs, starts or stops.
    Active,
    /// None does.
    Inactive,
    /// At least one is ready.
    Ready,
}

/// The order of a list of users. Those without a value come first in ascending, last in descending order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    pub key: SortKey,
    pub descending: bool,
}

/// What a list of users is ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortKey {
    #[default]
    Id,
    Name,
    LastActivity,
    Created,
}

/// Users named, or in one of the groups named.
#[derive(Debug, Clone, Default)]
pub struct Only {
    pub users: Vec<String>,
    pub groups: Vec<String>,
}

const COLUMNS: &str =
    "SELECT id, name, COALESCE(admin, FALSE) AS admin, created, last_activity, cookie_id, user_info FROM users ";

pub(crate) const TOUCH: &str = "UPDATE users SET last_activity = $2
                                WHERE id = $1 AND (last_activity IS NULL OR last_activity < $2)";

impl Store {
    /// Finds a user by name.
    pub async fn user(&self, name: &str) -> Result<Option<User>> {
        self.one_user("WHERE name = $1", params![name]).await
    }

    /// Finds users by their names, in order of name. Names of nobody are passed over.
    pub async fn users_named(&self, names: &[String]) -> Result<Vec<User>> {
        let sql = format!("{COLUMNS}WHERE name = ANY($1) ORDER BY name");
        self.pool.rows(sql, params![names.to_vec()]).await?.iter().map(user).collect()
    }

    /// Finds a user by id.
    pub async fn user_by_id(&self, id: UserId) -> Result<Option<User>> {
        self.one_user("WHERE id = $1", params![id]).await
    }

    /// Finds the user that a log-in cookie names.
    pub async fn user_by_cookie_id(&self, cookie_id: &str) -> Result<Option<User>> {
        self.one_user("WHERE cookie_id = $1", params![cookie_id]).await
    }

    async fn one_user(&self, condition: &'static str, params: Vec<Value>) -> Result<Option<User>> {
        self.pool.row(format!("{COLUMNS}{condition}"), params).await?.as_ref().map(user).transpose()
    }

    /// Creates a user with the role `user`, and `admin` where it applies. `cookie_id` is 32 random hex digits.
    /// `Conflict` when the name is taken.
    pub async fn create_user(&self, name: &str, admin: bool, cookie_id: &str, now: Time) -> Result<User> {
        let mut tx = self.pool.begin().await?;
        let sql = "INSERT INTO users (name, admin, created, cookie_id) VALUES ($1, $2, $3, $4) RETURNING id";
        let row = tx.row(sql, params![name, admin, now, cookie_id]).await?;
        let id = crate::store::returned(row, "id")?;
        role::grant_defaults(&mut tx, id, admin).await?;
        tx.commit().await?;
        Ok(User {
            id,
            name: name.to_owned(),
            admin,
            created: Some(now),
            last_activity: None,
            cookie_id: cookie_id.to_owned(),
            user_info: serde_json::Value::Null,
        })
    }

    /// Gives a user another name, and forgets which volumes were noted to be theirs under the old one. False when there is no
    /// such user, or one of their servers is not stopped. `Conflict` when the name is taken.
    pub async fn rename_user(&self, id: UserId, name: &str) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let sql = format!(
            "UPDATE users SET name = $2 WHERE id = $1
                AND NOT EXISTS (SELECT 1 FROM spawners WHERE user_id = $1 AND id IN ({ACTIVE}))"
        );
        let renamed = tx.execute(sql, params![id, name]).await? > 0;
        if renamed {
            tx.execute("DELETE FROM specola_volumes WHERE user_id = $1", params![id]).await?;
        }
        tx.commit().await?;
        Ok(renamed)
    }

    /// Sets the admin flag, and the role `admin` with it.
    pub async fn set_admin(&self, id: UserId, admin: bool) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let changed = tx.execute("UPDATE users SET admin = $2 WHERE id = $1", params![id, admin]).await? > 0;
        if changed {
            role::grant_defaults(&mut tx, id, admin).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Records what the authenticator tells the user's servers.
    pub async fn set_user_info(&self, id: UserId, info: &serde_json::Value) -> Result<bool> {
        let info = Some(info).filter(|info| !info.is_null());
        self.changed("UPDATE users SET user_info = $2 WHERE id = $1", params![id, info]).await
    }

    /// Ends every session: cookies carry the old id.
    pub async fn set_cookie_id(&self, id: UserId, cookie_id: &str) -> Result<bool> {
        self.changed("UPDATE users SET cookie_id = $2 WHERE id = $1", params![id, cookie_id]).await
    }

    /// Reads the authenticator's state of a user, encrypted as JupyterHub does.
    pub async fn auth_state(&self, id: UserId) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT encrypted_auth_state FROM users WHERE id = $1";
        let row = self.pool.row(sql, params![id]).await?;
        Ok(row.map(|row| row.get("encrypted_auth_state")).transpose()?.flatten())
    }

    /// Reads the states of several users at once; of who has none, nothing.
    pub async fn auth_states_of(&self, ids: &[UserId]) -> Result<Vec<(UserId, Vec<u8>)>> {
        let sql = "SELECT id, encrypted_auth_state FROM users WHERE id = ANY($1) AND encrypted_auth_state IS NOT NULL";
        let rows = self.pool.rows(sql, params![ids]).await?;
        rows.iter().map(|row| Ok((row.get("id")?, row.get("encrypted_auth_state")?))).collect()
    }

    /// Writes the authenticator's state of a user at a login, encrypted by the caller. What belonged to the login before
    /// goes.
    pub async fn set_auth_state(&self, id: UserId, encrypted: Option<&[u8]>) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE users SET encrypted_auth_state = $2 WHERE id = $1";
        let changed = tx.execute(sql, params![id, encrypted]).await? > 0;
        upstream_other::forget(&mut tx, id).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Writes another encryption of the authenticator's state, unless somebody wrote a state meanwhile.
    pub async fn replace_auth_state(&self, id: UserId, before: &[u8], after: &[u8]) -> Result<bool> {
        let sql = "UPDATE users SET encrypted_auth_state = $3 WHERE id = $1 AND encrypted_auth_state = $2";
        self.changed(sql, params![id, before, after]).await
    }

    /// Deletes a user with all rows that belong to it. Its servers must be gone from the world before.
    pub async fn delete_user(&self, id: UserId) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        // These do not hang on the user by a foreign key: what a server leaves would never be found again.
        let of_user = "SELECT oauth_client_id FROM spawners WHERE user_id = $1 AND oauth_client_id IS NOT NULL";
        tx.execute(format!("DELETE FROM oauth_clients WHERE identifier IN ({of_user})"), params![id]).await?;
        let of_user = "SELECT server_id FROM spawners WHERE user_id = $1 AND server_id IS NOT NULL";
        tx.execute(format!("DELETE FROM servers WHERE id IN ({of_user})"), params![id]).await?;
        let deleted = tx.execute("DELETE FROM users WHERE id = $1", params![id]).await? > 0;
        tx.commit().await?;
        Ok(deleted)
    }

    /// Records that a user did something; only ever moves forward.
    pub async fn touch_user(&self, id: UserId, at: Time) -> Result<bool> {
        self.changed(TOUCH, params![id, at]).await
    }

    /// Lists users, with the number of all that match.
    pub async fn list_users(&self, query: &UserQuery) -> Result<Page<User>> {
        let Listing { count, sql, condition, values } = listing(query);
        let total = self.pool.row(count, condition).await?;
        let items = self.pool.rows(sql, values).await?.iter().map(user).collect::<Result<_>>()?;
        Ok(Page { items, total: total.map_or(Ok(0), |row| row.get("total"))? })
    }

    /// Runs a statement and tells whether it changed a row.
    pub(crate) async fn changed(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<bool> {
        Ok(self.pool.execute(sql, params).await? > 0)
    }
}

/// The two statements of a list, with their arguments.
struct Listing {
    count: String,
    condition: Vec<Value>,
    sql: String,
    values: Vec<Value>,
}

fn listing(query: &UserQuery) -> Listing {
    let (condition, arguments) = condition(query);
    // Without a condition SQLite counts the entries of an index and looks into none.
    let count = format!("SELECT COUNT(*) AS total FROM users u {condition}");
    let mut values = arguments.clone();
    values.push(page_limit(query.limit));
    values.push(query.offset.into());
    let (limit, offset) = (values.len() - 1, values.len());
    let order = order(query.sort);
    // Only the ids are skipped over on the way to a late page, not the rows.
    let sql = format!(
        "{COLUMNS}u WHERE u.id IN (SELECT u.id FROM users u {condition} ORDER BY {order}
         LIMIT ${limit} OFFSET ${offset}) ORDER BY {order}"
    );
    Listing { count, condition: arguments, sql, values }
}

/// SQLite knows no OFFSET without a LIMIT: no limit is a very high one.
pub(crate) fn page_limit(limit: Option<u32>) -> Value {
    limit.map_or(i64::MAX, i64::from).into()
}

pub(crate) fn user(row: &Row) -> Result<User> {
    Ok(User {
        id: row.get("id")?,
        name: row.get::<Option<String>>("name")?.unwrap_or_default(),
        admin: row.get("admin")?,
        created: row.get("created")?,
        last_activity: row.get("last_activity")?,
        cookie_id: row.get("cookie_id")?,
        user_info: row.json("user_info")?,
    })
}

/// The condition of a list with its WHERE, or nothing, and its arguments. A server is in use from the moment it is
/// wanted until it is cleared.
fn condition(query: &UserQuery) -> (String, Vec<Value>) {
    const READY: &str = "u.id IN (SELECT s.user_id FROM specola_servers p JOIN spawners s ON s.id = p.spawner_id
        WHERE p.phase = 'ready')";
    const FAILED: &str = "u.id IN (SELECT s.user_id FROM specola_servers p JOIN spawners s ON s.id = p.spawner_id
        WHERE p.failure IS NOT NULL AND p.phase = 'stopped' AND p.desired = 'stopped')";
    let active = format!("IN (SELECT s.user_id FROM spawners s WHERE s.user_id IS NOT NULL AND s.id IN ({ACTIVE}))");
    let mut all = Vec::new();
    let mut values = Vec::new();
    match query.state {
        None => {}
        Some(UserState::Active) => all.push(format!("u.id {active}")),
        Some(UserState::Inactive) => all.push(format!("u.id NOT {active}")),
        Some(UserState::Ready) => all.push(READY.to_owned()),
    }
    if let Some(part) = query.name_filter.as_deref().filter(|part| !part.is_empty()) {
        values.push(like(part).into());
        all.push(format!("lower(u.name) LIKE lower(${}) ESCAPE '!'", values.len()));
    }
    if let Some(only) = &query.only {
        values.push(only.users.clone().into());
        values.push(only.groups.clone().into());
        let (users, groups) = (values.len() - 1, values.len());
        all.push(format!(
            "(u.name = ANY(${users}) OR EXISTS (SELECT 1 FROM user_group_map m JOIN groups g ON g.id = m.group_id
              WHERE m.user_id = u.id AND g.name = ANY(${groups})))"
        ));
    }
    if query.admins {
        all.push("u.admin".to_owned());
    }
    if let Some(group) = &query.group {
        values.push(group.into());
        let group = values.len();
        all.push(format!(
            "u.id IN (SELECT m.user_id FROM user_group_map m JOIN groups g ON g.id = m.group_id WHERE g.name = ${group})"
        ));
    }
    if let Some(since) = query.idle_since {
        values.push(since.into());
        let since = values.len();
        all.push(format!(
            "u.id IN (SELECT s.user_id FROM specola_servers p JOIN spawners s ON s.id = p.spawner_id
             WHERE p.phase = 'ready' AND COALESCE(s.last_activity, s.started) <= ${since})"
        ));
    }
    if query.failed {
        all.push(FAILED.to_owned());
    }
    match all.is_empty() {
        true => (String::new(), values),
        false => (format!("WHERE {}", all.join(" AND ")), values),
    }
}

/// A pattern that contains the text literally.
fn like(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// The databases disagree on where nulls stand unless told; the id makes the order total.
fn order(sort: Sort) -> &'static str {
    match (sort.key, sort.descending) {
        (SortKey::Id, false) => "u.id",
        (SortKey::Id, true) => "u.id DESC",
        (SortKey::Name, false) => "u.name NULLS FIRST, u.id",
        (SortKey::Name, true) => "u.name DESC NULLS LAST, u.id",
        (SortKey::LastActivity, false) => "u.last_activity NULLS FIRST, u.id",
        (SortKey::LastActivity, true) => "u.last_activity DESC NULLS LAST, u.id",
        (SortKey::Created, false) => "u.created NULLS FIRST, u.id",
        (SortKey::Created, true) => "u.created DESC NULLS LAST, u.id",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenOptions;

    /// How SQLite would go through the users: a line a step.
    async fn steps(store: &Store, query: &UserQuery) -> Vec<String> {
        let Listing { count, condition, sql, values } = listing(query);
        let mut steps = Vec::new();
        for (sql, values) in [(count, condition), (sql, values)] {
            let rows = store.pool.rows(format!("EXPLAIN QUERY PLAN {sql}"), values).await.unwrap();
            steps.extend(rows.iter().map(|row| row.get::<String>("detail").unwrap()));
        }
        steps
    }

    #[tokio::test]
    async fn no_list_of_the_admin_panel_reads_the_rows_of_all_users() {
        let directory = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:///{}", directory.path().join("hub.sqlite").display());
        let store = Store::open(&url, OpenOptions::new(Time::UNIX_EPOCH)).await.unwrap();
        let now = Some(Time::UNIX_EPOCH);
        let filters = [
            UserQuery::default(),
            UserQuery { name_filter: Some("x".to_owned()), ..UserQuery::default() },
            UserQuery { state: Some(UserState::Active), ..UserQuery::default() },
            UserQuery { admins: true, ..UserQuery::default() },
            UserQuery { group: Some("g".to_owned()), ..UserQuery::default() },
            UserQuery { idle_since: now, ..UserQuery::default() },
            UserQuery { failed: true, ..UserQuery::default() },
        ];
        for filter in filters {
            for key in [SortKey::Name, SortKey::LastActivity, SortKey::Created] {
                for descending in [false, true] {
                    let query = UserQuery { sort: Sort { key, descending }, limit: Some(50), ..filter.clone() };
                    let steps = steps(&store, &query).await;
                    // An index is walked, or ids that another table gave are looked up; the wide rows are not read.
                    let reads_all = |step: &String| step.starts_with("SCAN u") && !step.contains("INDEX");
                    assert!(!steps.iter().any(reads_all), "{query:?}: {steps:#?}");
                }
            }
        }
    }
}
