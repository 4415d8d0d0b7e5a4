//! Who enters, and who does no more: what a login, or a refusal, does to somebody's row, sessions and tokens.
//!
//! Decided elsewhere, in `login::allow`. A refusal deletes nothing: tokens are refused while it lasts, because a provider
//! that forgets a group for an hour must not cost anybody a token.

use std::collections::BTreeSet;

use hub_core::token;
use hub_store::{StoreError, User};
use serde_json::{Value, json};

use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::config::hub::RoleConfig;
use crate::http::Problem;
use crate::login::allow::Verdict;
use crate::login::oidc::Claims;
use crate::login::{Account, Identity, roles_of};
use crate::page::session;
use crate::roles::{self, Roles};
use crate::upstream::{self, Kept};

/// Finds or makes the user of an identity, and brings admin right and groups to what the identity says.
pub async fn remember(app: &App, by: &Actor, identity: &Identity) -> Result<User, Problem> {
    let user = find_or_make(app, by, identity).await?;
    let roles = own_roles(app, &user).await?;
    bring_up(app, by, &user, identity.admin, identity.groups.as_deref()).await?;
    sync_roles(app, by, &user, identity.roles.as_deref(), identity.admin, &roles).await?;
    if app.config.auth.enable_auth_state && (identity.auth_state.is_some() || app.login.tells_auth_state()) {
        keep_state(app, &user, identity).await?;
    }
    if let Some(account) = &identity.account {
        note(app, &user, account).await?;
    }
    if identity.account.is_none() {
        app.store.upstream_vouched(user.id, app.now()).await?;
    }
    if app.store.admit(user.id).await? {
        app.audited(by, Act::UserAdmit, Object::User(&user.name), Value::Null).await;
    }
    app.store.touch_user(user.id, app.now()).await?;
    Ok(user)
}

/// Decides anew about somebody whom a provider was asked about: at each refresh of their tokens. Whoever is let in gets
/// the groups, the roles and the admin right that the provider tells of now; whoever is not is out, as by [`refuse`].
pub async fn readmit(app: &App, user: &User, claims: &Claims) -> Result<Verdict, Problem> {
    let by = Actor::part("sign-in");
    let verdict = app.login.readmit(user, claims);
    match verdict {
        Verdict::Allowed { admin } => {
            let groups = app.config.auth.manage_groups.then_some(claims.groups.as_slice());
            let roles = own_roles(app, user).await?;
            bring_up(app, &by, user, admin, groups).await?;
            sync_roles(app, &by, user, roles_of(claims).as_deref(), admin, &roles).await?;
            if app.store.admit(user.id).await? {
                app.audited(&by, Act::UserAdmit, Object::User(&user.name), Value::Null).await;
            }
        }
        Verdict::Blocked => refuse(app, &by, user, "blocked").await?,
        Verdict::NotListed => refuse(app, &by, user, "no rule lets them in any more").await?,
    }
    Ok(verdict)
}

/// Puts somebody out: every session ends, and their tokens are refused until a login succeeds. Servers go on, so that no
/// work is lost; nobody but an administrator gets at them.
pub async fn refuse(app: &App, by: &Actor, user: &User, why: &str) -> Result<(), Problem> {
    // First, so that a token made from a session that still lives is of no use.
    let is_new = app.store.refuse(user.id, why, app.now()).await?;
    session::end_all(app, user).await?;
    if is_new {
        app.audited(by, Act::UserRefuse, Object::User(&user.name), json!({ "why": why })).await;
    }
    Ok(())
}

/// Refuses the user, if there is one, to whom an account belongs that was just refused at a login. Somebody else's
/// account that has the same name puts nobody out.
pub async fn refuse_known(app: &App, by: &Actor, name: &str, claims: &Claims, why: &str) -> Result<(), Problem> {
    let Some(user) = app.store.user(name).await? else { return Ok(()) };
    let accounts = app.store.identities_of(user.id).await?;
    let is_theirs = |account: &hub_store::Identity| {
        account.subject == claims.subject && crate::login::oidc::is_same_issuer(&account.issuer, &claims.issuer)
    };
    if accounts.iter().any(is_theirs) { refuse(app, by, &user, why).await } else { Ok(()) }
}

