//! Roles and groups of the configuration, and those an authenticator manages, brought into the database: at start all
//! of them, at a login those of one person. The rules are JupyterHub's.
//!
//! Groups: members are added, never taken away. Roles: what is listed is exact, and what is not there is deleted.

use anyhow::Context;
use hub_core::clock::Time;
use hub_core::name::UserName;
use hub_core::role::{self, DefaultRole};
use hub_core::scope::Catalogue;
use hub_core::token;
use hub_store::{Group, Holders, NewRole, Store, StoreError, User};
use serde_json::{Value, json};

use crate::audit::{self, Act};
use crate::config::hub::{GroupConfig, RoleConfig};
use crate::config::{AuthConfig, Config, HubConfig};

#[cfg(test)]
mod tests;

/// Refuses scopes that do not exist: a right that somebody misspelled must not be missed in silence.
pub fn check(config: &HubConfig, catalogue: &Catalogue) -> anyhow::Result<()> {
    for scope in &config.extra_user_scopes {
        catalogue.parse(scope).with_context(|| format!("hub.extra_user_scopes: {scope}"))?;
    }
    for role in &config.load_roles {
        for scope in role.scopes.iter().flatten() {
            catalogue.parse(scope).with_context(|| format!("hub.load_roles, role {:?}: {scope}", role.name))?;
        }
    }
    Ok(())
}

/// Roles that an authenticator defines for the whole hub when it starts.
#[derive(Debug, Clone, Default)]
pub struct Managed {
    /// The roles with their holders.
    pub roles: Vec<RoleConfig>,
    /// Takes away what an authenticator gave before and these do not give.
    pub reset: bool,
}

/// Makes the database agree with `load_groups`, `load_roles` and the managed roles, people included.
pub async fn sync(store: &Store, config: &Config, managed: &Managed, now: Time) -> Result<(), StoreError> {
    let sync = Sync { store, auth: &config.auth, now };
    for (name, wanted) in &config.hub.load_groups {
        sync.group(name, wanted).await?;
    }
    sync.roles(&config.hub, managed).await?;
    sync.holders(&config.hub, managed).await
}

/// What the roles of one person are measured by.
#[derive(Clone, Copy)]
pub struct Roles<'a> {
    /// Where they are.
    pub store: &'a Store,
    /// The scopes there are.
    pub catalogue: &'a Catalogue,
    /// The roles of the configuration.
    pub config: &'a HubConfig,
}

/// Makes these the own roles of somebody who has just logged in, as JupyterHub does with `manage_roles`: any other is
/// taken away, `user` too. `admin` says that somebody else than the roles makes the person an administrator. The error
/// is for the log and for the one who logs in; nothing has changed then.
pub async fn sync_person(house: &Roles<'_>, user: &User, wanted: &[RoleConfig], admin: bool) -> anyhow::Result<()> {
    let Roles { store, catalogue, config } = house;
    for spec in wanted {
        anyhow::ensure!(role::is_valid_name(&spec.name), "{:?} cannot be the name of a role", spec.name);
        for scope in spec.scopes.iter().flatten() {
            catalogue.parse(scope).with_context(|| format!("role {:?}: {scope}", spec.name))?;
        }
        anyhow::ensure!(spec.name != role::ADMIN.name || !changes_admin(spec), "the role \"admin\" cannot be changed");
    }
    let mut ids = Vec::new();
    for spec in wanted {
        let known = store.role(&spec.name).await?;
        let role = NewRole {
            name: spec.name.clone(),
            description: spec.description.clone().or(known.as_ref().and_then(|known| known.description.clone())),
            scopes: spec.scopes.clone().or(known.as_ref().map(|known| known.scopes.clone())).unwrap_or_default(),
            managed_by_auth: known.as_ref().is_none_or(|known| known.managed_by_auth),
        };
        let id = store.sync_role(&role).await?;
        for holders in existing_holders(store, spec).await? {
            store.set_holders(id, &holders, true).await?;
        }
        ids.push(id);
    }
    if admin {
        ids.extend(store.role(role::ADMIN.name).await?.map(|role| role.id));
    }
    let configured: Vec<String> = config.load_roles.iter().map(|role| role.name.clone()).collect();
    store.set_roles_of_user(user.id, &ids, &configured).await?;
    Ok(())
}

