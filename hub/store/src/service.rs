//! `services`: what holds tokens and rights without being a person.

use crate::database::Tx;
use crate::error::{Result, StoreError};
use crate::oauth::OAuthClient;
use crate::row::Row;
use crate::store::{Store, returned};
use crate::value::{Value, params};
use hub_core::id::ServiceId;

/// A row of `services`.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub id: ServiceId,
    /// The process, where JupyterHub runs it itself.
    pub pid: Option<i64>,
    pub spec: ServiceSpec,
}

/// What a service should be. The names are those of JupyterHub's configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServiceSpec {
    pub name: String,
    pub admin: bool,
    pub url: Option<String>,
    pub oauth_client_allowed_scopes: Vec<String>,
    /// A JSON object, or null.
    pub info: serde_json::Value,
    pub display: Option<bool>,
    pub oauth_no_confirm: Option<bool>,
    pub command: Vec<String>,
    pub cwd: Option<String>,
    /// A JSON object, or null.
    pub environment: serde_json::Value,
    pub user: Option<String>,
    /// Seconds.
    pub timeout: i32,
    /// Whether the configuration, not the API, made it.
    pub from_config: bool,
    /// An existing OAuth client.
    pub oauth_client_id: Option<String>,
}

const COLUMNS: &str =
    "SELECT id, name, COALESCE(admin, FALSE) AS admin, url, oauth_client_allowed_scopes, info, display,
    oauth_no_confirm, command, cwd, environment, \"user\" AS system_user, timeout,
    COALESCE(from_config, TRUE) AS from_config, pid, oauth_client_id FROM services ";

impl Store {
    /// Finds a service by name.
    pub async fn service(&self, name: &str) -> Result<Option<Service>> {
        self.one_service("WHERE name = $1", params![name]).await
    }

    /// Finds a service by id.
    pub async fn service_by_id(&self, id: ServiceId) -> Result<Option<Service>> {
        self.one_service("WHERE id = $1", params![id]).await
    }

    /// Finds the service that an OAuth client belongs to.
    pub async fn service_by_client(&self, client_id: &str) -> Result<Option<Service>> {
        self.one_service("WHERE oauth_client_id = $1", params![client_id]).await
    }

    async fn one_service(&self, condition: &'static str, params: Vec<Value>) -> Result<Option<Service>> {
        self.pool.row(format!("{COLUMNS}{condition}"), params).await?.as_ref().map(service).transpose()
    }

    /// Lists all services, in the order they were made.
    pub async fn list_services(&self) -> Result<Vec<Service>> {
        self.pool.rows(format!("{COLUMNS}ORDER BY id"), params![]).await?.iter().map(service).collect()
    }

    /// Creates a service, or brings it to what it should be, its role `admin` included.
    /// `Missing` when its OAuth client does not exist.
    pub async fn sync_service(&self, spec: &ServiceSpec) -> Result<ServiceId> {
        let mut tx = self.pool.begin().await?;
        let id = write(&mut tx, spec, Existing::Change).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Writes a service with its OAuth client and the address that JupyterHub keeps of it. The client it had before
    /// goes, with its tokens, when it is another.
    pub async fn put_service(
        &self,
        spec: &ServiceSpec,
        client: Option<&OAuthClient>,
        address: Option<&ServiceAddress>,
        existing: Existing,
    ) -> Result<Put> {
        let mut tx = self.pool.begin().await?;
        let before = tx.row("SELECT oauth_client_id FROM services WHERE name = $1", params![&spec.name]).await?;
        let before = before.map(|row| row.get::<Option<String>>("oauth_client_id")).transpose()?.flatten();
        if let Some(client) = client {
            if is_taken(&mut tx, &client.identifier, &spec.name).await? {
                return Ok(Put::ClientTaken);
            }
            crate::oauth::sync(&mut tx, client).await?;
        }
        let id = match write(&mut tx, spec, existing).await {
            Err(StoreError::Conflict(_)) => return Ok(Put::NameTaken),
            written => written?,
        };
        if let Some(before) = before.filter(|before| spec.oauth_client_id.as_ref() != Some(before)) {
            tx.execute("DELETE FROM oauth_clients WHERE identifier = $1", params![&before]).await?;
        }
        write_address(&mut tx, id, address).await?;
        tx.commit().await?;
        Ok(Put::Done(id))
    }

    /// Notes the process of a service, or that it has none.
    pub async fn set_service_pid(&self, id: ServiceId, pid: Option<i64>) -> Result<bool> {
        self.changed("UPDATE services SET pid = $2 WHERE id = $1", params![id, pid]).await
    }

    /// Deletes a service with its tokens and its OAuth client.
    pub async fn delete_service(&self, id: ServiceId) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        write_address(&mut tx, id, None).await?;
        let sql = "DELETE FROM oauth_clients WHERE identifier IN (SELECT oauth_client_id FROM services WHERE id = $1)";
        tx.execute(sql, params![id]).await?;
        let deleted = tx.execute("DELETE FROM services WHERE id = $1", params![id]).await? > 0;
        tx.commit().await?;
        Ok(deleted)
    }