async fn bring_up(
    app: &App,
    by: &Actor,
    user: &User,
    admin: Option<bool>,
    groups: Option<&[String]>,
) -> Result<(), Problem> {
    let admin = admin.unwrap_or(user.admin);
    // Whoever logs in has the role `user`, and `admin` or not as the flag says.
    app.store.set_admin(user.id, admin).await?;
    if admin != user.admin {
        let act = if admin { Act::AdminGrant } else { Act::AdminRevoke };
        app.audited(by, act, Object::User(&user.name), Value::Null).await;
    }
    if let Some(groups) = groups {
        let before = app.store.groups_of(user.id).await?;
        app.store.set_groups(user.id, groups).await?;
        if !same(&before, groups) {
            app.audited(by, Act::UserGroups, Object::User(&user.name), json!({ "groups": groups })).await;
        }
    }
    Ok(())
}

/// Gives somebody the roles that were told, and no others, where `auth.manage_roles` is set. `before` are those of before
/// the login or refresh.
async fn sync_roles(
    app: &App,
    by: &Actor,
    user: &User,
    wanted: Option<&[RoleConfig]>,
    admin: Option<bool>,
    before: &[String],
) -> Result<(), Problem> {
    let Some(wanted) = wanted.filter(|_| app.config.auth.manage_roles) else { return Ok(()) };
    let house = Roles { store: &app.store, catalogue: &app.catalogue, config: &app.config.hub };
    let synced = roles::sync_person(&house, user, wanted, admin == Some(true)).await;
    synced.map_err(|error| match error.downcast::<StoreError>() {
        Ok(error) => Problem::from(error),
        Err(error) => Problem::conflict(format!("{error:#}")),
    })?;
    let after = own_roles(app, user).await?;
    if !same(before, &after) {
        app.audited(by, Act::UserRoles, Object::User(&user.name), json!({ "roles": after })).await;
    }
    Ok(())
}

/// Keeps what the method told. A provider that gives a refresh token at the first login only gave it then.
async fn keep_state(app: &App, user: &User, identity: &Identity) -> Result<(), StoreError> {
    let (states, now) = (&app.hooks.auth_states, app.now());
    let mut state = identity.auth_state.clone();
    if let (Some(state), Some(_)) = (&mut state, &identity.account)
        && state.0["refresh_token"].is_null()
    {
        let before = states.read(&app.store, user.id, now).await?;
        let same = ["sub", "issuer"].iter().all(|key| before["specola"][key] == state.0["specola"][key]);
        if same && before["refresh_token"].is_string() {
            state.0["refresh_token"] = before["refresh_token"].clone();
        }
    }
    states.write(&app.store, user.id, state.as_ref(), now).await?;
    // Nothing is wrong with the tokens of a login that has just succeeded.
    if let Some(kept) = state.filter(|_| identity.account.is_some()).and_then(|state| Kept::new(Vec::new(), state.0)) {
        app.store.upstream_good(user.id, now, upstream::next_look(app, &kept, now)).await?;
    }
    Ok(())
}

/// Records which account it was, and what people call them.
async fn note(app: &App, user: &User, account: &Account) -> Result<(), StoreError> {
    let Account { provider, issuer, subject, display } = account.clone();
    let identity = hub_store::Identity { provider, issuer, subject, seen_at: app.now() };
    app.store.note_identity(user.id, &identity).await?;
    if let Some(display) = display.filter(|display| user.user_info["name"].as_str() != Some(display)) {
        let mut info = user.user_info.clone();
        if !info.is_object() {
            info = json!({});
        }
        info["name"] = display.into();
        app.store.set_user_info(user.id, &info).await?;
    }
    Ok(())
}

async fn own_roles(app: &App, user: &User) -> Result<Vec<String>, StoreError> {
    Ok(app.store.own_roles_of_users(&[user.id]).await?.remove(&user.id).unwrap_or_default())
}

/// Whether two lists name the same, in whatever order.
fn same(one: &[String], other: &[String]) -> bool {
    one.iter().collect::<BTreeSet<_>>() == other.iter().collect::<BTreeSet<_>>()
}

async fn find_or_make(app: &App, by: &Actor, identity: &Identity) -> Result<User, StoreError> {
    let name = identity.name.as_str();
    if let Some(user) = app.store.user(name).await? {
        return Ok(user);
    }
    let cookie_id = token::generate_id(&mut rand::rng());
    let admin = identity.admin.unwrap_or(false);
    match app.store.create_user(name, admin, &cookie_id, app.now()).await {
        // The same person logs in elsewhere at this moment, and was quicker.
        Err(StoreError::Conflict(context)) => app.store.user(name).await?.ok_or(StoreError::Conflict(context)),
        Ok(made) => {
            app.audited(by, Act::UserCreate, Object::User(name), json!({ "admin": admin })).await;
            Ok(made)
        }
        Err(error) => Err(error),
    }
}