/// Whether it would change what the role `admin` is.
fn changes_admin(spec: &RoleConfig) -> bool {
    let other = |scopes: &Vec<String>| !scopes.iter().eq(role::ADMIN.scopes.iter());
    spec.scopes.as_ref().is_some_and(other)
        || spec.description.as_ref().is_some_and(|text| text != role::ADMIN.description)
}

/// The lists of holders a role names, of those that exist; the others are told to the log.
async fn existing_holders(store: &Store, spec: &RoleConfig) -> Result<Vec<Holders>, StoreError> {
    let missing = |kind: &str, name: &str| tracing::warn!(role = spec.name, name, "there is no such {kind}");
    let mut lists = Vec::new();
    if let Some(names) = &spec.users {
        let mut ids = Vec::new();
        for name in names {
            match store.user(name).await? {
                Some(user) => ids.push(user.id),
                None => missing("user", name),
            }
        }
        lists.push(Holders::Users(ids));
    }
    if let Some(names) = &spec.groups {
        let mut ids = Vec::new();
        for name in names {
            match store.group(name).await? {
                Some(group) => ids.push(group.id),
                None => missing("group", name),
            }
        }
        lists.push(Holders::Groups(ids));
    }
    if let Some(names) = &spec.services {
        let mut ids = Vec::new();
        for name in names {
            match store.service(name).await? {
                Some(service) => ids.push(service.id),
                None => missing("service", name),
            }
        }
        lists.push(Holders::Services(ids));
    }
    Ok(lists)
}

/// What a start works with.
struct Sync<'a> {
    store: &'a Store,
    auth: &'a AuthConfig,
    now: Time,
}