    /// Deletes the clients of services that no service has, with their tokens; returns how many.
    pub async fn delete_orphaned_service_clients(&self) -> Result<u64> {
        let sql = "DELETE FROM oauth_clients WHERE identifier LIKE 'service-%' AND identifier NOT IN
                   (SELECT oauth_client_id FROM services WHERE oauth_client_id IS NOT NULL)";
        self.pool.execute(sql, params![]).await
    }
}

/// What became of a service that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Done(ServiceId),
    /// There is one of this name, and nothing was changed.
    NameTaken,
    /// Its OAuth client is another service's or a server's, and nothing was changed.
    ClientTaken,
}

/// What to do about a service of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is to become this one.
    Change,
    /// There must be none.
    Refuse,
}

/// A row of `servers` for a service: JupyterHub reads it when it takes the database back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    pub proto: String,
    pub host: String,
    pub port: u16,
    /// The path at the proxy.
    pub prefix: String,
}

/// Whether a client is somebody else's, whose secret and redirect address must not be written over.
async fn is_taken(tx: &mut Tx, identifier: &str, service: &str) -> Result<bool> {
    let sql = "SELECT name FROM services WHERE oauth_client_id = $1 AND name <> $2
               UNION ALL SELECT name FROM spawners WHERE oauth_client_id = $1";
    Ok(tx.row(sql, params![identifier, service]).await?.is_some())
}

async fn write(tx: &mut Tx, spec: &ServiceSpec, existing: Existing) -> Result<ServiceId> {
    let insert = "INSERT INTO services (name, admin, url, oauth_client_allowed_scopes, info, display, oauth_no_confirm,
                  command, cwd, environment, \"user\", timeout, from_config, oauth_client_id)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ";
    let change = "ON CONFLICT (name) DO UPDATE SET admin = excluded.admin, url = excluded.url,
                  oauth_client_allowed_scopes = excluded.oauth_client_allowed_scopes, info = excluded.info,
                  display = excluded.display, oauth_no_confirm = excluded.oauth_no_confirm, command = excluded.command,
                  cwd = excluded.cwd, environment = excluded.environment, \"user\" = excluded.\"user\",
                  timeout = excluded.timeout, from_config = excluded.from_config,
                  oauth_client_id = excluded.oauth_client_id ";
    let json = |value| Some(value).filter(|value: &&serde_json::Value| !value.is_null());
    let values = params![
        &spec.name,
        spec.admin,
        spec.url.as_deref(),
        &spec.oauth_client_allowed_scopes,
        json(&spec.info),
        spec.display,
        spec.oauth_no_confirm,
        &spec.command,
        spec.cwd.as_deref(),
        json(&spec.environment),
        spec.user.as_deref(),
        spec.timeout,
        spec.from_config,
        spec.oauth_client_id.as_deref(),
    ];
    let sql = format!("{insert}{}RETURNING id", if existing == Existing::Change { change } else { "" });
    let id = returned(tx.row(sql, values).await?, "id")?;
    keep_admin_role(tx, id, spec.admin).await?;
    Ok(id)
}

/// Replaces the row of `servers` that belongs to a service.
async fn write_address(tx: &mut Tx, id: ServiceId, address: Option<&ServiceAddress>) -> Result<()> {
    let sql = "DELETE FROM servers WHERE id IN (SELECT _server_id FROM services WHERE id = $1)";
    tx.execute(sql, params![id]).await?;
    let Some(ServiceAddress { proto, host, port, prefix }) = address else { return Ok(()) };
    let sql = "INSERT INTO servers (proto, ip, port, base_url, cookie_name)
               SELECT $2, $3, $4, $5, oauth_client_id FROM services WHERE id = $1 RETURNING id";
    let row = tx.row(sql, params![id, proto, host, i32::from(*port), prefix]).await?;
    let server: i64 = returned(row, "id")?;
    tx.execute("UPDATE services SET _server_id = $2 WHERE id = $1", params![id, server]).await.map(drop)
}

async fn keep_admin_role(tx: &mut Tx, id: ServiceId, admin: bool) -> Result<()> {
    let sql = match admin {
        true => {
            "INSERT INTO service_role_map (service_id, role_id, managed_by_auth)
             SELECT $1, id, FALSE FROM roles WHERE name = 'admin' ON CONFLICT DO NOTHING"
        }
        false => {
            "DELETE FROM service_role_map WHERE service_id = $1
             AND role_id IN (SELECT id FROM roles WHERE name = 'admin')"
        }
    };
    tx.execute(sql, params![id]).await.map(drop)
}

fn service(row: &Row) -> Result<Service> {
    let spec = ServiceSpec {
        name: row.get::<Option<String>>("name")?.unwrap_or_default(),
        admin: row.get("admin")?,
        url: row.get("url")?,
        oauth_client_allowed_scopes: row.scopes("oauth_client_allowed_scopes")?,
        info: row.json("info")?,
        display: row.get("display")?,
        oauth_no_confirm: row.get("oauth_no_confirm")?,
        command: row.scopes("command")?,
        cwd: row.get("cwd")?,
        environment: row.json("environment")?,
        user: row.get("system_user")?,
        timeout: i32::try_from(row.get::<i64>("timeout")?).unwrap_or(i32::MAX),
        from_config: row.get("from_config")?,
        oauth_client_id: row.get("oauth_client_id")?,
    };
    Ok(Service { id: row.get("id")?, pid: row.get("pid")?, spec })
}