impl Sync<'_> {
    async fn group(&self, name: &str, wanted: &GroupConfig) -> Result<(), StoreError> {
        let group = self.group_of(name).await?;
        if !wanted.properties.is_empty() {
            let properties: Value = wanted.properties.clone().into_iter().collect();
            self.store.set_group_properties(group.id, &properties).await?;
        }
        let mut members = Vec::new();
        for name in &wanted.users {
            members.extend(self.user(name).await?.map(|user| user.id));
        }
        self.store.add_members(group.id, &members).await
    }

    /// Which roles there are, and what they allow.
    async fn roles(&self, config: &HubConfig, managed: &Managed) -> Result<(), StoreError> {
        let names = |roles: &[RoleConfig]| roles.iter().map(|role| role.name.clone()).collect::<Vec<_>>();
        for name in self.store.delete_roles_but(&names(&config.load_roles), false).await? {
            tracing::warn!(role = name, "the role is not in the configuration any more: deleted");
        }
        if managed.reset {
            for name in self.store.delete_roles_but(&names(&managed.roles), true).await? {
                tracing::info!(role = name, "the login method does not name the role any more: deleted");
            }
        }
        for role in role::DEFAULTS {
            let redefined = config.load_roles.iter().find(|wanted| wanted.name == role.name);
            self.store.sync_role(&default_role(role, redefined, &config.extra_user_scopes)).await?;
        }
        let is_default = |role: &&RoleConfig| role::DEFAULTS.iter().any(|default| default.name == role.name);
        let own = config.load_roles.iter().map(|role| (role, false));
        let theirs = managed.roles.iter().map(|role| (role, true));
        for (role, managed_by_auth) in own.chain(theirs).filter(|(role, _)| !is_default(role)) {
            let role = NewRole {
                name: role.name.clone(),
                description: role.description.clone(),
                scopes: role.scopes.clone().unwrap_or_default(),
                managed_by_auth,
            };
            self.store.sync_role(&role).await?;
        }
        Ok(())
    }

    /// Who holds them.
    async fn holders(&self, config: &HubConfig, managed: &Managed) -> Result<(), StoreError> {
        if managed.reset {
            let unlisted = managed.roles.iter().filter(|role| role.users.is_none()).map(|role| role.name.clone());
            let gone = self.store.delete_managed_assignments(&unlisted.collect::<Vec<_>>()).await?;
            tracing::info!(gone, "roles given by the login method before were taken away");
        }
        let (mut exact_users, mut exact_services) = (false, false);
        for (role, by_auth) in
            config.load_roles.iter().map(|role| (role, false)).chain(managed.roles.iter().map(|role| (role, true)))
        {
            if role.name == role::ADMIN.name {
                exact_users |= role.users.is_some() || !self.auth.admin_users.is_empty();
                exact_services |= role.services.is_some();
            }
            self.holders_of(role, by_auth).await?;
        }
        self.store.balance_admins(exact_users, exact_services).await
    }

    async fn holders_of(&self, spec: &RoleConfig, by_auth: bool) -> Result<(), StoreError> {
        let Some(role) = self.store.role(&spec.name).await? else { return Ok(()) };
        let is_admin = spec.name == role::ADMIN.name;
        let users = match &spec.users {
            Some(users) => Some(users.clone()),
            None if is_admin && !self.auth.admin_users.is_empty() => Some(Vec::new()),
            // Everybody has the role `user`; an authenticator gives its roles at login; the flag tells who administers.
            None if by_auth || is_admin || spec.name == role::USER.name => None,
            None => Some(Vec::new()),
        };
        if let Some(users) = users {
            let admins = self.auth.admin_users.iter().filter(|_| is_admin).cloned();
            let mut ids = Vec::new();
            for name in users.into_iter().chain(admins) {
                ids.extend(self.user(&name).await?.map(|user| user.id));
            }
            self.store.set_holders(role.id, &Holders::Users(ids), by_auth).await?;
        }
        let mut ids = Vec::new();
        for name in spec.groups.iter().flatten() {
            ids.push(self.group_of(name).await?.id);
        }
        self.store.set_holders(role.id, &Holders::Groups(ids), by_auth).await?;
        if spec.services.is_some() || !is_admin {
            let mut ids = Vec::new();
            for name in spec.services.iter().flatten() {
                match self.store.service(name).await? {
                    Some(service) => ids.push(service.id),
                    None => {
                        tracing::warn!(role = spec.name, service = name, "no such service to give the role to");
                    }
                }
            }
            self.store.set_holders(role.id, &Holders::Services(ids), by_auth).await?;
        }
        Ok(())
    }

    async fn group_of(&self, name: &str) -> Result<Group, StoreError> {
        match self.store.group(name).await? {
            Some(group) => Ok(group),
            None => match self.store.create_group(name, &json!({})).await {
                // Another hub starts at the same time and was quicker.
                Err(StoreError::Conflict(context)) => {
                    self.store.group(name).await?.ok_or(StoreError::Conflict(context))
                }
                made => made,
            },
        }
    }

    /// Finds or makes a user; nobody for a name that no user can have.
    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let name = UserName::normalise(name, &self.auth.username_map);
        if let Some(user) = self.store.user(&name).await? {
            return Ok(Some(user));
        }
        if UserName::parse(&name).is_err() {
            tracing::warn!(user = name, "nobody can have this name; left out");
            return Ok(None);
        }
        let cookie_id = token::generate_id(&mut rand::rng());
        match self.store.create_user(&name, false, &cookie_id, self.now).await {
            Err(StoreError::Conflict(context)) => {
                self.store.user(&name).await?.ok_or(StoreError::Conflict(context)).map(Some)
            }
            Ok(made) => {
                audit::by_config(self.store, self.now, Act::UserCreate, &name, json!({ "admin": false })).await;
                Ok(Some(made))
            }
            Err(error) => Err(error),
        }
    }
}

/// A role every hub has, with what the configuration says otherwise of it.
fn default_role(role: DefaultRole, redefined: Option<&RoleConfig>, extra_user_scopes: &[String]) -> NewRole {
    let texts = |scopes: &[&str]| scopes.iter().map(|&scope| scope.to_owned()).collect::<Vec<_>>();
    let extra = if role.name == role::USER.name { extra_user_scopes } else { &[] };
    let scopes = match redefined.and_then(|wanted| wanted.scopes.clone()) {
        Some(scopes) => {
            if !extra.is_empty() {
                tracing::warn!("the role \"user\" has scopes of its own: hub.extra_user_scopes counts for nothing");
            }
            scopes
        }
        None => texts(role.scopes).into_iter().chain(extra.iter().cloned()).collect(),
    };
    let description = redefined.and_then(|wanted| wanted.description.clone());
    NewRole {
        name: role.name.to_owned(),
        description: Some(description.unwrap_or_else(|| role.description.to_owned())),
        scopes,
        managed_by_auth: false,
    }
}
